#pragma once

// The scales, biases and activations of ensemble members, over [batch × members × width]. These passes are bound by
// memory: each array is read or written once.

#include "gpu/cuda/elementwise.cuh"
#include "gpu/cuda/reductions.cuh"

namespace dlent::cuda {

__global__ void EnsembleScaleForwardKernel(size_t count, int members, int width, const float* x, bool broadcast,
                                           const float* scale, float* y) {
    const size_t columns = static_cast<size_t>(members) * width;
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const size_t column = i % columns;
        const size_t from = broadcast ? i / columns * width + column % width : i;
        y[i] = x[from] * scale[column];
    }
}

/// dx[b, j] (+)= Σ_k dy[b, k, j] · scale[k, j]: of an input that all members share. `count` elements of dx.
__global__ void EnsembleBroadcastBackwardKernel(size_t count, int members, int width, const float* scale,
                                                const float* dy, float* dx, bool accumulate) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const size_t row = i / width;
        const size_t column = i % width;
        float sum = accumulate ? dx[i] : 0.0f;
        for (int k = 0; k < members; ++k)
            sum += dy[(row * members + k) * width + column] * scale[static_cast<size_t>(k) * width + column];
        dx[i] = sum;
    }
}

/// A thread does a column of some rows, whose scale and bias it keeps.
template <Activation kActivation>
__global__ void EnsembleOutputForwardKernel(EnsembleOutputSpec spec, const float* product, const float* base,
                                            const float* scale, const float* bias, float* preactivation, float* y) {
    const int columns = spec.members * spec.width;
    const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (column >= columns)
        return;
    const int of_width = column % spec.width;
    const float factor = scale == nullptr ? 1.0f : scale[column];
    const float shift = bias[spec.member_bias ? column : of_width];
    for (int row = blockIdx.y; row < spec.batch; row += gridDim.y) {
        const size_t at = static_cast<size_t>(row) * columns + column;
        float z = product[at];
        if (base != nullptr)
            z += base[static_cast<size_t>(row) * spec.width + of_width];
        z = z * factor + shift;
        if (preactivation != nullptr)
            preactivation[at] = z;
        y[at] = Activate<kActivation>(z);
    }
}

/// EnsembleScaleBackward of an input of each member's own: dx, written, and the parts of dscale.
struct EnsembleScaleGradient {
    int columns;
    const float* x;
    const float* scale;
    const float* dy;
    float* dx;  ///< or null
    bool accumulate;

    struct Loaded {
        float x;
        float dy;
        float dx;
    };
    __device__ Loaded Load(int row, int column) const {
        const size_t at = static_cast<size_t>(row) * columns + column;
        return {x[at], dy[at], accumulate && dx != nullptr ? dx[at] : 0.0f};
    }
    __device__ Sums<1> Take(int row, int column, const Loaded& loaded) const {
        if (dx != nullptr)
            dx[static_cast<size_t>(row) * columns + column] = loaded.dx + loaded.dy * scale[column];
        return SumsOf(loaded.dy * loaded.x);
    }
};

/// EnsembleOutputBackward: dproduct, written, and the parts of dbias and dscale.
template <Activation kActivation>
struct EnsembleOutputGradient {
    EnsembleOutputSpec spec;
    const float* product;
    const float* base;
    const float* scale;
    const float* source;  ///< of the activation's slope
    const float* dy;
    float* dproduct;

    struct Loaded {
        float dy;
        float source;
        float product;  ///< with the base
    };
    __device__ size_t At(int row, int column) const {
        return static_cast<size_t>(row) * spec.members * spec.width + column;
    }
    __device__ Loaded Load(int row, int column) const {
        const size_t at = At(row, column);
        Loaded loaded = {dy[at], source[at], scale == nullptr ? 0.0f : product[at]};
        if (scale != nullptr && base != nullptr)
            loaded.product += base[static_cast<size_t>(row) * spec.width + column % spec.width];
        return loaded;
    }
    __device__ Sums<2> Take(int row, int column, const Loaded& loaded) const {
        const float dz = loaded.dy * Slope<kActivation>(loaded.source, loaded.source);
        dproduct[At(row, column)] = scale == nullptr ? dz : dz * scale[column];
        return SumsOf(dz, dz * loaded.product);
    }
};

/// out[b, j] = Σ_k x[b, k, j]; `count` elements of out.
__global__ void EnsembleSumKernel(size_t count, int members, int width, const float* x, float* out) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const float* const from = x + i / width * members * width + i % width;
        float sum = 0.0f;
        for (int k = 0; k < members; ++k)
            sum += from[static_cast<size_t>(k) * width];
        out[i] = sum;
    }
}

}  // namespace dlent::cuda
