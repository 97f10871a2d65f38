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

/// Blocks of Philox4x32 (core/base/random.h) that are computed side by side.
constexpr int kPhiloxBlocks = 16;

DLENT_INLINE void PhiloxBlocks(uint64_t key, uint64_t first_counter, uint64_t step,
                               uint32_t (&words)[4][kPhiloxBlocks]) {
    for (int b = 0; b < kPhiloxBlocks; ++b) {
        const uint64_t counter = first_counter + static_cast<uint64_t>(b);
        uint32_t c0 = static_cast<uint32_t>(counter);
        uint32_t c1 = static_cast<uint32_t>(counter >> 32);
        uint32_t c2 = static_cast<uint32_t>(step);
        uint32_t c3 = static_cast<uint32_t>(step >> 32);
        uint32_t k0 = static_cast<uint32_t>(key);
        uint32_t k1 = static_cast<uint32_t>(key >> 32);
#pragma GCC unroll 10
        for (int round = 0; round < 10; ++round) {
            const uint64_t p0 = uint64_t{0xD2511F53} * c0;
            const uint64_t p1 = uint64_t{0xCD9E8D57} * c2;
            c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
            c1 = static_cast<uint32_t>(p1);
            c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
            c3 = static_cast<uint32_t>(p0);
            k0 += 0x9E3779B9;
            k1 += 0xBB67AE85;
        }
        words[0][b] = c0;
        words[1][b] = c1;
        words[2][b] = c2;
        words[3][b] = c3;
    }
}

void Dropout(size_t count, float rate, uint64_t seed, uint64_t step, const float* x, float* y) {
    constexpr size_t kElements = 4 * kPhiloxBlocks;
    const float scale = rate < 1.0f ? 1.0f / (1.0f - rate) : 0.0f;
    for (size_t begin = 0; begin < count; begin += kElements) {
        uint32_t words[4][kPhiloxBlocks];
        PhiloxBlocks(seed, begin / 4, step, words);
        float factors[kElements];
        for (int w = 0; w < 4; ++w)
            for (int b = 0; b < kPhiloxBlocks; ++b) {
                const float uniform =
                    static_cast<float>(static_cast<int32_t>(words[w][b] >> 8)) * (1.0f / 16777216.0f);
                factors[4 * b + w] = uniform >= rate ? scale : 0.0f;
            }
        const size_t elements = count - begin < kElements ? count - begin : kElements;
#pragma GCC ivdep
        for (size_t i = 0; i < elements; ++i)
            y[begin + i] = x[begin + i] * factors[i];
    }
}
