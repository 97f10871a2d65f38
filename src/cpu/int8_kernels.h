#pragma once

#include <cstdint>

#include "cpu/cpu_backend.h"

namespace dlent {

/// Kernels of dense layers whose weights and inputs are integers of 8 bits, chosen at run time. Inputs have 7
/// bits: the sum of two products then fits 16 bits, which is as far as AVX2 adds them without saturating.
/// All sums are exact in 32 bits, and products and sums of floats round one by one, so every set gives the
/// same bits, for a row alone as in a block.
struct Int8Kernels {
    const char* name;

    /// out[i] = ⌊min(max(x[i] · inverse_scale + zero_point, 0), kMaxInt8Input) + ½⌋, 0 for NaN; `count` is a
    /// multiple of kRowPadding.
    void (*quantize)(const float* x, int count, float inverse_scale, float zero_point, uint8_t* out);
    /// out[r · outputs + j] = float(start[j] + Σ_i x[r · inputs + i] · w[i, j]) · scale[j] + bias[j], j <
    /// outputs, and with `relu` max(·, 0) of it; never -0. `inputs` and `outputs` are multiples of
    /// kRowPadding; the weight w[i, j] is at weight[(i / 4 · outputs + j) · 4 + i % 4].
    void (*dense)(const int8_t* weight, int outputs, const uint8_t* x, int inputs, int rows,
                  const int32_t* start, const float* scale, const float* bias, bool relu, float* out);
};

constexpr int kMaxInt8Input = 127;
constexpr int kMaxInt8Weight = 127;
/// Inputs of a layer: no sum of theirs, whatever it starts with, leaves 32 bits.
constexpr int kMaxInt8Inputs = 1 << 16;

/// The fastest set that this processor runs, up to `max_isa`: with AVX-512, that of its VNNI instructions
/// where they are.
const Int8Kernels& SelectInt8Kernels(CpuIsa max_isa);

// One set per translation unit; SelectInt8Kernels is the only caller.
const Int8Kernels& GenericInt8Kernels();
#if defined(__x86_64__)
const Int8Kernels& Avx2Int8Kernels();
const Int8Kernels& Avx512Int8Kernels();
#endif

}  // namespace dlent
