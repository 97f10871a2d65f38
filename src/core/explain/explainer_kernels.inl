// The explainer's inner loops, compiled with the flags of each instruction set. Nothing with external linkage
// may be defined or instantiated here: the linker would be free to keep the copy that this machine cannot
// run.

#include <cstring>

#include "core/explain/elementary.h"
#include "core/explain/explainer_kernels.h"

namespace dlent {
namespace {

constexpr int kLanes = 8;
typedef double Lanes __attribute__((vector_size(kLanes * sizeof(double))));
typedef double UnalignedLanes __attribute__((vector_size(kLanes * sizeof(double)), aligned(8)));
typedef uint64_t Words __attribute__((vector_size(kLanes * sizeof(uint64_t))));
typedef uint64_t UnalignedWords __attribute__((vector_size(kLanes * sizeof(uint64_t)), aligned(8)));

#define DLENT_INLINE inline __attribute__((always_inline))

DLENT_INLINE Lanes LoadLanes(const double* p) {
    return *reinterpret_cast<const UnalignedLanes*>(p);
}
DLENT_INLINE Words LoadWords(const uint64_t* p) {
    return *reinterpret_cast<const UnalignedWords*>(p);
}
DLENT_INLINE double Join(const Lanes& lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

void Transpose(const uint64_t* from, int from_stride, uint64_t* to, int to_stride) {
    uint64_t rows[64];
    for (int i = 0; i < 64; ++i)
        rows[i] = from[static_cast<int64_t>(i) * from_stride];
    uint64_t mask = 0x00000000ffffffffULL;
    for (int j = 32; j > 0; j >>= 1, mask ^= mask << j) {
        for (int base = 0; base < 64; base += 2 * j) {
            for (int i = base; i < base + j; ++i) {
                const uint64_t swapped = (rows[i] >> j ^ rows[i + j]) & mask;
                rows[i] ^= swapped << j;
                rows[i + j] ^= swapped;
            }
        }
    }
    for (int i = 0; i < 64; ++i)
        to[static_cast<int64_t>(i) * to_stride] = rows[i];
}

/// The bits set in each byte.
DLENT_INLINE Words ByteCounts(Words x) {
    x -= x >> 1 & 0x5555555555555555ULL;
    x = (x & 0x3333333333333333ULL) + (x >> 2 & 0x3333333333333333ULL);
    return (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
}
DLENT_INLINE Words SumBytes(Words x) {
    x = (x & 0x00ff00ff00ff00ffULL) + (x >> 8 & 0x00ff00ff00ff00ffULL);
    x += x >> 16;
    x += x >> 32;
    return x & 0xffffULL;
}

/// Pairs (i, j .. j + 7) of one group. Byte counts hold 31 words of 8 before they must be summed.
DLENT_INLINE Lanes JointCounts(const uint64_t* bits, int stride, int i, int j, int begin, int end) {
    Words total = {};
    while (begin < end) {
        const int stop = begin + 31 < end ? begin + 31 : end;
        Words bytes = {};
        for (int w = begin; w < stop; ++w) {
            const uint64_t* word = bits + static_cast<int64_t>(w) * stride;
            bytes += ByteCounts(LoadWords(word + j) & word[i]);
        }
        total += SumBytes(bytes);
        begin = stop;
    }
    return __builtin_convertvector(total, Lanes);
}

void JointWeights(const uint64_t* bits, int stride, int features, int first, int last,
                  const WeightGroup* groups, int group_count, double* gram) {
    for (int i = first; i < last; ++i) {
        for (int j = i / kLanes * kLanes; j < features; j += kLanes) {
            Lanes sum = {};
            for (int g = 0; g < group_count; ++g)
                sum += groups[g].weight * JointCounts(bits, stride, i, j, groups[g].begin, groups[g].end);
            for (int lane = 0; lane < kLanes && j + lane < features; ++lane) {
                gram[static_cast<int64_t>(i) * features + j + lane] = sum[lane];
                gram[static_cast<int64_t>(j + lane) * features + i] = sum[lane];
            }
        }
    }
}

/// Lanes of ones where a byte's bits are set.
struct LaneMasks {
    uint64_t of_byte[256][kLanes];
    constexpr LaneMasks() : of_byte() {
        for (int byte = 0; byte < 256; ++byte)
            for (int lane = 0; lane < kLanes; ++lane)
                of_byte[byte][lane] = (byte >> lane & 1) != 0 ? ~uint64_t{0} : 0;
    }
};
alignas(64) constexpr LaneMasks kLaneMasks;

void MaskedSums(const uint64_t* bits, int stride, int features, int words, const double* values,
                double* sums) {
    for (int f = 0; f < features; ++f) {
        Lanes sum = {};
        for (int w = 0; w < words; ++w) {
            const uint64_t word = bits[static_cast<int64_t>(w) * stride + f];
            const double* of_word = values + static_cast<int64_t>(w) * 64;
            for (int byte = 0; byte < 8; ++byte) {
                const Words mask = LoadWords(kLaneMasks.of_byte[word >> (8 * byte) & 255]);
                sum += reinterpret_cast<Lanes>(
                    LoadWords(reinterpret_cast<const uint64_t*>(of_word) + 8 * byte) & mask);
            }
        }
        sums[f] = Join(sum);
    }
}

void DotProducts(const double* a, const double* columns, int column_count, int count, double* products) {
    int i = 0;
    for (; i + 4 <= column_count; i += 4) {
        const double* c = columns + static_cast<int64_t>(i) * count;
        Lanes sum[4] = {};
        for (int r = 0; r < count; r += kLanes) {
            const Lanes x = LoadLanes(a + r);
            for (int v = 0; v < 4; ++v)
                sum[v] += x * LoadLanes(c + static_cast<int64_t>(v) * count + r);
        }
        for (int v = 0; v < 4; ++v)
            products[i + v] = Join(sum[v]);
    }
    for (; i < column_count; ++i) {
        const double* c = columns + static_cast<int64_t>(i) * count;
        Lanes sum = {};
        for (int r = 0; r < count; r += kLanes)
            sum += LoadLanes(a + r) * LoadLanes(c + r);
        products[i] = Join(sum);
    }
}

void NormalQuantiles(int count, double* values) {
    int i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        const Lanes p = LoadLanes(values + i);
        const Lanes q = p - 0.5;
        const auto inside = (q > -0.425) & (q < 0.425);
        int outside = 0;
        for (int lane = 0; lane < kLanes; ++lane)
            outside |= inside[lane] == 0;
        if (outside != 0) {
            for (int lane = 0; lane < kLanes; ++lane)
                values[i + lane] = PortableNormalQuantile(p[lane]);
            continue;
        }
        *reinterpret_cast<UnalignedLanes*>(values + i) = CentralNormalQuantile(q);
    }
    for (; i < count; ++i)
        values[i] = PortableNormalQuantile(values[i]);
}

double Residuals(int k, int count, const double* columns, const double* coefficients, const double* weights,
                 const double* y, double* meat) {
    constexpr int kBlock = 256;  // rows whose scores stay in the nearest cache
    double scores[kBlock];
    Lanes squares = {};
    for (int begin = 0; begin < count; begin += kBlock) {
        const int rows = count - begin < kBlock ? count - begin : kBlock;
        for (int r = 0; r < rows; r += kLanes) {
            Lanes e = LoadLanes(y + begin + r);
            for (int j = 0; j < k; ++j)
                e -= coefficients[j] * LoadLanes(columns + static_cast<int64_t>(j) * count + begin + r);
            const Lanes w = LoadLanes(weights + begin + r);
            squares += w * e * e;
            *reinterpret_cast<UnalignedLanes*>(scores + r) = w * e * (w * e);
        }
        for (int i = 0; i < k; ++i) {
            const double* a = columns + static_cast<int64_t>(i) * count + begin;
            for (int j = 0; j <= i; ++j) {
                const double* b = columns + static_cast<int64_t>(j) * count + begin;
                Lanes sum = {};
                for (int r = 0; r < rows; r += kLanes)
                    sum += LoadLanes(scores + r) * LoadLanes(a + r) * LoadLanes(b + r);
                meat[i * k + j] += Join(sum);
            }
        }
    }
    return Join(squares);
}

constexpr ExplainerKernels kKernels{DLENT_KERNEL_NAME, Transpose,       JointWeights, MaskedSums,
                                    DotProducts,       NormalQuantiles, Residuals};

}  // namespace

const ExplainerKernels& DLENT_KERNEL_GETTER() {
    return kKernels;
}

}  // namespace dlent
