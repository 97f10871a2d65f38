// The step of the optimisers and what guards it. Not-a-number and infinity pass through every loop here.

/// Half as many floats as fill a register, and the doubles that they become.
typedef float NarrowVector __attribute__((vector_size(kFloats / 2 * sizeof(float))));
typedef float UnalignedNarrowVector __attribute__((vector_size(kFloats / 2 * sizeof(float)), aligned(4)));
typedef double DoubleVector __attribute__((vector_size(kFloats / 2 * sizeof(double))));

double SumOfSquares(size_t count, const float* x) {
    constexpr int kLanes = kFloats / 2;
    constexpr int kSums = 4;
    DoubleVector sums[kSums] = {};
    size_t i = 0;
    for (; i + kSums * kLanes <= count; i += kSums * kLanes)
#pragma GCC unroll 4
        for (int s = 0; s < kSums; ++s) {
            const NarrowVector narrow = *reinterpret_cast<const UnalignedNarrowVector*>(x + i + s * kLanes);
            const DoubleVector wide = __builtin_convertvector(narrow, DoubleVector);
            sums[s] += wide * wide;
        }
    const DoubleVector sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    double total = 0.0;
    for (int lane = 0; lane < kLanes; ++lane)
        total += sum[lane];
    for (; i < count; ++i)
        total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return total;
}

void AdamW(size_t count, float rate, float decay, float beta1, float beta2, float epsilon, float correction1,
           float correction2, float gradient_scale, const float* gradient, float* parameters,
           float* first_moment, float* second_moment) {
    const float keep = 1.0f - decay;
    const float step = rate / correction1;
    const float root = 1.0f / __builtin_sqrtf(correction2);
    const float rest1 = 1.0f - beta1;
    const float rest2 = 1.0f - beta2;
#pragma GCC ivdep
    for (size_t i = 0; i < count; ++i) {
        const float g = gradient[i] * gradient_scale;
        const float m = beta1 * first_moment[i] + rest1 * g;
        const float v = beta2 * second_moment[i] + rest2 * g * g;
        first_moment[i] = m;
        second_moment[i] = v;
        parameters[i] = keep * parameters[i] - step * m / (__builtin_sqrtf(v) * root + epsilon);
    }
}

void Sgd(size_t count, float rate, float decay, float momentum, bool nesterov, float gradient_scale,
         const float* gradient, float* parameters, float* momentum_buffer) {
    const float keep = 1.0f - decay;
#pragma GCC ivdep
    for (size_t i = 0; i < count; ++i) {
        const float g = gradient[i] * gradient_scale;
        const float buffer = momentum * momentum_buffer[i] + g;
        momentum_buffer[i] = buffer;
        parameters[i] = keep * parameters[i] - rate * (nesterov ? g + momentum * buffer : buffer);
    }
}

void Lerp(size_t count, float weight, const float* source, float* target) {
#pragma GCC ivdep
    for (size_t i = 0; i < count; ++i)
        target[i] += weight * (source[i] - target[i]);
}

bool AllFinite(size_t count, const float* values) {
    // An exponent of all ones carries into the sign bit when one is added to it.
    uint32_t carried = 0;
    for (size_t i = 0; i < count; ++i)
        carried |= (__builtin_bit_cast(uint32_t, values[i]) & 0x7F800000u) + 0x00800000u;
    return (carried & 0x80000000u) == 0;
}
