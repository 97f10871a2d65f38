// Activations, dropout and the other loops without a shape. Operands are the same array or do not overlap at
// all, which is what the ivdep pragmas tell the compiler.

constexpr float kSeluScale = 1.05070098735548049342f;
constexpr float kSeluAlpha = 1.67326324235437728481f;
constexpr float kLeakySlope = 0.01f;

template <Activation kActivation>
DLENT_INLINE float Activate(float x) {
    if constexpr (kActivation == Activation::kRelu) {
        return x < 0.0f ? 0.0f : x;
    } else if constexpr (kActivation == Activation::kLeakyRelu) {
        return x < 0.0f ? kLeakySlope * x : x;
    } else if constexpr (kActivation == Activation::kSelu) {
        const float below = kSeluScale * kSeluAlpha * ExpMinusOne(x);
        return x > 0.0f ? kSeluScale * x : below;
    } else if constexpr (kActivation == Activation::kGelu) {
        float density;
        return x * NormalDistribution(x, density);
    } else if constexpr (kActivation == Activation::kSilu) {
        return x * Logistic(x);
    } else if constexpr (kActivation == Activation::kMish) {
        // tanh(ln(1 + e)) = n / (n + 2), n = e² + 2e, which is 1 in single precision above 20.
        const float e = Exp(x > 20.0f ? 20.0f : x);
        const float n = e * (e + 2.0f);
        return x * (n / (n + 2.0f));
    } else if constexpr (kActivation == Activation::kTanh) {
        return Tanh(x);
    } else if constexpr (kActivation == Activation::kSigmoid) {
        return Logistic(x);
    } else {
        return x;
    }
}

/// The derivative, from the argument x and the value y (each where NeedsPreactivation says).
template <Activation kActivation>
DLENT_INLINE float Slope(float x, float y) {
    if constexpr (kActivation == Activation::kRelu) {
        return y > 0.0f ? 1.0f : 0.0f;
    } else if constexpr (kActivation == Activation::kLeakyRelu) {
        return y > 0.0f ? 1.0f : kLeakySlope;
    } else if constexpr (kActivation == Activation::kSelu) {
        return y > 0.0f ? kSeluScale : y + kSeluScale * kSeluAlpha;
    } else if constexpr (kActivation == Activation::kGelu) {
        float density;
        const float distribution = NormalDistribution(x, density);
        return distribution + x * density * 0.398942280f;
    } else if constexpr (kActivation == Activation::kSilu) {
        const float s = Logistic(x);
        return s + s * x * (1.0f - s);
    } else if constexpr (kActivation == Activation::kMish) {
        const float e = Exp(x > 20.0f ? 20.0f : x);
        const float n = e * (e + 2.0f);
        const float inverse = 1.0f / (n + 2.0f);
        return n * inverse + x * 4.0f * e * (1.0f + e) * inverse * inverse;
    } else if constexpr (kActivation == Activation::kTanh) {
        return 1.0f - y * y;
    } else if constexpr (kActivation == Activation::kSigmoid) {
        return y * (1.0f - y);
    } else {
        return 1.0f;
    }
}

/// Calls `body` with the activation as a compile-time constant.
#define DLENT_SWITCH_ACTIVATION(activation, function, ...)        \
    switch (activation) {                                         \
        case Activation::kIdentity:                               \
            return function<Activation::kIdentity>(__VA_ARGS__);  \
        case Activation::kRelu:                                   \
            return function<Activation::kRelu>(__VA_ARGS__);      \
        case Activation::kLeakyRelu:                              \
            return function<Activation::kLeakyRelu>(__VA_ARGS__); \
        case Activation::kSelu:                                   \
            return function<Activation::kSelu>(__VA_ARGS__);      \
        case Activation::kGelu:                                   \
            return function<Activation::kGelu>(__VA_ARGS__);      \
        case Activation::kSilu:                                   \
            return function<Activation::kSilu>(__VA_ARGS__);      \
        case Activation::kMish:                                   \
            return function<Activation::kMish>(__VA_ARGS__);      \
        case Activation::kTanh:                                   \
            return function<Activation::kTanh>(__VA_ARGS__);      \
        case Activation::kSigmoid:                                \
            return function<Activation::kSigmoid>(__VA_ARGS__);   \
    }

template <Activation kActivation>
void ActivationForwardOf(size_t count, const float* x, float* y) {
#pragma GCC ivdep
    for (size_t i = 0; i < count; ++i)
        y[i] = Activate<kActivation>(x[i]);
}

void ActivationForward(Activation activation, size_t count, const float* x, float* y) {
    DLENT_SWITCH_ACTIVATION(activation, ActivationForwardOf, count, x, y)
}

template <Activation kActivation>
void ActivationBackwardOf(size_t count, const float* x, const float* y, const float* dy, float* dx) {
    const float* source = NeedsPreactivation(kActivation) ? x : y;
#pragma GCC ivdep
    for (size_t i = 0; i < count; ++i)
        dx[i] = dy[i] * Slope<kActivation>(source[i], source[i]);
}

template <>
void ActivationBackwardOf<Activation::kIdentity>(size_t count, const float*, const float*, const float* dy,
                                                 float* dx) {
    if (dx != dy)
        __builtin_memcpy(dx, dy, count * sizeof(float));
}

void ActivationBackward(Activation activation, size_t count, const float* x, const float* y, const float* dy,
                        float* dx) {
    DLENT_SWITCH_ACTIVATION(activation, ActivationBackwardOf, count, x, y, dy, dx)
}

template <Activation kActivation>
void ParametricForwardOf(int rows, int columns, const float* x, const float* alpha, float* y) {
    for (int row = 0; row < rows; ++row, x += columns, y += columns)
#pragma GCC ivdep
        for (int j = 0; j < columns; ++j)
            y[j] = x[j] + alpha[j] * (Activate<kActivation>(x[j]) - x[j]);
}

void ParametricActivationForward(Activation activation, int rows, int columns, const float* x,
                                 const float* alpha, float* y) {
    DLENT_SWITCH_ACTIVATION(activation, ParametricForwardOf, rows, columns, x, alpha, y)
}

template <Activation kActivation>
void ParametricBackwardOf(int rows, int columns, const float* x, const float* alpha, const float* dy,
                          float* dx, float* dalpha) {
    __builtin_memset(dalpha, 0, static_cast<size_t>(columns) * sizeof(float));
    for (int row = 0; row < rows; ++row, x += columns, dy += columns, dx += columns)
#pragma GCC ivdep
        for (int j = 0; j < columns; ++j) {
            const float value = Activate<kActivation>(x[j]);
            const float gradient = dy[j];
            dalpha[j] += gradient * (value - x[j]);
            dx[j] = gradient * (1.0f + alpha[j] * (Slope<kActivation>(x[j], value) - 1.0f));
        }
}

void ParametricActivationBackward(Activation activation, int rows, int columns, const float* x,
                                  const float* alpha, const float* dy, float* dx, float* dalpha) {
    DLENT_SWITCH_ACTIVATION(activation, ParametricBackwardOf, rows, columns, x, alpha, dy, dx, dalpha)
}

void Axpy(size_t count, float alpha, const float* x, float* y) {
#pragma GCC ivdep
    for (size_t i = 0; i < count; ++i)
        y[i] += alpha * x[i];
}

void SmoothClipForward(size_t count, float limit, const float* x, float* y) {
    const float inverse = 1.0f / limit;
#pragma GCC ivdep
    for (size_t i = 0; i < count; ++i) {
        const float u = x[i] * inverse;
        y[i] = x[i] / __builtin_sqrtf(1.0f + u * u);
    }
}

template <bool kAccumulate>
DLENT_INLINE void SmoothClipBackwardOf(size_t count, float limit, const float* x, const float* dy,
                                       float* dx) {
    const float inverse = 1.0f / limit;
#pragma GCC ivdep
    for (size_t i = 0; i < count; ++i) {
        const float u = x[i] * inverse;
        const float square = 1.0f + u * u;
        const float gradient = dy[i] / (square * __builtin_sqrtf(square));
        dx[i] = kAccumulate ? dx[i] + gradient : gradient;
    }
}

void SmoothClipBackward(size_t count, float limit, const float* x, const float* dy, float* dx,
                        bool accumulate) {
    if (accumulate)
        SmoothClipBackwardOf<true>(count, limit, x, dy, dx);
    else
        SmoothClipBackwardOf<false>(count, limit, x, dy, dx);
}

void CopyColumns(int rows, int columns, const float* from, int ld_from, float* to, int ld_to,
                 bool accumulate) {
    for (int row = 0; row < rows; ++row, from += ld_from, to += ld_to) {
        if (accumulate)
#pragma GCC ivdep
            for (int j = 0; j < columns; ++j)
                to[j] += from[j];
        else
            __builtin_memcpy(to, from, static_cast<size_t>(columns) * sizeof(float));
    }
}

/// 64-bit lanes of which the lower halves count; one block of Philox to a lane.
constexpr int kWords = kFloats / 2;
typedef uint64_t WordVector __attribute__((vector_size(kFloats * sizeof(float))));
typedef uint32_t HalfWordVector __attribute__((vector_size(kFloats * sizeof(float))));

/// Products of the lower halves.
DLENT_INLINE WordVector MultiplyLow(WordVector a, WordVector b) {
#if DLENT_VECTOR_FLOATS == 16
    return (WordVector)_mm512_maskz_mul_epu32(static_cast<__mmask8>(0xFF), (__m512i)a, (__m512i)b);
#elif DLENT_VECTOR_FLOATS == 8
    return (WordVector)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (WordVector)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
#endif
}

/// The words of kWords blocks of Philox4x32 (core/base/random.h) from `counter` on, one word of all blocks to
/// a vector. The upper halves of the lanes are left over from the products.
DLENT_INLINE void PhiloxBlocks(uint64_t key, uint64_t counter, uint64_t step, WordVector (&c)[4]) {
    WordVector counters;
    for (int lane = 0; lane < kWords; ++lane)
        counters[lane] = counter + static_cast<uint64_t>(lane);
    c[0] = counters;
    c[1] = counters >> 32;
    c[2] = WordVector{} + step;
    c[3] = WordVector{} + (step >> 32);
    uint32_t k0 = static_cast<uint32_t>(key);
    uint32_t k1 = static_cast<uint32_t>(key >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
        const WordVector p0 = MultiplyLow(c[0], WordVector{} + 0xD2511F53u);
        const WordVector p1 = MultiplyLow(c[2], WordVector{} + 0xCD9E8D57u);
        c[0] = (p1 >> 32) ^ c[1] ^ k0;
        c[1] = p1;
        c[2] = (p0 >> 32) ^ c[3] ^ k1;
        c[3] = p0;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
}

/// a0 b0 a1 b1 ...: the lower or upper half of the lanes of a and b, alternating.
DLENT_INLINE HalfWordVector Interleave(WordVector a, WordVector b, bool upper) {
#if DLENT_VECTOR_FLOATS == 16
    return (HalfWordVector)(upper ? __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
                                  : __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
#elif DLENT_VECTOR_FLOATS == 8
    return (HalfWordVector)(upper ? __builtin_shufflevector(a, b, 2, 6, 3, 7)
                                  : __builtin_shufflevector(a, b, 0, 4, 1, 5));
#else
    return (HalfWordVector)(upper ? __builtin_shufflevector(a, b, 1, 3)
                                  : __builtin_shufflevector(a, b, 0, 2));
#endif
}

void Dropout(size_t count, float rate, uint64_t seed, uint64_t step, const float* x, float* y) {
    if (rate >= 1.0f) {
        __builtin_memset(y, 0, count * sizeof(float));
        return;
    }
    // (word >> 8) · 2⁻²⁴ ≥ rate, in integers. The product with a power of two is exact.
    const HalfWordVector least =
        HalfWordVector{} + (static_cast<uint32_t>(__builtin_ceilf(rate * 16777216.0f)) << 8);
    const float scale = 1.0f / (1.0f - rate);
    for (size_t i = 0; i < count; i += 2 * kFloats) {
        WordVector words[4];
        PhiloxBlocks(seed, i / 4, step, words);
        const WordVector first = (words[0] & 0xFFFFFFFFu) | words[1] << 32;
        const WordVector second = (words[2] & 0xFFFFFFFFu) | words[3] << 32;
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
            const Vector factor = Interleave(first, second, half == 1) >= least ? Broadcast(scale) : Vector{};
            const size_t at = i + static_cast<size_t>(half) * kFloats;
            if (at + kFloats <= count)
                Store(y + at, Load(x + at) * factor);
            else if (at < count)
                StoreTail(y + at, static_cast<int>(count - at),
                          LoadTail(x + at, static_cast<int>(count - at)) * factor);
        }
    }
}
