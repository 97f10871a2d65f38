#pragma once

#include <cstdint>

#include "core/features/float_encoding.h"
#include "core/features/table.h"
#include "cpu/cpu_backend.h"

namespace dlent {

/// How the numbers of a run of columns are stored.
enum class NumberType : uint8_t { kBool, kInt16, kInt32, kInt64, kFloat32, kFloat64 };

/// Kernels that score rows, compiled once per instruction set and chosen at run time. Weights are stored by
/// input row, padded to kRowPadding columns. A row alone skips inputs of zero (half of them after a ReLU);
/// blocks of rows share the loads of the weights. Both sum in the order of the inputs, one fused product at a
/// time, so a row gets the same bits either way: a product with zero changes no sum but the sign of a zero,
/// which activations drop.
struct RowKernels {
    const char* name;

    /// out[j] = init[j] + Σ_i values[i] · weight[rows[i] · outputs + j], j < outputs, in the order of i.
    /// `outputs` is a multiple of kRowPadding. With `relu`, max(·, 0) of it. Never -0.
    void (*affine)(const float* weight, int outputs, const int32_t* rows, const float* values, int count,
                   const float* init, bool relu, float* out);
    /// The same for a block: out[r · outputs + j] = init[j] + Σ_i x[r · stride + i] · weight[i · outputs +
    /// j], i < inputs, and then Σ_k weight[rows[r · row_count + k] · outputs + j] over the k whose row is not
    /// -1.
    void (*affine_block)(const float* weight, int outputs, const float* x, int stride, int inputs,
                         const int32_t* rows, int row_count, int block, const float* init, bool relu,
                         float* out);
    /// out[i] = the i-th of `count` numbers that lie side by side, aligned or not, rounded to double and then
    /// to float.
    void (*floats)(NumberType type, const void* numbers, int count, float* out);
    /// Σ_i a[i] · b[i]; `count` is a multiple of kRowPadding.
    float (*dot)(const float* a, const float* b, int count);
    /// out[i] = u[i] / √(1 + (u[i] · inverse_limit)²).
    void (*smooth_clip)(const float* u, int count, float inverse_limit, float* out);
    /// Pipeline's encoding of a block of rows: cells [rows × row_cells] → out [rows × encoding.count], of
    /// which up to FloatEncoding::kBlock - 1 more floats are overwritten.
    void (*encode)(const FloatEncoding& encoding, int rows, const Cell* cells, int row_cells, float* out);
    /// Lists the non-zero entries of x behind each other; returns how many.
    int (*compress)(const float* x, int count, int32_t* rows, float* values);
    /// Finds the bin of each of `features` values and its position within, clamped to [0, 1]. Feature f has
    /// bins[f] bins; its bins[f] + 1 edges follow those of the feature before it.
    void (*locate)(const float* u, int features, const int32_t* bins, const float* edges, int32_t* bin,
                   float* fraction);
    /// Piecewise-linear embeddings: out[f · width + j] = clipped[f] · linear[f, j] + start[row, j] +
    /// fraction[f] · slope[row, j] with row = first_bin[f] + bin[f]. `start` holds the bias and the sum of
    /// the bins below.
    void (*piecewise_linear)(int features, int width, const float* clipped, const int32_t* first_bin,
                             const int32_t* bin, const float* fraction, const float* linear,
                             const float* start, const float* slope, float* out);
};

constexpr int kRowPadding = 16;

/// The fastest set that this processor runs, up to `max_isa`.
const RowKernels& SelectRowKernels(CpuIsa max_isa);

// One set per translation unit; SelectRowKernels is the only caller.
const RowKernels& GenericRowKernels();
#if defined(__x86_64__)
const RowKernels& Avx2RowKernels();
const RowKernels& Avx512RowKernels();
#endif

}  // namespace dlent
