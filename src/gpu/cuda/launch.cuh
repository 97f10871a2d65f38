#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/nn/backend.h"

namespace dlent::cuda {

/// Shared memory whose size the launch says. Emulation (test/gpu/emulation) has one size for all.
#ifdef DLENT_CUDA_EMULATION
#define DLENT_DYNAMIC_SHARED(type, name) static type name[(48 << 10) / sizeof(type)]
#else
#define DLENT_DYNAMIC_SHARED(type, name) extern __shared__ type name[]
#endif

constexpr int kThreads = 256;
constexpr int kMaxBlocks = 132 * 16;  ///< enough to fill the largest cards; loops take the rest

/// Blocks of kThreads for a loop over `count` by strides of the grid.
inline int BlocksFor(size_t count) {
    return static_cast<int>(std::min<size_t>((count + kThreads - 1) / kThreads, kMaxBlocks));
}

/// The first index of a thread in such a loop, and its stride.
__device__ inline size_t FirstIndex() {
    return static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline size_t GridStride() {
    return static_cast<size_t>(gridDim.x) * blockDim.x;
}

/// What changes from step to step, in device memory: kernels of a captured step read it from there, where others
/// have it among their arguments.
struct DeviceStep {
    uint64_t step;
    uint64_t first_row;
    int64_t optimizer_step;
    float learning_rate;
    float average_weight;
};

/// Steps that wait, and the one that is being carried out.
struct DeviceSteps {
    static constexpr int kMost = 256;
    DeviceStep current;
    int next;
    DeviceStep waiting[kMost];
};

/// The first of a step's kernels.
__global__ void NextStepKernel(DeviceSteps* steps) {
    steps->current = steps->waiting[steps->next];
    ++steps->next;
}

}  // namespace dlent::cuda
