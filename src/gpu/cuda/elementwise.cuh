#pragma once

// Loops without a shape: activations, dropout, copies, the averages of weights.

#include "core/base/permutation.h"
#include "gpu/cuda/launch.cuh"

namespace dlent::cuda {

constexpr float kSeluScale = 1.05070098735548049342f;
constexpr float kSeluAlpha = 1.67326324235437728481f;
constexpr float kLeakySlope = 0.01f;

__device__ inline float Logistic(float x) {
    return 1.0f / (1.0f + expf(-x));
}

template <Activation kActivation>
__device__ inline float Activate(float x) {
    if constexpr (kActivation == Activation::kRelu) {
        return x < 0.0f ? 0.0f : x;
    } else if constexpr (kActivation == Activation::kLeakyRelu) {
        return x < 0.0f ? kLeakySlope * x : x;
    } else if constexpr (kActivation == Activation::kSelu) {
        return x > 0.0f ? kSeluScale * x : kSeluScale * kSeluAlpha * expm1f(x);
    } else if constexpr (kActivation == Activation::kGelu) {
        return x * normcdff(x);
    } else if constexpr (kActivation == Activation::kSilu) {
        return x * Logistic(x);
    } else if constexpr (kActivation == Activation::kMish) {
        // tanh(ln(1 + e)) = n / (n + 2), n = e² + 2e, which is 1 in single precision above 20
        const float e = expf(x > 20.0f ? 20.0f : x);
        const float n = e * (e + 2.0f);
        return x * (n / (n + 2.0f));
    } else if constexpr (kActivation == Activation::kTanh) {
        return tanhf(x);
    } else if constexpr (kActivation == Activation::kSigmoid) {
        return Logistic(x);
    } else {
        return x;
    }
}

/// The derivative, from the argument x and the value y (each where NeedsPreactivation says).
template <Activation kActivation>
__device__ inline float Slope(float x, float y) {
    if constexpr (kActivation == Activation::kRelu) {
        return y > 0.0f ? 1.0f : 0.0f;
    } else if constexpr (kActivation == Activation::kLeakyRelu) {
        return y > 0.0f ? 1.0f : kLeakySlope;
    } else if constexpr (kActivation == Activation::kSelu) {
        return y > 0.0f ? kSeluScale : y + kSeluScale * kSeluAlpha;
    } else if constexpr (kActivation == Activation::kGelu) {
        return normcdff(x) + x * expf(-0.5f * x * x) * 0.398942280f;
    } else if constexpr (kActivation == Activation::kSilu) {
        const float s = Logistic(x);
        return s + s * x * (1.0f - s);
    } else if constexpr (kActivation == Activation::kMish) {
        const float e = expf(x > 20.0f ? 20.0f : x);
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
template <typename Body>
void WithActivation(Activation activation, Body body) {
    switch (activation) {
        case Activation::kIdentity:
            return body.template operator()<Activation::kIdentity>();
        case Activation::kRelu:
            return body.template operator()<Activation::kRelu>();
        case Activation::kLeakyRelu:
            return body.template operator()<Activation::kLeakyRelu>();
        case Activation::kSelu:
            return body.template operator()<Activation::kSelu>();
        case Activation::kGelu:
            return body.template operator()<Activation::kGelu>();
        case Activation::kSilu:
            return body.template operator()<Activation::kSilu>();
        case Activation::kMish:
            return body.template operator()<Activation::kMish>();
        case Activation::kTanh:
            return body.template operator()<Activation::kTanh>();
        case Activation::kSigmoid:
            return body.template operator()<Activation::kSigmoid>();
    }
}

template <Activation kActivation>
__global__ void ActivationForwardKernel(size_t count, const float* x, float* y) {
    for (size_t i = FirstIndex(); i < count; i += GridStride())
        y[i] = Activate<kActivation>(x[i]);
}

/// By fours where the arrays are aligned to that.
template <Activation kActivation>
__global__ void ActivationBackwardKernel(size_t count, const float* source, const float* dy, float* dx) {
    const uintptr_t places = reinterpret_cast<uintptr_t>(source) | reinterpret_cast<uintptr_t>(dy) |
                             reinterpret_cast<uintptr_t>(dx);
    const size_t fours = places % sizeof(float4) == 0 ? count / 4 : 0;
    for (size_t i = FirstIndex(); i < fours; i += GridStride()) {
        const float4 s = reinterpret_cast<const float4*>(source)[i];
        const float4 g = reinterpret_cast<const float4*>(dy)[i];
        reinterpret_cast<float4*>(dx)[i] =
            make_float4(g.x * Slope<kActivation>(s.x, s.x), g.y * Slope<kActivation>(s.y, s.y),
                        g.z * Slope<kActivation>(s.z, s.z), g.w * Slope<kActivation>(s.w, s.w));
    }
    for (size_t i = 4 * fours + FirstIndex(); i < count; i += GridStride())
        dx[i] = dy[i] * Slope<kActivation>(source[i], source[i]);
}

/// y = f(linear + base + bias) and, where wanted, the argument of f: what a product's epilogue cannot do.
template <Activation kActivation>
__global__ void FinishDenseKernel(size_t count, int columns, const float* linear, const float* base,
                                  const float* bias, float* preactivation, float* y) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        float z = linear == nullptr ? 0.0f : linear[i];
        if (base != nullptr)
            z += base[i];
        if (bias != nullptr)
            z += bias[i % columns];
        if (preactivation != nullptr)
            preactivation[i] = z;
        y[i] = Activate<kActivation>(z);
    }
}

template <Activation kActivation>
__global__ void ParametricForwardKernel(size_t count, int columns, const float* x, const float* alpha, float* y) {
    for (size_t i = FirstIndex(); i < count; i += GridStride())
        y[i] = x[i] + alpha[i % columns] * (Activate<kActivation>(x[i]) - x[i]);
}

template <Activation kActivation>
__global__ void ParametricBackwardKernel(size_t count, int columns, const float* x, const float* alpha,
                                         const float* dy, float* dx) {
    for (size_t i = FirstIndex(); i < count; i += GridStride())
        dx[i] = dy[i] *
                (1.0f + alpha[i % columns] * (Slope<kActivation>(x[i], Activate<kActivation>(x[i])) - 1.0f));
}

__global__ void AxpyKernel(size_t count, float alpha, const float* x, float* y) {
    for (size_t i = FirstIndex(); i < count; i += GridStride())
        y[i] += alpha * x[i];
}

__global__ void SmoothClipForwardKernel(size_t count, float inverse, const float* x, float* y) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const float u = x[i] * inverse;
        y[i] = x[i] / sqrtf(1.0f + u * u);
    }
}

__global__ void SmoothClipBackwardKernel(size_t count, float inverse, const float* x, const float* dy, float* dx,
                                         bool accumulate) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const float u = x[i] * inverse;
        const float square = 1.0f + u * u;
        const float gradient = dy[i] / (square * sqrtf(square));
        dx[i] = accumulate ? dx[i] + gradient : gradient;
    }
}

__global__ void CopyColumnsKernel(size_t count, int columns, const float* from, int ld_from, float* to, int ld_to,
                                  bool accumulate) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const size_t row = i / columns;
        const size_t column = i % columns;
        const float value = from[row * ld_from + column];
        float* const at = to + row * ld_to + column;
        *at = accumulate ? *at + value : value;
    }
}

/// Adds a row to every row of a matrix.
__global__ void AddRowKernel(size_t count, int columns, const float* row, float* y) {
    for (size_t i = FirstIndex(); i < count; i += GridStride())
        y[i] += row[i % columns];
}

__global__ void ScaleMatrixKernel(size_t count, int columns, float factor, float* c, int ld) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        float* const at = c + i / columns * ld + i % columns;
        *at = factor == 0.0f ? 0.0f : *at * factor;
    }
}

/// One block of Philox4x32-10 (core/base/random.h).
__device__ inline void Philox(uint64_t key, uint64_t low, uint64_t high, uint32_t (&c)[4]) {
    uint32_t k0 = static_cast<uint32_t>(key);
    uint32_t k1 = static_cast<uint32_t>(key >> 32);
    c[0] = static_cast<uint32_t>(low);
    c[1] = static_cast<uint32_t>(low >> 32);
    c[2] = static_cast<uint32_t>(high);
    c[3] = static_cast<uint32_t>(high >> 32);
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const uint32_t high0 = __umulhi(0xD2511F53u, c[0]);
        const uint32_t low0 = 0xD2511F53u * c[0];
        const uint32_t high1 = __umulhi(0xCD9E8D57u, c[2]);
        const uint32_t low1 = 0xCD9E8D57u * c[2];
        c[0] = high1 ^ c[1] ^ k0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1;
        c[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/// A thread does the four elements of a block of random numbers.
__global__ void DropoutKernel(size_t count, uint32_t least, float scale, uint64_t seed, uint64_t step,
                              const DeviceStep* current, const float* x, float* y) {
    if (current != nullptr)
        step = current->step;
    const size_t blocks = (count + 3) / 4;
    for (size_t block = FirstIndex(); block < blocks; block += GridStride()) {
        uint32_t words[4];
        Philox(seed, block, step, words);
        for (int lane = 0; lane < 4; ++lane) {
            const size_t i = block * 4 + lane;
            if (i < count)
                y[i] = (words[lane] >> 8) >= least ? x[i] * scale : 0.0f;
        }
    }
}

__global__ void LerpKernel(size_t count, float weight, const DeviceStep* current, const float* source,
                           float* target) {
    if (current != nullptr)
        weight = current->average_weight;
    for (size_t i = FirstIndex(); i < count; i += GridStride())
        target[i] += weight * (source[i] - target[i]);
}

__global__ void CheckFiniteKernel(size_t count, const float* values, int32_t* flag) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        if (!isfinite(values[i]))
            *flag = 1;  // all writers write the same
    }
}

__global__ void PermuteRowsKernel(size_t count, RandomPermutation permutation, const uint32_t* rows,
                                  uint32_t* order) {
    for (size_t i = FirstIndex(); i < count; i += GridStride())
        order[i] = rows[permutation(static_cast<uint32_t>(i))];
}

/// The parts of GatherRows, side by side.
struct GatherParts {
    static constexpr int kMost = 8;
    RowGather of[kMost];  ///< of width 0 from some place on
    int width;            ///< of all
};

/// out[i, :] = table[order[first + i], :] of each part, four bytes an element; `count` elements of all.
__global__ void GatherRowsKernel(size_t count, GatherParts parts, const uint32_t* order, uint64_t first,
                                 const DeviceStep* current) {
    if (current != nullptr)
        first = current->first_row;
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const size_t row = i / parts.width;
        const size_t from = order[first + row];
        int column = static_cast<int>(i % parts.width);
#pragma unroll
        for (int p = 0; p < GatherParts::kMost; ++p) {
            const RowGather& part = parts.of[p];
            if (column >= 0 && column < part.width)
                static_cast<uint32_t*>(part.out)[row * part.width + column] =
                    static_cast<const uint32_t*>(part.table)[from * part.width + column];
            column -= part.width;
        }
    }
}

}  // namespace dlent::cuda
