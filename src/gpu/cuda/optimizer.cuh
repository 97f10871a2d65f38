#pragma once

// One pass over all tensors of a network.

#include "gpu/cuda/launch.cuh"

namespace dlent::cuda {

constexpr int kChunk = 2048;  ///< elements a block takes

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
    if (current != nullptr) {
        learning_rate = current->learning_rate;
        step_number = current->optimizer_step;
    }
    if (threadIdx.x < 2)
        corrections[threadIdx.x] = static_cast<float>(
            1.0 - pow(static_cast<double>(threadIdx.x == 0 ? beta1 : beta2), static_cast<double>(step_number)));
    __syncthreads();
    const ParameterChunk chunk = chunks[blockIdx.x];
    const float rate = learning_rate * chunk.learning_rate_multiplier;
    const float keep = 1.0f - rate * chunk.weight_decay;
    const float step = rate / corrections[0];
    const float root = 1.0f / sqrtf(corrections[1]);
    const float scale = *gradient_scale;
    for (int i = threadIdx.x; i < chunk.count; i += blockDim.x) {
        const size_t at = chunk.begin + i;
        const float g = gradient[at] * scale;
        const float m = beta1 * first[at] + (1.0f - beta1) * g;
        const float v = beta2 * second[at] + (1.0f - beta2) * g * g;
        first[at] = m;
        second[at] = v;
        parameters[at] = keep * parameters[at] - step * m / (sqrtf(v) * root + epsilon);
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
