#include "gpu/cuda/matmul.h"

#include <algorithm>

namespace dlent::cuda {
namespace {

cublasComputeType_t ComputeType(gpu::Precision precision) {
    switch (precision) {
        case gpu::Precision::kTf32:
            return CUBLAS_COMPUTE_32F_FAST_TF32;
        case gpu::Precision::kBf16:
            return CUBLAS_COMPUTE_32F_FAST_16BF;
        case gpu::Precision::kFp32:
            break;
    }
    return CUBLAS_COMPUTE_32F;
}

cublasLtEpilogue_t LtEpilogue(MatmulCall::Epilogue epilogue) {
    switch (epilogue) {
        case MatmulCall::Epilogue::kBias:
            return CUBLASLT_EPILOGUE_BIAS;
        case MatmulCall::Epilogue::kRelu:
            return CUBLASLT_EPILOGUE_RELU;
        case MatmulCall::Epilogue::kReluBias:
            return CUBLASLT_EPILOGUE_RELU_BIAS;
        case MatmulCall::Epilogue::kBiasGradient:
            return CUBLASLT_EPILOGUE_BGRADA;
        case MatmulCall::Epilogue::kNone:
            break;
    }
    return CUBLASLT_EPILOGUE_DEFAULT;
}

/// The largest power of two up to 16 that divides a matrix's address, rows and stride, in bytes.
uint32_t AlignmentOf(const void* pointer, int64_t ld, int64_t stride) {
    const uint64_t bits = reinterpret_cast<uint64_t>(pointer) | static_cast<uint64_t>(ld) * sizeof(float) |
                          static_cast<uint64_t>(stride) * sizeof(float) | 16;
    return static_cast<uint32_t>(bits & (~bits + 1));
}

}  // namespace

/// Descriptors and the algorithm of one kind of call. Row-major C = A·B is column-major Cᵀ = Bᵀ·Aᵀ: what is
/// called `first` below is the call's b.
struct Matmul::Plan {
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t first = nullptr;
    cublasLtMatrixLayout_t second = nullptr;
    cublasLtMatrixLayout_t c = nullptr;
    cublasLtMatrixLayout_t d = nullptr;
    cublasLtMatmulAlgo_t algorithm{};
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;

    ~Plan() {
        for (cublasLtMatrixLayout_t layout : {first, second, c, d}) {
            if (layout != nullptr)
                cublasLtMatrixLayoutDestroy(layout);
        }
        if (operation != nullptr)
            cublasLtMatmulDescDestroy(operation);
    }

    /// Keeps the first failure.
    void Note(cublasStatus_t result) {
        if (status == CUBLAS_STATUS_SUCCESS)
            status = result;
    }
    template <typename T>
    void SetOperation(cublasLtMatmulDescAttributes_t attribute, T value) {
        Note(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof(value)));
    }
    void MakeLayout(cublasLtMatrixLayout_t* layout, int64_t rows, int64_t columns, int64_t ld, int32_t count,
                    int64_t stride) {
        Note(cublasLtMatrixLayoutCreate(layout, CUDA_R_32F, static_cast<uint64_t>(rows),
                                        static_cast<uint64_t>(columns), ld));
        if (count > 1 && status == CUBLAS_STATUS_SUCCESS) {
            Note(cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                                  sizeof(count)));
            Note(cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                  &stride, sizeof(stride)));
        }
    }
};

Matmul::Matmul(gpu::Precision precision) : precision_(precision) {}

Matmul::~Matmul() {
    plans_.clear();
    if (handle_ != nullptr)
        cublasLtDestroy(handle_);
}

cublasStatus_t Matmul::Create() {
    return cublasLtCreate(&handle_);
}

const Matmul::Plan* Matmul::Find(const MatmulCall& call) {
    const uint32_t alignment =
        std::min({AlignmentOf(call.b, call.ldb, call.stride_b), AlignmentOf(call.a, call.lda, call.stride_a),
                  AlignmentOf(call.d, call.ldd, call.stride_d),
                  call.beta == 0.0f ? 16u : AlignmentOf(call.c, call.ldc, call.stride_d)});
    const bool reads_c = call.beta != 0.0f;
    const int64_t ldc = reads_c ? call.ldc : call.ldd;
    const Key key = {call.transpose_a, call.transpose_b,
                     call.m,           call.n,
                     call.k,           call.lda,
                     call.ldb,         ldc,
                     call.ldd,         call.count,
                     call.stride_a,    call.stride_b,
                     call.stride_d,    static_cast<int64_t>(call.epilogue),
                     alignment,        reads_c + 2 * (call.c == call.d)};
    std::unique_ptr<Plan>& entry = plans_[key];
    if (entry != nullptr)
        return entry.get();
    entry = std::make_unique<Plan>();
    Plan& plan = *entry;
    plan.Note(cublasLtMatmulDescCreate(&plan.operation, ComputeType(precision_), CUDA_R_32F));
    if (plan.status != CUBLAS_STATUS_SUCCESS)
        return &plan;
    plan.SetOperation(CUBLASLT_MATMUL_DESC_TRANSA, call.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    plan.SetOperation(CUBLASLT_MATMUL_DESC_TRANSB, call.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    plan.SetOperation(CUBLASLT_MATMUL_DESC_EPILOGUE, LtEpilogue(call.epilogue));
    if (call.epilogue != MatmulCall::Epilogue::kNone && call.epilogue != MatmulCall::Epilogue::kRelu)
        plan.SetOperation(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(call.bias));
    plan.MakeLayout(&plan.first, call.transpose_b ? call.k : call.n, call.transpose_b ? call.n : call.k,
                    call.ldb, call.count, call.stride_b);
    plan.MakeLayout(&plan.second, call.transpose_a ? call.m : call.k, call.transpose_a ? call.k : call.m,
                    call.lda, call.count, call.stride_a);
    plan.MakeLayout(&plan.c, call.n, call.m, ldc, call.count, call.stride_d);
    plan.MakeLayout(&plan.d, call.n, call.m, call.ldd, call.count, call.stride_d);
    cublasLtMatmulPreference_t preference = nullptr;
    if (plan.status == CUBLAS_STATUS_SUCCESS)
        plan.Note(cublasLtMatmulPreferenceCreate(&preference));
    if (plan.status != CUBLAS_STATUS_SUCCESS)
        return &plan;
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
        plan.Note(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)));
    };
    const uint64_t workspace = kWorkspaceBytes;
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace);
    // no sums in whatever order atomics come: the same bits in every run
    const uint32_t reductions =
        CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment);
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    if (plan.status == CUBLAS_STATUS_SUCCESS)
        plan.Note(cublasLtMatmulAlgoGetHeuristic(handle_, plan.operation, plan.first, plan.second, plan.c,
                                                 plan.d, preference, 1, &result, &found));
    if (plan.status == CUBLAS_STATUS_SUCCESS && found == 0)
        plan.status = CUBLAS_STATUS_NOT_SUPPORTED;
    plan.algorithm = result.algo;
    cublasLtMatmulPreferenceDestroy(preference);
    return &plan;
}

cublasStatus_t Matmul::Run(const MatmulCall& call, void* workspace, cudaStream_t stream) {
    const Plan* const plan = Find(call);
    if (plan->status != CUBLAS_STATUS_SUCCESS)
        return plan->status;
    if (call.bias != nullptr) {
        const void* bias = call.bias;
        const cublasStatus_t set = cublasLtMatmulDescSetAttribute(
            plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias));
        if (set != CUBLAS_STATUS_SUCCESS)
            return set;
    }
    const float* const c = call.beta == 0.0f ? call.d : call.c;
    return cublasLtMatmul(handle_, plan->operation, &call.alpha, call.b, plan->first, call.a, plan->second,
                          &call.beta, c, plan->c, call.d, plan->d, &plan->algorithm, workspace,
                          kWorkspaceBytes, stream);
}

}  // namespace dlent::cuda
