#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/nn/backend.h"

namespace dlent::cuda {

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
    float learning_rate;
    float correction1;  ///< 1 − beta1^t of AdamW
    float correction2;
    float average_weight;
};

}  // namespace dlent::cuda
