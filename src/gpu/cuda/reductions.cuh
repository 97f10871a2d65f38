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

/// What is summed up together, in one pass.
template <int kCount>
struct Sums {
    float of[kCount];
};
template <typename... Values>
__device__ inline Sums<sizeof...(Values)> SumsOf(Values... values) {
    return {{values...}};
}

/// Where the sums over rows go: [columns] each, or null for what is not wanted.
template <int kCount>
struct ColumnSums {
    float* of[kCount];
};

/// A sum of what is only read, as ColumnPartsKernel has it.
template <int kCount, typename Op>
struct ReadOnlySum {
    Op op;
    using Loaded = Sums<kCount>;
    __device__ Loaded Load(int row, int column) const { return op(row, column); }
    __device__ Sums<kCount> Take(int, int, const Loaded& loaded) const { return loaded; }
};

/// Σ over the rows of a split; a block does 32 columns of one. Straight to `out` where there is one split, else to
/// parts[split, sum, column]. op.Take(row, column, op.Load(row, column)), once for each row and column, gives what is
/// added up, and may write: rows are loaded some ahead, since the compiler moves no load past a store.
template <int kCount, typename Op>
__global__ void ColumnPartsKernel(int rows, int columns, int splits, Op op, ColumnSums<kCount> out, float* parts) {
    __shared__ float sums[kCount][kTileRows][kTileColumns + 1];
    const int column = blockIdx.x * kTileColumns + threadIdx.x;
    const int begin = static_cast<int>(static_cast<int64_t>(rows) * blockIdx.y / splits);
    const int end = static_cast<int>(static_cast<int64_t>(rows) * (blockIdx.y + 1) / splits);
    Sums<kCount> sum{};
    constexpr int kAhead = 4;
    for (int row = begin + threadIdx.y; column < columns && row < end; row += kAhead * kTileRows) {
        typename Op::Loaded loaded[kAhead];
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
            if (row + i * kTileRows < end)
                loaded[i] = op.Load(row + i * kTileRows, column);
        }
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
            if (row + i * kTileRows < end) {
                const Sums<kCount> more = op.Take(row + i * kTileRows, column, loaded[i]);
                for (int s = 0; s < kCount; ++s)
                    sum.of[s] += more.of[s];
            }
        }
    }
    for (int s = 0; s < kCount; ++s)
        sums[s][threadIdx.y][threadIdx.x] = sum.of[s];
    __syncthreads();
    if (threadIdx.y < kCount && column < columns) {
        const int s = threadIdx.y;
        float total = sums[s][0][threadIdx.x];
        for (int i = 1; i < kTileRows; ++i)
            total += sums[s][i][threadIdx.x];
        if (splits > 1)
            parts[(static_cast<size_t>(blockIdx.y) * kCount + s) * columns + column] = total;
        else if (out.of[s] != nullptr)
            out.of[s][column] = total;
    }
}

/// For `count` sums of all columns together.
template <int kCount>
__global__ void ColumnFinishKernel(size_t count, int columns, int splits, const float* parts, ColumnSums<kCount> out) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        float* const to = out.of[i / columns];
        if (to == nullptr)
            continue;
        float sum = 0.0f;
        for (int split = 0; split < splits; ++split)
            sum += parts[static_cast<size_t>(split) * count + i];
        to[i % columns] = sum;
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
static_assert(kSumBlocks <= kThreads, "one block adds up the parts");

/// The factor of GradientClipScale. Every block leaves its part of Σ gradient², and the one that is last adds them up, in
/// their order. `ticket` is 0, and is again.
__global__ void ClipScaleKernel(size_t count, const float* gradient, const float* weight_sum, float max_norm,
                                double* parts, unsigned* ticket, float* scale) {
    __shared__ bool is_last;
    double sum = 0.0;
    for (size_t i = FirstIndex(); i < count; i += GridStride())
        sum += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
    sum = BlockSum(sum);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = sum;
        __threadfence();
        is_last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (!is_last)
        return;
    __threadfence();
    sum = threadIdx.x < gridDim.x ? __ldcg(parts + threadIdx.x) : 0.0;
    sum = BlockSum(sum);
    if (threadIdx.x == 0) {
        const double weight = weight_sum == nullptr ? 1.0 : static_cast<double>(*weight_sum);
        const double to_mean = weight == 0.0 ? 0.0 : 1.0 / weight;
        const double norm = sqrt(sum) * to_mean;
        const double clip = max_norm > 0.0f && norm > max_norm ? max_norm / norm : 1.0;
        *scale = isfinite(norm) ? static_cast<float>(clip * to_mean) : nanf("");
    }
}

}  // namespace dlent::cuda
