#include "gpu/cuda/matmul.h"

#include <algorithm>
#include <mutex>

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

/// Whether a bias gradient has cost a long product the splitting of its sums, and with it most of the card: a
/// product without the epilogue and sums of their own are faster then. A rule rather than a measurement,
/// since another algorithm gives other bits.
bool LeavesCardIdle(const MatmulCall& call, const cublasLtMatmulHeuristicResult_t& result) {
    constexpr int kLong = 4096;
    int32_t splits = 1;
    size_t written = 0;
    if (call.epilogue != MatmulCall::Epilogue::kBiasGradient || call.k < kLong || result.wavesCount >= 0.5f)
        return false;
    return cublasLtMatmulAlgoConfigGetAttribute(&result.algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits,
                                                sizeof(splits), &written) == CUBLAS_STATUS_SUCCESS &&
           splits <= 1;
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

Matmul::~Matmul() = default;

// One for the process, and never destroyed: that would wait for the whole device, which no thread may while
// another one records a graph.
cublasStatus_t Matmul::Create() {
    static std::mutex mutex;
    static cublasLtHandle_t shared = nullptr;
    const std::scoped_lock lock(mutex);
    const cublasStatus_t status = shared == nullptr ? cublasLtCreate(&shared) : CUBLAS_STATUS_SUCCESS;
    handle_ = shared;
    return status;
}

const Matmul::Plan* Matmul::Find(const MatmulCall& call, size_t workspace_bytes) {
    const bool fused = call.epilogue != MatmulCall::Epilogue::kNone;
    const uint32_t alignment =
        std::min({AlignmentOf(call.b, call.ldb, call.stride_b), AlignmentOf(call.a, call.lda, call.stride_a),
                  AlignmentOf(call.d, call.ldd, call.stride_d),
                  call.beta == 0.0f ? 16u : AlignmentOf(call.c, call.ldc, call.stride_d)});
    const bool reads_c = call.beta != 0.0f;
    const Key key = {call.transpose_a,
                     call.transpose_b,
                     call.m,
                     call.n,
                     call.k,
                     call.lda,
                     call.ldb,
                     reads_c ? call.ldc : call.ldd,
                     call.ldd,
                     call.count,
                     call.stride_a,
                     call.stride_b,
                     call.stride_d,
                     static_cast<int64_t>(call.epilogue),
                     alignment,
                     reads_c + 2 * (call.c == call.d),
                     AlignmentOf(call.bias, 0, 0),
                     static_cast<int64_t>(workspace_bytes)};
    std::unique_ptr<Plan>& entry = plans_[key];
    if (entry != nullptr)
        return entry.get();
    entry = MakePlan(call, ComputeType(precision_), alignment, workspace_bytes);
    if (entry->status != CUBLAS_STATUS_SUCCESS) {
        if (fused)
            entry->status = CUBLAS_STATUS_NOT_SUPPORTED;  // whatever it says: there is another way
        else if (precision_ != gpu::Precision::kFp32)
            entry = MakePlan(call, CUBLAS_COMPUTE_32F, alignment, workspace_bytes);
    }
    return entry.get();
}

std::unique_ptr<Matmul::Plan> Matmul::MakePlan(const MatmulCall& call, cublasComputeType_t compute_type,
                                               uint32_t alignment, size_t workspace_bytes) const {
    auto made = std::make_unique<Plan>();
    Plan& plan = *made;
    const int64_t ldc = call.beta != 0.0f ? call.ldc : call.ldd;
    plan.Note(cublasLtMatmulDescCreate(&plan.operation, compute_type, CUDA_R_32F));
    if (plan.status != CUBLAS_STATUS_SUCCESS)
        return made;
    plan.SetOperation(CUBLASLT_MATMUL_DESC_TRANSA, call.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    plan.SetOperation(CUBLASLT_MATMUL_DESC_TRANSB, call.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    plan.SetOperation(CUBLASLT_MATMUL_DESC_EPILOGUE, LtEpilogue(call.epilogue));
    if (call.bias != nullptr)
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
        return made;
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
        plan.Note(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)));
    };
    const uint64_t workspace = workspace_bytes;
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
    if (plan.status == CUBLAS_STATUS_SUCCESS &&
        (found == 0 || result.state != CUBLAS_STATUS_SUCCESS || LeavesCardIdle(call, result)))
        plan.status = CUBLAS_STATUS_NOT_SUPPORTED;
    plan.algorithm = result.algo;
    cublasLtMatmulPreferenceDestroy(preference);
    return made;
}

cublasStatus_t Matmul::Run(const MatmulCall& call, const MatmulWorkspace& workspace, cudaStream_t stream) {
    const Plan* const plan = Find(call, workspace.bytes);
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
                          &call.beta, c, plan->c, call.d, plan->d, &plan->algorithm, workspace.data,
                          workspace.bytes, stream);
}

}  // namespace dlent::cuda
