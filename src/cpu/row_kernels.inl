// The row kernels' one text, compiled by row_kernels_{generic,avx2,avx512}.cpp with DLENT_VECTOR_FLOATS and
// the flags of their instruction set. Nothing with external linkage may be defined or instantiated here: the
// linker would be free to keep the copy that this machine cannot run.

#include <cstdint>

#include "cpu/row_kernels.h"

namespace dlent {
namespace {

constexpr int kFloats = DLENT_VECTOR_FLOATS;
typedef float Vector __attribute__((vector_size(kFloats * sizeof(float))));
typedef float UnalignedVector __attribute__((vector_size(kFloats * sizeof(float)), aligned(4)));

inline __attribute__((always_inline)) Vector Load(const float* p) {
    return *reinterpret_cast<const UnalignedVector*>(p);
}
inline __attribute__((always_inline)) void Store(float* p, Vector v) {
    *reinterpret_cast<UnalignedVector*>(p) = v;
}

/// kVectors accumulators stay in registers while all inputs stream by.
template <int kVectors>
inline __attribute__((always_inline)) void AffineBlock(const float* weight, int outputs, const int32_t* rows,
                                                       const float* values, int count, const float* init,
                                                       float* out) {
    Vector sum[kVectors];
    for (int v = 0; v < kVectors; ++v)
        sum[v] = Load(init + v * kFloats);
    for (int i = 0; i < count; ++i) {
        const float* row = weight + static_cast<int64_t>(rows[i]) * outputs;
        const float x = values[i];
        for (int v = 0; v < kVectors; ++v)
            sum[v] += x * Load(row + v * kFloats);
    }
    for (int v = 0; v < kVectors; ++v)
        Store(out + v * kFloats, sum[v]);
}

void Affine(const float* weight, int outputs, const int32_t* rows, const float* values, int count,
            const float* init, float* out) {
    int j = 0;
    if constexpr (DLENT_VECTOR_BLOCK >= 16)
        for (; j + 16 * kFloats <= outputs; j += 16 * kFloats)
            AffineBlock<16>(weight + j, outputs, rows, values, count, init + j, out + j);
    for (; j + 8 * kFloats <= outputs; j += 8 * kFloats)
        AffineBlock<8>(weight + j, outputs, rows, values, count, init + j, out + j);
    for (; j + 4 * kFloats <= outputs; j += 4 * kFloats)
        AffineBlock<4>(weight + j, outputs, rows, values, count, init + j, out + j);
    for (; j < outputs; j += kFloats)
        AffineBlock<1>(weight + j, outputs, rows, values, count, init + j, out + j);
}

float Dot(const float* a, const float* b, int count) {
    Vector sum = {};
    for (int i = 0; i < count; i += kFloats)
        sum += Load(a + i) * Load(b + i);
    float total = 0.0f;
    for (int lane = 0; lane < kFloats; ++lane)
        total += sum[lane];
    return total;
}

int Compress(const float* x, int count, int32_t* rows, float* values) {
    int used = 0;
    for (int i = 0; i < count; ++i) {
        rows[used] = i;
        values[used] = x[i];
        used += x[i] != 0.0f;
    }
    return used;
}

void Locate(const float* u, int features, const int32_t* bins, const float* edges, int32_t* bin,
            float* fraction) {
    for (int f = 0; f < features; ++f) {
        int low = 0;
        for (int length = bins[f]; length > 1;) {
            const int half = length / 2;
            low += u[f] >= edges[low + half] ? half : 0;
            length -= half;
        }
        float position = (u[f] - edges[low]) / (edges[low + 1] - edges[low]);
        position = position < 0.0f ? 0.0f : position;
        position = position > 1.0f ? 1.0f : position;
        bin[f] = low;
        fraction[f] = position;
        edges += bins[f] + 1;
    }
}

void PiecewiseLinear(int features, int width, const float* clipped, const int32_t* first_bin,
                     const int32_t* bin, const float* fraction, const float* linear, const float* start,
                     const float* slope, float* out) {
    for (int f = 0; f < features; ++f) {
        const int64_t row = static_cast<int64_t>(first_bin[f] + bin[f]) * width;
        for (int j = 0; j < width; ++j)
            out[j] = clipped[f] * linear[j] + start[row + j] + fraction[f] * slope[row + j];
        linear += width;
        out += width;
    }
}

constexpr RowKernels kKernels{DLENT_KERNEL_NAME, Affine, Dot, Compress, Locate, PiecewiseLinear};

}  // namespace

const RowKernels& DLENT_KERNEL_GETTER() {
    return kKernels;
}

}  // namespace dlent
