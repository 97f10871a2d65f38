// Vectors of DLENT_VECTOR_FLOATS floats, and elementary functions that loops over them vectorise: no branch,
// no call, at most a few units in the last place from the exact value.

#define DLENT_INLINE inline __attribute__((always_inline))

constexpr int kFloats = DLENT_VECTOR_FLOATS;
typedef float Vector __attribute__((vector_size(kFloats * sizeof(float))));
typedef float UnalignedVector __attribute__((vector_size(kFloats * sizeof(float)), aligned(4)));

DLENT_INLINE Vector Load(const float* p) {
    return *reinterpret_cast<const UnalignedVector*>(p);
}

DLENT_INLINE void Store(float* p, Vector v) {
    *reinterpret_cast<UnalignedVector*>(p) = v;
}

DLENT_INLINE Vector Broadcast(float x) {
    return x - Vector{};
}

#if DLENT_VECTOR_FLOATS == 16
/// The first `lanes` < kFloats values, zeros behind; reads and writes nothing beyond them.
DLENT_INLINE Vector LoadTail(const float* p, int lanes) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << lanes) - 1), p);
}
DLENT_INLINE void StoreTail(float* p, int lanes, Vector v) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << lanes) - 1), v);
}
DLENT_INLINE Vector MultiplyAdd(Vector a, Vector b, Vector c) {
    return _mm512_fmadd_ps(a, b, c);
}
/// The larger; b when one of them is not a number.
DLENT_INLINE Vector Max(Vector a, Vector b) {
    // All lanes; the form without a mask makes GCC 12 warn of its own header.
    return _mm512_maskz_max_ps(static_cast<__mmask16>(0xFFFF), a, b);
}
DLENT_INLINE float Sum(Vector v) {
    const auto half = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                      __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    const auto quarter =
        __builtin_shufflevector(half, half, 0, 1, 2, 3) + __builtin_shufflevector(half, half, 4, 5, 6, 7);
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}
#elif DLENT_VECTOR_FLOATS == 8
alignas(64) constexpr int32_t kTailMask[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
/// The first `lanes` < kFloats values, zeros behind; reads and writes nothing beyond them.
DLENT_INLINE Vector LoadTail(const float* p, int lanes) {
    return _mm256_maskload_ps(p, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kTailMask + 8 - lanes)));
}
DLENT_INLINE void StoreTail(float* p, int lanes, Vector v) {
    _mm256_maskstore_ps(p, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kTailMask + 8 - lanes)), v);
}
DLENT_INLINE Vector MultiplyAdd(Vector a, Vector b, Vector c) {
    return _mm256_fmadd_ps(a, b, c);
}
/// The larger; b when one of them is not a number.
DLENT_INLINE Vector Max(Vector a, Vector b) {
    return _mm256_max_ps(a, b);
}
DLENT_INLINE float Sum(Vector v) {
    const auto half = __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
    return (half[0] + half[2]) + (half[1] + half[3]);
}
#else
/// The first `lanes` < kFloats values, zeros behind; reads and writes nothing beyond them.
DLENT_INLINE Vector LoadTail(const float* p, int lanes) {
    Vector v{};
    for (int i = 0; i < lanes; ++i)
        v[i] = p[i];
    return v;
}
DLENT_INLINE void StoreTail(float* p, int lanes, Vector v) {
    for (int i = 0; i < lanes; ++i)
        p[i] = v[i];
}
DLENT_INLINE Vector MultiplyAdd(Vector a, Vector b, Vector c) {
    return a * b + c;
}
/// The larger; b when one of them is not a number.
DLENT_INLINE Vector Max(Vector a, Vector b) {
    return a > b ? a : b;
}
DLENT_INLINE float Sum(Vector v) {
    return (v[0] + v[2]) + (v[1] + v[3]);
}
#endif

DLENT_INLINE float Clamp(float x, float low, float high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

DLENT_INLINE float Abs(float x) {
    return __builtin_fabsf(x);
}

/// x = n · ln 2 + r with |r| ≤ ln 2 / 2; returns 2ⁿ and sets r. |x| ≤ 88.
DLENT_INLINE float SplitPowerOfTwo(float x, float& r) {
    constexpr float kRoundToInteger = 12582912.0f;  // 1.5 · 2²³: the sum's low bits are n
    const float shifted = x * 1.44269504f + kRoundToInteger;
    const float n = shifted - kRoundToInteger;
    r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    const int32_t exponent = __builtin_bit_cast(int32_t, shifted) - 0x4B400000;
    return __builtin_bit_cast(float, (exponent + 127) << 23);
}

/// (eʳ − 1 − r) / r² for |r| ≤ ln 2 / 2.
DLENT_INLINE float ExpSeries(float r) {
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    return p * r + 0.5f;
}

/// eˣ, x clamped to ±87.
DLENT_INLINE float Exp(float x) {
    float r;
    const float scale = SplitPowerOfTwo(Clamp(x, -87.0f, 87.0f), r);
    return scale * (1.0f + (r + r * r * ExpSeries(r)));
}

/// eˣ − 1, exact to the last places near 0 too; x clamped to ±87.
DLENT_INLINE float ExpMinusOne(float x) {
    float r;
    const float scale = SplitPowerOfTwo(Clamp(x, -87.0f, 87.0f), r);
    return scale * (r + r * r * ExpSeries(r)) + (scale - 1.0f);
}

/// ln(1 + x) for 0 ≤ x ≤ 1, by the series of the inverse hyperbolic tangent.
DLENT_INLINE float LogOnePlus(float x) {
    const float s = x / (2.0f + x);
    const float q = s * s;
    float p = 2.0f / 15.0f;
    p = p * q + 2.0f / 13.0f;
    p = p * q + 2.0f / 11.0f;
    p = p * q + 2.0f / 9.0f;
    p = p * q + 2.0f / 7.0f;
    p = p * q + 2.0f / 5.0f;
    p = p * q + 2.0f / 3.0f;
    return 2.0f * s + s * q * p;
}

/// ln(1 + eˣ).
DLENT_INLINE float SoftPlus(float x) {
    return (x > 0.0f ? x : x - x) + LogOnePlus(Exp(-Abs(x)));
}

DLENT_INLINE float Logistic(float x) {
    return 1.0f / (1.0f + Exp(-x));
}

DLENT_INLINE float Tanh(float x) {
    const float e = ExpMinusOne(2.0f * Clamp(x, -20.0f, 20.0f));
    return e / (e + 2.0f);
}

/// The standard normal distribution function; `density` receives e^(−x²/2).
DLENT_INLINE float NormalDistribution(float x, float& density) {
    const float z = Abs(x) * 0.707106781f;
    density = Exp(-0.5f * x * x);
    // erfc(z) · e^(z²) = t · p(t), p fitted to 6e-8 for 0 ≤ z ≤ 10.
    const float t = 1.0f / (1.0f + 0.4f * z);
    float p = 0.04122354835271835f;
    p = p * t - 0.14017461240291595f;
    p = p * t + 0.08368571102619171f;
    p = p * t + 0.08831265568733215f;
    p = p * t + 0.07951345294713974f;
    p = p * t + 0.19349782168865204f;
    p = p * t + 0.20186054706573486f;
    p = p * t + 0.2264469414949417f;
    p = p * t + 0.22563400864601135f;
    const float tail = 0.5f * density * t * p;
    return x < 0.0f ? tail : 1.0f - tail;
}

/// sin and cos of 2πt.
DLENT_INLINE void SinCosTurns(float t, float& sine, float& cosine) {
    constexpr float kRoundToInteger = 12582912.0f;
    const float quarters = t * 4.0f + kRoundToInteger;
    const int32_t quadrant = __builtin_bit_cast(int32_t, quarters);
    const float u = (t - (quarters - kRoundToInteger) * 0.25f) * 6.28318531f;
    const float q = u * u;
    float s = 1.0f / 362880.0f;
    s = s * q - 1.0f / 5040.0f;
    s = s * q + 1.0f / 120.0f;
    s = s * q - 1.0f / 6.0f;
    s = u + u * q * s;
    float c = 1.0f / 40320.0f;
    c = c * q - 1.0f / 720.0f;
    c = c * q + 1.0f / 24.0f;
    c = c * q - 0.5f;
    c = 1.0f + q * c;
    const float first = (quadrant & 1) != 0 ? c : s;
    const float second = (quadrant & 1) != 0 ? s : c;
    sine = (quadrant & 2) != 0 ? -first : first;
    cosine = ((quadrant + 1) & 2) != 0 ? -second : second;
}
