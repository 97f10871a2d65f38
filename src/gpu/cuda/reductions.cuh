#pragma once

// Sums in an order that depends on the shape alone: the same bits in every run, and no float atomics.

#include "gpu/cuda/launch.cuh"

namespace dlent::cuda {

constexpr int kTileColumns = 32;
constexpr int kTileRows = 8;

/// How many parts the rows of a sum over rows are cut into.
inline int RowSplits(int rows, int columns) {
    constexpr int kRowsAtLeast = 64;  // of a part
    constexpr int kBlocksWanted = 528;
    const int tiles = (columns + kTileColumns - 1) / kTileColumns;
    return std::max(1, std::min((rows + kRowsAtLeast - 1) / kRowsAtLeast, kBlocksWanted / tiles));
}

/// part[split, column] = Σ op(row, column) over the rows of the split; a block does 32 columns of one.
template <typename Op>
__global__ void ColumnPartsKernel(int rows, int columns, int splits, Op op, float* parts) {
    __shared__ float sums[kTileRows][kTileColumns + 1];
    const int column = blockIdx.x * kTileColumns + threadIdx.x;
    const int begin = static_cast<int>(static_cast<int64_t>(rows) * blockIdx.y / splits);
    const int end = static_cast<int>(static_cast<int64_t>(rows) * (blockIdx.y + 1) / splits);
    float sum = 0.0f;
    if (column < columns) {
        for (int row = begin + threadIdx.y; row < end; row += kTileRows)
            sum += op(row, column);
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < columns) {
        for (int i = 1; i < kTileRows; ++i)
            sum += sums[i][threadIdx.x];
        parts[static_cast<size_t>(blockIdx.y) * columns + column] = sum;
    }
}

__global__ void ColumnFinishKernel(size_t columns, int splits, const float* parts, float* out) {
    for (size_t column = FirstIndex(); column < columns; column += GridStride()) {
        float sum = 0.0f;
        for (int split = 0; split < splits; ++split)
            sum += parts[static_cast<size_t>(split) * columns + column];
        out[column] = sum;
    }
}

/// The sum of a block of kThreads, in the first thread.
template <typename T>
__device__ inline T BlockSum(T value) {
    __shared__ T sums[kThreads / 32];
    for (int offset = 16; offset > 0; offset /= 2)
        value += __shfl_down_sync(0xFFFFFFFFu, value, offset);
    __syncthreads();  // an earlier call's sums have been read
    if (threadIdx.x % 32 == 0)
        sums[threadIdx.x / 32] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int i = 1; i < kThreads / 32; ++i)
            value += sums[i];
    }
    return value;
}

/// The same, in every thread.
__device__ inline float BlockSumForAll(float value) {
    __shared__ float total;
    value = BlockSum(value);
    if (threadIdx.x == 0)
        total = value;
    __syncthreads();
    return total;
}

constexpr int kSumBlocks = 256;  ///< of sums over everything

__global__ void SumOfSquaresKernel(size_t count, const float* x, double* parts) {
    double sum = 0.0;
    for (size_t i = FirstIndex(); i < count; i += GridStride())
        sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    sum = BlockSum(sum);
    if (threadIdx.x == 0)
        parts[blockIdx.x] = sum;
}

__global__ void ClipScaleKernel(int blocks, const double* parts, const float* weight_sum, float max_norm,
                                float* scale) {
    double sum = static_cast<int>(threadIdx.x) < blocks ? parts[threadIdx.x] : 0.0;
    sum = BlockSum(sum);
    if (threadIdx.x == 0) {
        const double weight = weight_sum == nullptr ? 1.0 : static_cast<double>(*weight_sum);
        const double to_mean = weight == 0.0 ? 0.0 : 1.0 / weight;
        const double norm = sqrt(sum) * to_mean;
        const double clip = max_norm > 0.0f && norm > max_norm ? max_norm / norm : 1.0;
        *scale = isfinite(norm) ? static_cast<float>(clip * to_mean) : nanf("");
    }
}
static_assert(kSumBlocks <= kThreads, "one block adds up the parts");

}  // namespace dlent::cuda
