// The int8 kernels' one text, compiled by int8_kernels_{generic,avx2,avx512vnni}.cpp with the flags of
// their instruction set, and by a test. DLENT_INT8_LANES is the width of a vector in integers of 32 bits.
// Nothing with external linkage may be defined or instantiated here: the linker would be free to keep the
// copy that this machine cannot run.

#include <cstdint>

#include "cpu/int8_kernels.h"
#if defined(DLENT_INT8_AVX2) || defined(DLENT_INT8_VNNI)
#include <immintrin.h>
#endif

namespace dlent {
namespace {

constexpr int kLanes = DLENT_INT8_LANES;
typedef int32_t Ints __attribute__((vector_size(kLanes * 4)));
typedef int32_t UnalignedInts __attribute__((vector_size(kLanes * 4), aligned(1), may_alias));
typedef float Floats __attribute__((vector_size(kLanes * 4)));
typedef float UnalignedFloats __attribute__((vector_size(kLanes * 4), aligned(4)));

inline __attribute__((always_inline)) Ints LoadInts(const void* p) {
    return *static_cast<const UnalignedInts*>(p);
}
inline __attribute__((always_inline)) Floats LoadFloats(const float* p) {
    return *reinterpret_cast<const UnalignedFloats*>(p);
}

/// sum[l] + Σ_k x[l, k] · w[l, k], k < 4: bytes of 7 bits times signed bytes. What VNNI calls vpdpbusd.
inline __attribute__((always_inline)) Ints DotBytes(Ints sum, Ints x, Ints w) {
#if defined(DLENT_INT8_VNNI)
    return (Ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)w);
#elif defined(DLENT_INT8_AVX2)
    const __m256i pairs = _mm256_maddubs_epi16((__m256i)x, (__m256i)w);
    return sum + (Ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#else
    typedef int16_t Shorts __attribute__((vector_size(kLanes * 4)));
    const Shorts xs = (Shorts)x;
    const Shorts ws = (Shorts)w;
    const Shorts pairs = (xs & 0xff) * ((ws << 8) >> 8) + (xs >> 8) * (ws >> 8);
    return sum + (((Ints)pairs << 16) >> 16) + ((Ints)pairs >> 16);
#endif
}

/// The same four inputs in every lane.
inline __attribute__((always_inline)) Ints BroadcastBytes(const uint8_t* x) {
    int32_t four;
    __builtin_memcpy(&four, x, sizeof(four));
    return Ints{} + four;
}

/// A sum as it is stored. What the row kernels do with theirs.
inline __attribute__((always_inline)) Floats FinishSum(Ints sum, const float* scale, const float* bias,
                                                       bool relu) {
    const Floats zero = {};
    const Floats value = __builtin_convertvector(sum, Floats) * LoadFloats(scale) + LoadFloats(bias);
    return relu ? (value > zero ? value : zero) : value + zero;
}

/// kRows rows by kVectors vectors of outputs: all sums stay in registers while the inputs stream by.
template <int kRows, int kVectors>
inline __attribute__((always_inline)) void Int8Tile(const int8_t* weight, int outputs, const uint8_t* x,
                                                    int inputs, const int32_t* start, const float* scale,
                                                    const float* bias, bool relu, float* out) {
    Ints sum[kRows][kVectors];
    for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kVectors; ++v)
            sum[r][v] = LoadInts(start + v * kLanes);
    for (int i = 0; i < inputs; i += 4, weight += static_cast<int64_t>(outputs) * 4) {
        Ints w[kVectors];
        for (int v = 0; v < kVectors; ++v)
            w[v] = LoadInts(weight + v * kLanes * 4);
        for (int r = 0; r < kRows; ++r) {
            const Ints four = BroadcastBytes(x + static_cast<int64_t>(r) * inputs + i);
            for (int v = 0; v < kVectors; ++v)
                sum[r][v] = DotBytes(sum[r][v], four, w[v]);
        }
    }
    for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kVectors; ++v)
            *reinterpret_cast<UnalignedFloats*>(out + static_cast<int64_t>(r) * outputs + v * kLanes) =
                FinishSum(sum[r][v], scale + v * kLanes, bias + v * kLanes, relu);
}

/// A row alone: many sums at a time hide how long each takes.
void Int8Row(const int8_t* weight, int outputs, const uint8_t* x, int inputs, const int32_t* start,
             const float* scale, const float* bias, bool relu, float* out) {
    constexpr int kVectors = DLENT_INT8_ROW_VECTORS;
    int j = 0;
    for (; j + kVectors * kLanes <= outputs; j += kVectors * kLanes)
        Int8Tile<1, kVectors>(weight + j * 4, outputs, x, inputs, start + j, scale + j, bias + j, relu,
                              out + j);
    for (; j < outputs; j += kLanes)
        Int8Tile<1, 1>(weight + j * 4, outputs, x, inputs, start + j, scale + j, bias + j, relu, out + j);
}

/// One stripe of outputs, for all rows: its weights stay in the first-level cache.
template <int kVectors>
inline __attribute__((always_inline)) void Int8Stripe(const int8_t* weight, int outputs, const uint8_t* x,
                                                      int inputs, int rows, const int32_t* start,
                                                      const float* scale, const float* bias, bool relu,
                                                      float* out) {
    constexpr int kRows = DLENT_INT8_TILE_ROWS;
    int64_t r = 0;
    for (; r + kRows <= rows; r += kRows)
        Int8Tile<kRows, kVectors>(weight, outputs, x + r * inputs, inputs, start, scale, bias, relu,
                                  out + r * outputs);
    for (; r < rows; ++r)
        Int8Tile<1, kVectors>(weight, outputs, x + r * inputs, inputs, start, scale, bias, relu,
                              out + r * outputs);
}

void Int8Dense(const int8_t* weight, int outputs, const uint8_t* x, int inputs, int rows,
               const int32_t* start, const float* scale, const float* bias, bool relu, float* out) {
    if (rows == 1) {
        Int8Row(weight, outputs, x, inputs, start, scale, bias, relu, out);
        return;
    }
    constexpr int kVectors = DLENT_INT8_TILE_VECTORS;
    int j = 0;
    for (; j + kVectors * kLanes <= outputs; j += kVectors * kLanes)
        Int8Stripe<kVectors>(weight + j * 4, outputs, x, inputs, rows, start + j, scale + j, bias + j, relu,
                             out + j);
    for (; j < outputs; j += kLanes)
        Int8Stripe<1>(weight + j * 4, outputs, x, inputs, rows, start + j, scale + j, bias + j, relu,
                      out + j);
}

void Quantize(const float* x, int count, float inverse_scale, float zero_point, uint8_t* out) {
    for (int i = 0; i < count; ++i) {
        float value = x[i] * inverse_scale + zero_point;
        value = value > 0.0f ? value : 0.0f;
        value = value < kMaxInt8Input ? value : kMaxInt8Input;
        out[i] = static_cast<uint8_t>(static_cast<int32_t>(value + 0.5f));
    }
}

constexpr Int8Kernels kKernels{DLENT_KERNEL_NAME, Quantize, Int8Dense};

}  // namespace

const Int8Kernels& DLENT_KERNEL_GETTER() {
    return kKernels;
}

}  // namespace dlent
