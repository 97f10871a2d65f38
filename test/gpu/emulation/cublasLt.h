#pragma once

// What src/gpu/cuda uses of cuBLASLt, by its documentation: column-major products in double, C beside D,
// epilogues, strided batches. What it does not have says so, as the real one does.

#include <map>
#include <vector>

#include "cuda_runtime.h"

enum cublasStatus_t {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_NOT_SUPPORTED = 15
};
enum cublasOperation_t : int32_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F_FAST_16BF };
enum cudaDataType_t { CUDA_R_32F };
enum cublasLtEpilogue_t : int32_t {
    CUBLASLT_EPILOGUE_DEFAULT,
    CUBLASLT_EPILOGUE_RELU,
    CUBLASLT_EPILOGUE_BIAS,
    CUBLASLT_EPILOGUE_RELU_BIAS,
    CUBLASLT_EPILOGUE_BGRADA,
};
enum cublasLtMatmulDescAttributes_t {
    CUBLASLT_MATMUL_DESC_TRANSA,
    CUBLASLT_MATMUL_DESC_TRANSB,
    CUBLASLT_MATMUL_DESC_EPILOGUE,
    CUBLASLT_MATMUL_DESC_BIAS_POINTER,
};
enum cublasLtMatrixLayoutAttribute_t {
    CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
    CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
};
enum cublasLtMatmulPreferenceAttributes_t {
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
    CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
};
constexpr uint32_t CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2;
constexpr uint32_t CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE = 4;

struct cublasLtMatmulDescOpaque {
    int32_t transpose_a = CUBLAS_OP_N;
    int32_t transpose_b = CUBLAS_OP_N;
    int32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    float* bias = nullptr;
};
typedef cublasLtMatmulDescOpaque* cublasLtMatmulDesc_t;
struct cublasLtMatrixLayoutOpaque {
    uint64_t rows = 0;
    uint64_t columns = 0;
    int64_t ld = 0;
    int32_t count = 1;
    int64_t stride = 0;
};
typedef cublasLtMatrixLayoutOpaque* cublasLtMatrixLayout_t;
typedef std::map<int, uint64_t>* cublasLtMatmulPreference_t;
struct cublasLtMatmulAlgo_t {
    uint32_t alignment;
};
struct cublasLtMatmulHeuristicResult_t {
    cublasLtMatmulAlgo_t algo;
    cublasStatus_t state;
    float wavesCount;
};
enum cublasLtMatmulAlgoConfigAttributes_t { CUBLASLT_ALGO_CONFIG_SPLITK_NUM };
typedef int* cublasLtHandle_t;

inline const char* cublasLtGetStatusString(cublasStatus_t) {
    return "emulated status";
}
inline cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
    *handle = new int;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* d, cublasComputeType_t, cudaDataType_t) {
    *d = new cublasLtMatmulDescOpaque;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) {
    delete d;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                                     cublasLtMatmulDescAttributes_t attribute,
                                                     const void* value, size_t bytes) {
    void* const members[] = {&d->transpose_a, &d->transpose_b, &d->epilogue, &d->bias};
    const size_t sizes[] = {4, 4, 4, 8};
    if (bytes != sizes[attribute])
        return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(members[attribute], value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t,
                                                 uint64_t rows, uint64_t columns, int64_t ld) {
    if (ld < static_cast<int64_t>(rows))
        return CUBLAS_STATUS_INVALID_VALUE;
    *layout = new cublasLtMatrixLayoutOpaque{rows, columns, ld, 1, 0};
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                       cublasLtMatrixLayoutAttribute_t attribute,
                                                       const void* value, size_t bytes) {
    if (bytes != (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? 4 : 8))
        return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? static_cast<void*>(&layout->count)
                                                                : &layout->stride,
                value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
    *preference = new std::map<int, uint64_t>;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                           cublasLtMatmulPreferenceAttributes_t attribute,
                                                           const void* value, size_t bytes) {
    if (bytes != (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? 8 : 4))
        return CUBLAS_STATUS_INVALID_VALUE;
    uint64_t number = 0;
    std::memcpy(&number, value, bytes);
    (*preference)[attribute] = number;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t d,
                                                     cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                                     cublasLtMatrixLayout_t, cublasLtMatrixLayout_t layout,
                                                     cublasLtMatmulPreference_t preference, int,
                                                     cublasLtMatmulHeuristicResult_t* result, int* found) {
    // odd sizes have no fused bias gradient here, so that both ways are taken
    if (d->epilogue == CUBLASLT_EPILOGUE_BGRADA && layout->rows % 2 == 1) {
        *found = 0;
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    result->algo.alignment = static_cast<uint32_t>((*preference)[CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES]);
    result->state = CUBLAS_STATUS_SUCCESS;
    result->wavesCount = 0.1f;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}
/// No product is split.
inline cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t*,
                                                           cublasLtMatmulAlgoConfigAttributes_t, void* value,
                                                           size_t bytes, size_t* written) {
    const int32_t splits = 1;
    if (bytes != sizeof(splits))
        return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(value, &splits, sizeof(splits));
    *written = sizeof(splits);
    return CUBLAS_STATUS_SUCCESS;
}

inline cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void* alpha,
                                     const void* a, cublasLtMatrixLayout_t layout_a, const void* b,
                                     cublasLtMatrixLayout_t layout_b, const void* beta, const void* c,
                                     cublasLtMatrixLayout_t layout_c, void* d,
                                     cublasLtMatrixLayout_t layout_d, const cublasLtMatmulAlgo_t* algorithm,
                                     void*, size_t, cudaStream_t stream) {
    const bool ta = description->transpose_a == CUBLAS_OP_T;
    const bool tb = description->transpose_b == CUBLAS_OP_T;
    const uint64_t m = ta ? layout_a->columns : layout_a->rows;
    const uint64_t k = ta ? layout_a->rows : layout_a->columns;
    const uint64_t n = tb ? layout_b->rows : layout_b->columns;
    if ((tb ? layout_b->columns : layout_b->rows) != k || layout_d->rows != m || layout_d->columns != n ||
        layout_c->rows != m || layout_c->columns != n)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (const void* pointer : {a, b, static_cast<const void*>(d)}) {
        if (reinterpret_cast<uintptr_t>(pointer) % algorithm->alignment != 0)
            return CUBLAS_STATUS_INVALID_VALUE;
    }
    stream->Enqueue([=, desc = *description, la = *layout_a, lb = *layout_b, lc = *layout_c, ld = *layout_d,
                     scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta)] {
        for (int32_t batch = 0; batch < la.count; ++batch) {
            const float* const pa = static_cast<const float*>(a) + batch * la.stride;
            const float* const pb = static_cast<const float*>(b) + batch * lb.stride;
            const float* const pc = static_cast<const float*>(c) + batch * lc.stride;
            float* const pd = static_cast<float*>(d) + batch * ld.stride;
            const auto at_a = [&](uint64_t i, uint64_t l) {
                return static_cast<double>(ta ? pa[l + i * static_cast<uint64_t>(la.ld)]
                                              : pa[i + l * static_cast<uint64_t>(la.ld)]);
            };
            const auto at_b = [&](uint64_t l, uint64_t j) {
                return static_cast<double>(tb ? pb[j + l * static_cast<uint64_t>(lb.ld)]
                                              : pb[l + j * static_cast<uint64_t>(lb.ld)]);
            };
            const int32_t epilogue = desc.epilogue;
            for (uint64_t j = 0; j < n; ++j)
                for (uint64_t i = 0; i < m; ++i) {
                    double sum = 0.0;
                    for (uint64_t l = 0; l < k; ++l)
                        sum += at_a(i, l) * at_b(l, j);
                    sum *= scale;
                    if (keep != 0.0f)
                        sum += keep * pc[i + j * static_cast<uint64_t>(lc.ld)];
                    if (epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS)
                        sum += desc.bias[i];
                    if ((epilogue == CUBLASLT_EPILOGUE_RELU || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS) &&
                        !(sum > 0.0))
                        sum = 0.0;
                    pd[i + j * static_cast<uint64_t>(ld.ld)] = static_cast<float>(sum);
                }
            if (epilogue == CUBLASLT_EPILOGUE_BGRADA) {
                for (uint64_t i = 0; i < m; ++i) {
                    double sum = 0.0;
                    for (uint64_t l = 0; l < k; ++l)
                        sum += at_a(i, l);
                    desc.bias[i] = static_cast<float>(sum);
                }
            }
        }
    });
    return CUBLAS_STATUS_SUCCESS;
}
