#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "gpu/protocol/job.h"

namespace dlent::cuda {

/// A product of row-major matrices, as Backend has it, and what is to be done to it at once.
struct MatmulCall {
    bool transpose_a = false;
    bool transpose_b = false;
    int m = 0;
    int n = 0;
    int k = 0;
    float alpha = 1.0f;
    const float* a = nullptr;
    int lda = 0;
    const float* b = nullptr;
    int ldb = 0;
    float beta = 0.0f;
    const float* c = nullptr;  ///< read where beta is not 0
    int ldc = 0;
    float* d = nullptr;
    int ldd = 0;
    int count = 1;  ///< of products, with strides between them
    ptrdiff_t stride_a = 0;
    ptrdiff_t stride_b = 0;
    ptrdiff_t stride_d = 0;  ///< and of c
    enum class Epilogue { kNone, kBias, kRelu, kReluBias, kBiasGradient } epilogue = Epilogue::kNone;
    float* bias = nullptr;  ///< [n]: read, or written by kBiasGradient, the column sums of b
};

/// Device memory that a product may use while it runs.
struct MatmulWorkspace {
    void* data = nullptr;
    size_t bytes = 0;
};

/// cuBLASLt with a memory of which algorithm suits a shape.
class Matmul {
 public:
    explicit Matmul(gpu::Precision precision);
    ~Matmul();
    Matmul(const Matmul&) = delete;
    Matmul& operator=(const Matmul&) = delete;

    cublasStatus_t Create();
    /// CUBLAS_STATUS_NOT_SUPPORTED when no algorithm does it all, the epilogue included: nothing was
    /// enqueued.
    cublasStatus_t Run(const MatmulCall& call, const MatmulWorkspace& workspace, cudaStream_t stream);

 private:
    struct Plan;
    using Key = std::array<int64_t, 18>;

    const Plan* Find(const MatmulCall& call, size_t workspace_bytes);
    std::unique_ptr<Plan> MakePlan(const MatmulCall& call, cublasComputeType_t compute_type,
                                   uint32_t alignment, size_t workspace_bytes) const;

    const gpu::Precision precision_;
    cublasLtHandle_t handle_ = nullptr;  ///< the process's
    std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace dlent::cuda
