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

/// A sum as it is stored. A sum of zero may have either sign, by the way it was summed; one is left.
inline __attribute__((always_inline)) Vector Finish(Vector sum, bool relu) {
    const Vector zero = {};
    return relu ? (sum > zero ? sum : zero) : sum + zero;
}

/// kVectors accumulators stay in registers while all inputs stream by.
template <int kVectors>
inline __attribute__((always_inline)) void AffineBlock(const float* weight, int outputs, const int32_t* rows,
                                                       const float* values, int count, const float* init,
                                                       bool relu, float* out) {
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
        Store(out + v * kFloats, Finish(sum[v], relu));
}

void Affine(const float* weight, int outputs, const int32_t* rows, const float* values, int count,
            const float* init, bool relu, float* out) {
    int j = 0;
    if constexpr (DLENT_VECTOR_BLOCK >= 16)
        for (; j + 16 * kFloats <= outputs; j += 16 * kFloats)
            AffineBlock<16>(weight + j, outputs, rows, values, count, init + j, relu, out + j);
    for (; j + 8 * kFloats <= outputs; j += 8 * kFloats)
        AffineBlock<8>(weight + j, outputs, rows, values, count, init + j, relu, out + j);
    for (; j + 4 * kFloats <= outputs; j += 4 * kFloats)
        AffineBlock<4>(weight + j, outputs, rows, values, count, init + j, relu, out + j);
    for (; j < outputs; j += kFloats)
        AffineBlock<1>(weight + j, outputs, rows, values, count, init + j, relu, out + j);
}

/// kRows rows by kVectors vectors of outputs: all sums stay in registers while the inputs stream by.
template <int kRows, int kVectors>
inline __attribute__((always_inline)) void AffineTile(const float* weight, int outputs, const float* x,
                                                      int stride, int inputs, const int32_t* rows,
                                                      int row_count, const float* init, bool relu,
                                                      float* out) {
    // Unrolled, or the sums would be an array in memory.
    Vector sum[kRows][kVectors];
    for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kVectors; ++v)
            sum[r][v] = Load(init + v * kFloats);
    const float* input_weight = weight;
    for (int i = 0; i < inputs; ++i, input_weight += outputs) {
        Vector w[kVectors];
        for (int v = 0; v < kVectors; ++v)
            w[v] = Load(input_weight + v * kFloats);
        for (int r = 0; r < kRows; ++r)
            for (int v = 0; v < kVectors; ++v)
                sum[r][v] += x[r * stride + i] * w[v];
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
        for (int k = 0; k < row_count; ++k) {
            const int32_t row = rows[r * row_count + k];
            if (row < 0)
                continue;
            const float* extra = weight + static_cast<int64_t>(row) * outputs;
            for (int v = 0; v < kVectors; ++v)
                sum[r][v] += Load(extra + v * kFloats);
        }
        for (int v = 0; v < kVectors; ++v)
            Store(out + static_cast<int64_t>(r) * outputs + v * kFloats, Finish(sum[r][v], relu));
    }
}

/// One stripe of outputs, for all rows of the block.
template <int kVectors>
inline __attribute__((always_inline)) void AffineStripe(const float* weight, int outputs, const float* x,
                                                        int stride, int inputs, const int32_t* rows,
                                                        int row_count, int block, const float* init,
                                                        bool relu, float* out) {
    constexpr int kRows = DLENT_TILE_ROWS;
    int r = 0;
    for (; r + kRows <= block; r += kRows)
        AffineTile<kRows, kVectors>(weight, outputs, x + r * stride, stride, inputs, rows + r * row_count,
                                    row_count, init, relu, out + static_cast<int64_t>(r) * outputs);
    for (; r + 2 <= block; r += 2)
        AffineTile<2, kVectors>(weight, outputs, x + r * stride, stride, inputs, rows + r * row_count,
                                row_count, init, relu, out + static_cast<int64_t>(r) * outputs);
    for (; r < block; ++r)
        AffineTile<1, kVectors>(weight, outputs, x + r * stride, stride, inputs, rows + r * row_count,
                                row_count, init, relu, out + static_cast<int64_t>(r) * outputs);
}

void AffineRows(const float* weight, int outputs, const float* x, int stride, int inputs, const int32_t* rows,
                int row_count, int block, const float* init, bool relu, float* out) {
    constexpr int kVectors = DLENT_TILE_VECTORS;
    int j = 0;
    for (; j + kVectors * kFloats <= outputs; j += kVectors * kFloats)
        AffineStripe<kVectors>(weight + j, outputs, x, stride, inputs, rows, row_count, block, init + j, relu,
                               out + j);
    for (; j < outputs; j += kFloats)
        AffineStripe<1>(weight + j, outputs, x, stride, inputs, rows, row_count, block, init + j, relu,
                        out + j);
}

/// Whole vectors, of which the last may overlap the one before it: nothing beyond the numbers is read.
template <typename T>
void FloatsOf(const void* numbers, int count, float* out) {
    constexpr int kLanes = kFloats / 2;  // a vector of doubles
    typedef T Numbers __attribute__((vector_size(kLanes * sizeof(T)), aligned(1), may_alias));
    typedef double Doubles __attribute__((vector_size(kLanes * sizeof(double))));
    typedef float Halves __attribute__((vector_size(kLanes * sizeof(float)), aligned(4)));
    const auto* number = static_cast<const char*>(numbers);
    if (count < kLanes) {
        for (int i = 0; i < count; ++i) {
            T value;
            __builtin_memcpy(&value, number + i * sizeof(T), sizeof(T));
            out[i] = static_cast<float>(static_cast<double>(value));
        }
        return;
    }
    for (int i = 0; i < count; i += kLanes) {
        const int first = i + kLanes <= count ? i : count - kLanes;
        const auto* stored = reinterpret_cast<const Numbers*>(number + first * sizeof(T));
        const Doubles doubles = __builtin_convertvector(*stored, Doubles);
        *reinterpret_cast<Halves*>(out + first) = __builtin_convertvector(doubles, Halves);
    }
}

void Floats(NumberType type, const void* numbers, int count, float* out) {
    switch (type) {
        case NumberType::kBool:
            FloatsOf<uint8_t>(numbers, count, out);
            break;
        case NumberType::kInt16:
            FloatsOf<int16_t>(numbers, count, out);
            break;
        case NumberType::kInt32:
            FloatsOf<int32_t>(numbers, count, out);
            break;
        case NumberType::kInt64:
            FloatsOf<int64_t>(numbers, count, out);
            break;
        case NumberType::kFloat32:
            FloatsOf<float>(numbers, count, out);
            break;
        case NumberType::kFloat64:
            FloatsOf<double>(numbers, count, out);
            break;
    }
}

float Dot(const float* a, const float* b, int count) {
    // kRowPadding lanes whatever the vectors, so that wider ones give the same bits
    constexpr int kVectors = kRowPadding / kFloats;
    Vector sum[kVectors] = {};
    for (int i = 0; i < count; i += kRowPadding)
        for (int v = 0; v < kVectors; ++v)
            sum[v] += Load(a + i + v * kFloats) * Load(b + i + v * kFloats);
    float lanes[kRowPadding];
    for (int v = 0; v < kVectors; ++v)
        Store(lanes + v * kFloats, sum[v]);
#pragma GCC unroll 4
    for (int half = kRowPadding / 2; half > 0; half /= 2)
        for (int lane = 0; lane < half; ++lane)
            lanes[lane] += lanes[lane + half];
    return lanes[0];
}

void SmoothClip(const float* u, int count, float inverse_limit, float* out) {
    for (int i = 0; i < count; ++i) {
        const float ratio = u[i] * inverse_limit;
        out[i] = u[i] / __builtin_sqrtf(1.0f + ratio * ratio);
    }
}

/// Entries i to i + kFloats of all rows: what describes them is loaded once.
void EncodeVector(const FloatEncoding& encoding, int i, bool neighbours, int rows, const Cell* cells,
                  int row_cells, float* out) {
    typedef int32_t Integers __attribute__((vector_size(kFloats * sizeof(int32_t))));
    typedef int32_t UnalignedIntegers __attribute__((vector_size(kFloats * sizeof(int32_t)), aligned(4)));
    const Vector center = Load(encoding.center + i);
    const Vector scale = Load(encoding.scale + i);
    const Vector minimum = Load(encoding.minimum + i);
    const Vector maximum = Load(encoding.maximum + i);
    const Integers indicator = *reinterpret_cast<const UnalignedIntegers*>(encoding.indicator + i) != 0;
    const int32_t* cell = encoding.cell + i;
    for (int row = 0; row < rows; ++row, cells += row_cells, out += encoding.count) {
        float gathered[kFloats];
        const float* values = &cells[cell[0]].f;
        if (!neighbours) {
            for (int k = 0; k < kFloats; ++k)
                gathered[k] = cells[cell[k]].f;
            values = gathered;
        }
        Store(out + i, EncodeFloat(Load(values), center, scale, minimum, maximum, indicator));
    }
}

void Encode(const FloatEncoding& encoding, int rows, const Cell* cells, int row_cells, float* out) {
    const int blocks = (encoding.count + FloatEncoding::kBlock - 1) / FloatEncoding::kBlock;
    for (int block = 0; block < blocks; ++block) {
        const int first = encoding.first_of_block(block);
        const int entries = encoding.count < FloatEncoding::kBlock ? encoding.count : FloatEncoding::kBlock;
        // the last vector first: that of few entries reaches into the next row
        for (int i = (entries - 1) / kFloats * kFloats; i >= 0; i -= kFloats)
            EncodeVector(encoding, first + i, encoding.neighbours[block] != 0, rows, cells, row_cells, out);
    }
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

constexpr RowKernels kKernels{DLENT_KERNEL_NAME, Affine, AffineRows, Floats, Dot,
                              SmoothClip,        Encode, Compress,   Locate, PiecewiseLinear};

}  // namespace

const RowKernels& DLENT_KERNEL_GETTER() {
    return kKernels;
}

}  // namespace dlent
