#pragma once

// One pass over all tensors of a network.

#include "gpu/cuda/launch.cuh"

namespace dlent::cuda {

constexpr int kOfThread = 4;                 ///< elements of a thread
constexpr int kChunk = kOfThread * kThreads;  ///< of a block

/// A piece of one tensor, and how that is treated.
struct ParameterChunk {
    size_t begin;
    int count;
    float learning_rate_multiplier;
    float weight_decay;
};

__global__ void AdamWKernel(const ParameterChunk* chunks, float learning_rate, float beta1, float beta2,
                            float epsilon, int64_t step_number, const DeviceStep* current,
                            const float* gradient_scale, const float* gradient, float* parameters, float* first,
                            float* second) {
    __shared__ float corrections[2];
    // Everything is on its way before any of it is waited for.
    const ParameterChunk chunk = chunks[blockIdx.x];
    float g[kOfThread];
    float m[kOfThread];
    float v[kOfThread];
    float p[kOfThread];
#pragma unroll
    for (int i = 0; i < kOfThread; ++i) {
        const int offset = i * kThreads + static_cast<int>(threadIdx.x);
        if (offset < chunk.count) {
            const size_t at = chunk.begin + offset;
            g[i] = gradient[at];
            m[i] = first[at];
            v[i] = second[at];
            p[i] = parameters[at];
        }
    }
    if (current != nullptr) {
        learning_rate = current->learning_rate;
        step_number = current->optimizer_step;
    }
    const float scale = *gradient_scale;
    if (threadIdx.x < 2)
        corrections[threadIdx.x] = static_cast<float>(
            1.0 - pow(static_cast<double>(threadIdx.x == 0 ? beta1 : beta2), static_cast<double>(step_number)));
    __syncthreads();
    const float rate = learning_rate * chunk.learning_rate_multiplier;
    const float keep = 1.0f - rate * chunk.weight_decay;
    const float step = rate / corrections[0];
    const float root = 1.0f / sqrtf(corrections[1]);
#pragma unroll
    for (int i = 0; i < kOfThread; ++i) {
        const int offset = i * kThreads + static_cast<int>(threadIdx.x);
        if (offset < chunk.count) {
            const size_t at = chunk.begin + offset;
            const float scaled = g[i] * scale;
            const float mean = beta1 * m[i] + (1.0f - beta1) * scaled;
            const float square = beta2 * v[i] + (1.0f - beta2) * scaled * scaled;
            first[at] = mean;
            second[at] = square;
            parameters[at] = keep * p[i] - step * mean / (sqrtf(square) * root + epsilon);
        }
    }
}

__global__ void SgdKernel(const ParameterChunk* chunks, float learning_rate, float momentum, bool nesterov,
                          const DeviceStep* current, const float* gradient_scale, const float* gradient,
                          float* parameters, float* buffer) {
    if (current != nullptr)
        learning_rate = current->learning_rate;
    const ParameterChunk chunk = chunks[blockIdx.x];
    const float rate = learning_rate * chunk.learning_rate_multiplier;
    const float keep = 1.0f - rate * chunk.weight_decay;
    const float scale = *gradient_scale;
    for (int i = threadIdx.x; i < chunk.count; i += blockDim.x) {
        const size_t at = chunk.begin + i;
        const float g = gradient[at] * scale;
        const float b = momentum * buffer[at] + g;
        buffer[at] = b;
        parameters[at] = keep * parameters[at] - rate * (nesterov ? g + momentum * b : b);
    }
}

}  // namespace dlent::cuda
