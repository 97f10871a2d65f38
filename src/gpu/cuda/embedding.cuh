#pragma once

// Look-ups and the embeddings of numbers. Gradients of tables are summed row by row of the batch, in order: codes are
// sorted with their rows, and every row of a table adds up its own segment.

#include "gpu/cuda/launch.cuh"

namespace dlent::cuda {

/// sin and cos of 2π·c·x, with the part of the product that rounding loses.
__device__ inline void SinCosOfProduct(float c, float x, float* sine, float* cosine) {
    const float turns = c * x;
    const float rest = (turns - rintf(turns)) + fmaf(c, x, -turns);
    sincospif(2.0f * rest, sine, cosine);
}

__global__ void EmbeddingSumForwardKernel(size_t count, int fields, int width, const int32_t* codes,
                                          const int32_t* offsets, const float* table, float* out,
                                          bool accumulate) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const size_t row = i / width;
        const size_t column = i % width;
        float sum = accumulate ? out[i] : 0.0f;
        for (int f = 0; f < fields; ++f) {
            const int32_t code = codes[row * fields + f];
            if (code >= 0)
                sum += table[static_cast<size_t>(offsets[f] + code) * width + column];
        }
        out[i] = sum;
    }
}

__global__ void EmbeddingForwardKernel(size_t count, int width, const int32_t* codes, int code_stride,
                                       const float* table, float* out, int ld_out) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const size_t row = i / width;
        const size_t column = i % width;
        const int32_t code = codes[row * code_stride];
        out[row * ld_out + column] = code >= 0 ? table[static_cast<size_t>(code) * width + column] : 0.0f;
    }
}

/// Keys to sort by: the row of the table, `table_rows` where there is none; values are rows of the batch.
__global__ void TableKeysKernel(size_t count, int fields, const int32_t* codes, int code_stride,
                                const int32_t* offsets, uint32_t table_rows, uint32_t* keys, uint32_t* rows) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const size_t row = i / fields;
        const int f = static_cast<int>(i % fields);
        const int32_t code = codes[row * code_stride + f];
        keys[i] = code < 0 ? table_rows
                           : static_cast<uint32_t>((offsets == nullptr ? 0 : offsets[f]) + code);
        rows[i] = static_cast<uint32_t>(row);
    }
}

constexpr int kSegmentGroups = 8;

/// The first index in `keys`, sorted, that is not below `key`.
__device__ inline size_t LowerBound(const uint32_t* keys, size_t count, uint32_t key) {
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/// A block a row of the table and 32 columns: threads (32, 8), eight share a segment.
__global__ void TableGradientKernel(size_t count, int width, const uint32_t* keys, const uint32_t* rows,
                                    const float* dout, int ld_dout, uint32_t table_rows, float* dtable) {
    __shared__ float sums[kSegmentGroups][33];
    __shared__ size_t bounds[2];
    for (uint32_t row = blockIdx.x; row < table_rows; row += gridDim.x) {
        __syncthreads();
        if (threadIdx.y == 0 && threadIdx.x < 2)
            bounds[threadIdx.x] = LowerBound(keys, count, row + threadIdx.x);
        __syncthreads();
        const size_t begin = bounds[0];
        const size_t end = bounds[1];
        const int column = blockIdx.y * 32 + threadIdx.x;
        float sum = 0.0f;
        if (column < width) {
#pragma unroll 4
            for (size_t i = begin + threadIdx.y; i < end; i += kSegmentGroups)
                sum += dout[static_cast<size_t>(rows[i]) * ld_dout + column];
        }
        sums[threadIdx.y][threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.y == 0 && column < width) {
            for (int group = 1; group < kSegmentGroups; ++group)
                sum += sums[group][threadIdx.x];
            dtable[static_cast<size_t>(row) * width + column] = sum;
        }
    }
}

/// below[b] = Σ of the weights of the feature's bins under b; a thread a column of a feature.
__global__ void BinPrefixKernel(size_t count, int width, const int32_t* bin_offsets,
                                const float* __restrict__ weight, float* __restrict__ below) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const int f = static_cast<int>(i / width);
        const size_t column = i % width;
        float sum = 0.0f;
#pragma unroll 4
        for (int b = bin_offsets[f]; b < bin_offsets[f + 1]; ++b) {
            below[static_cast<size_t>(b) * width + column] = sum;
            sum += weight[static_cast<size_t>(b) * width + column];
        }
    }
}

/// The bin of a value is the number of inner edges that are not above it.
__global__ void LocateBinsKernel(size_t count, int features, const float* x, const int32_t* bin_offsets,
                                 const float* edges, int32_t* bins, float* fractions) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const int f = static_cast<int>(i % features);
        const float* const own = edges + bin_offsets[f] + f;
        const float value = x[i];
        int low = 0;  // edges 1..low are not above the value
        int high = bin_offsets[f + 1] - bin_offsets[f] - 1;
        while (low < high) {
            const int middle = (low + high + 1) / 2;
            if (value >= own[middle])
                low = middle;
            else
                high = middle - 1;
        }
        bins[i] = low;
        const float share = (value - own[low]) / (own[low + 1] - own[low]);
        fractions[i] = share < 0.0f ? 0.0f : share > 1.0f ? 1.0f : share;
    }
}

__global__ void PiecewiseLinearKernel(size_t count, int features, int width, const int32_t* bin_offsets,
                                      const int32_t* bins, const float* fractions, const float* weight,
                                      const float* below, float* out) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const size_t entry = i / width;  // row · features + feature
        const int f = static_cast<int>(entry % features);
        const size_t at = static_cast<size_t>(bin_offsets[f] + bins[entry]) * width + i % width;
        out[i] = below[at] + fractions[entry] * weight[at];
    }
}

/// A thread a value: what its outputs' gradients say of it.
__global__ void PiecewiseLinearInputGradientKernel(size_t count, int features, int width, const int32_t* bins,
                                                   const float* fractions, const int32_t* bin_offsets,
                                                   const float* edges, const float* weight, const float* dout,
                                                   float* dx, bool accumulate) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const int f = static_cast<int>(i % features);
        const int bin = bin_offsets[f] + bins[i];
        const bool outside = (bins[i] == 0 && fractions[i] <= 0.0f) ||
                             (bin == bin_offsets[f + 1] - 1 && fractions[i] >= 1.0f);
        float sum = 0.0f;
        for (int j = 0; j < width; ++j)
            sum += dout[i * width + j] * weight[static_cast<size_t>(bin) * width + j];
        const float gradient = outside ? 0.0f : sum / (edges[bin + f + 1] - edges[bin + f]);
        dx[i] = accumulate ? dx[i] + gradient : gradient;
    }
}

__global__ void NumericLinearInputGradientKernel(size_t count, int features, int width, const float* weight,
                                                 const float* dout, float* dx, bool accumulate) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const float* const own = weight + i % features * width;
        float sum = 0.0f;
        for (int j = 0; j < width; ++j)
            sum += dout[i * width + j] * own[j];
        dx[i] = accumulate ? dx[i] + sum : sum;
    }
}

__global__ void PeriodicInputGradientKernel(size_t count, int features, int frequencies, const float* x,
                                            const float* coefficients, const float* dout, float* dx,
                                            bool accumulate) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const float* const own = coefficients + i % features * frequencies;
        const float* const gradient = dout + i * 2 * frequencies;
        float sum = 0.0f;
        for (int j = 0; j < frequencies; ++j) {
            float sine;
            float cosine;
            SinCosOfProduct(own[j], x[i], &sine, &cosine);
            sum += 6.28318531f * own[j] * (gradient[frequencies + j] * cosine - gradient[j] * sine);
        }
        dx[i] = accumulate ? dx[i] + sum : sum;
    }
}

/// Sums by bin, of one feature and one split of the rows to a block: whole[b] = Σ dout, part[b] = Σ fraction·dout over
/// the rows whose value lies in bin b, in sums[split, whole or part, bin, column]. A thread owns a column, so that its
/// rows come in order. `in_shared`: there is shared memory for the sums of a feature.
__global__ void BinSumsKernel(int rows, int features, int width, int splits, size_t total,
                              const int32_t* __restrict__ bins, const float* __restrict__ fractions,
                              const int32_t* __restrict__ bin_offsets, const float* __restrict__ dout, bool in_shared,
                              float* sums) {
    DLENT_DYNAMIC_SHARED(float, shared_sums);
    const int f = blockIdx.x;
    const int split = blockIdx.y;
    const int begin = static_cast<int>(static_cast<int64_t>(rows) * split / splits);
    const int end = static_cast<int>(static_cast<int64_t>(rows) * (split + 1) / splits);
    const size_t first = static_cast<size_t>(bin_offsets[f]) * width;
    const size_t size = static_cast<size_t>(bin_offsets[f + 1]) * width - first;
    float* const whole = sums + static_cast<size_t>(split) * 2 * total + first;
    float* const part = whole + total;
    float* const whole_sums = in_shared ? shared_sums : whole;
    float* const part_sums = in_shared ? shared_sums + size : part;
    for (size_t i = threadIdx.x; i < size; i += blockDim.x) {
        whole_sums[i] = 0.0f;
        part_sums[i] = 0.0f;
    }
    __syncthreads();
    for (int column = threadIdx.x; column < width; column += blockDim.x) {
        constexpr int kAhead = 4;  // rows whose loads do not wait for each other's sums
        for (int row = begin; row < end; row += kAhead) {
            float gradient[kAhead];
            float fraction[kAhead];
            int bin[kAhead];
#pragma unroll
            for (int i = 0; i < kAhead; ++i) {
                if (row + i < end) {
                    const size_t entry = static_cast<size_t>(row + i) * features + f;
                    gradient[i] = dout[entry * width + column];
                    fraction[i] = fractions[entry];
                    bin[i] = bins[entry];
                }
            }
#pragma unroll
            for (int i = 0; i < kAhead; ++i) {
                if (row + i < end) {
                    const size_t at = static_cast<size_t>(bin[i]) * width + column;
                    whole_sums[at] += gradient[i];
                    part_sums[at] += fraction[i] * gradient[i];
                }
            }
        }
    }
    __syncthreads();
    for (size_t i = threadIdx.x; in_shared && i < size; i += blockDim.x) {
        whole[i] = whole_sums[i];
        part[i] = part_sums[i];
    }
}

/// A value fills all bins below its own: dweight[b] = part[b] + Σ whole[b' > b].
__global__ void BinFinishKernel(size_t count, int width, const int32_t* bin_offsets, const float* __restrict__ whole,
                                const float* __restrict__ part, float* __restrict__ dweight) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const int f = static_cast<int>(i / width);
        const size_t column = i % width;
        float above = 0.0f;
#pragma unroll 4
        for (int b = bin_offsets[f + 1] - 1; b >= bin_offsets[f]; --b) {
            const size_t at = static_cast<size_t>(b) * width + column;
            dweight[at] = part[at] + above;
            above += whole[at];
        }
    }
}

__global__ void NumericLinearForwardKernel(size_t count, int columns, int width, const float* x,
                                           const float* weight, const float* bias, float* out,
                                           bool accumulate) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const size_t column = i % columns;  // feature · width + j
        float value = x[i / width] * weight[column];
        if (bias != nullptr)
            value += bias[column];
        out[i] = accumulate ? out[i] + value : value;
    }
}

__global__ void PeriodicForwardKernel(size_t count, int features, int frequencies, const float* x,
                                      const float* coefficients, float* out) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const size_t entry = i / frequencies;  // row · features + feature
        const int j = static_cast<int>(i % frequencies);
        float sine;
        float cosine;
        SinCosOfProduct(coefficients[entry % features * frequencies + j], x[entry], &sine, &cosine);
        float* const to = out + entry * 2 * frequencies;
        to[j] = cosine;
        to[frequencies + j] = sine;
    }
}

}  // namespace dlent::cuda
