#pragma once

// Losses, their gradients, and probabilities; the formulas of src/cpu/kernels_loss.inl, in fp32.

#include "gpu/cuda/elementwise.cuh"
#include "gpu/cuda/reductions.cuh"

namespace dlent::cuda {

/// LossSpec and the rows it is for, as kernels take them.
struct LossRows {
    LossKind kind;
    float label_smoothing;
    float focal_gamma;
    float huber_delta;
    float quantile;
    const float* class_weights;
    int rows;
    int outputs;
    int members;
    bool has_labels;  ///< targets are int32
    const void* targets;
    const float* row_weights;

    __device__ bool weighs_classes() const {
        return class_weights != nullptr &&
               (kind == LossKind::kBinaryCrossEntropy || kind == LossKind::kSoftmaxCrossEntropy ||
                kind == LossKind::kFocal);
    }
    __device__ int Label(int row) const {
        const int target = row / members;
        return has_labels ? static_cast<const int32_t*>(targets)[target]
                          : (static_cast<const float*>(targets)[target] >= 0.5f ? 1 : 0);
    }
    __device__ float Weight(int row) const {
        const float weight = row_weights == nullptr ? 1.0f : row_weights[row / members];
        return weighs_classes() ? weight * class_weights[Label(row)] : weight;
    }
};

/// The loss of logit z for target t, and its derivative by z.
__device__ inline float ScalarLoss(const LossRows& batch, float z, float t, float& slope) {
    switch (batch.kind) {
        case LossKind::kBinaryCrossEntropy:
        case LossKind::kSoftmaxCrossEntropy: {
            const float target = t * (1.0f - batch.label_smoothing) + 0.5f * batch.label_smoothing;
            const float e = expf(-fabsf(z));
            const float inverse = 1.0f / (1.0f + e);
            const float linear = z < 0.0f ? -z * target : z * (1.0f - target);
            slope = (z < 0.0f ? e * inverse : inverse) - target;
            return linear + log1pf(e);
        }
        case LossKind::kFocal: {
            // u is the logit of the true class, p its probability, q = 1 − p
            const float sign = t >= 0.5f ? 1.0f : -1.0f;
            const float u = sign * z;
            const float e = expf(-fabsf(u));
            const float log = log1pf(e);
            const float log_p = (u < 0.0f ? u : u - u) - log;
            const float log_q = (u < 0.0f ? u - u : -u) - log;
            const float inverse = 1.0f / (1.0f + e);
            const float p = u < 0.0f ? e * inverse : inverse;
            const float q = u < 0.0f ? inverse : e * inverse;
            const float modulation = expf(batch.focal_gamma * log_q);
            slope = sign * modulation * (batch.focal_gamma * p * log_p - q);
            return -modulation * log_p;
        }
        case LossKind::kHuber: {
            const float error = z - t;
            const float delta = batch.huber_delta;
            slope = error < -delta ? -delta : error > delta ? delta : error;
            return slope * (error - 0.5f * slope);
        }
        case LossKind::kPinball: {
            const float error = z - t;
            const float side = error > 0.0f ? 1.0f - batch.quantile : -batch.quantile;
            slope = error == 0.0f ? 0.0f : side;
            return side * error;
        }
        default: {
            const float error = z - t;
            slope = 2.0f * error;
            return error * error;
        }
    }
}

/// The loss of one row with classes; writes the unscaled gradient where `gradient` is not null.
__device__ inline float ClassLoss(const LossRows& batch, const float* logits, int label, float* gradient) {
    const int outputs = batch.outputs;
    float largest = logits[0];
    for (int j = 1; j < outputs; ++j)
        largest = largest < logits[j] ? logits[j] : largest;
    float sum = 0.0f;
    float others = 0.0f;
    float shifted = 0.0f;
    for (int j = 0; j < outputs; ++j) {
        const float e = expf(logits[j] - largest);
        sum += e;
        others += j == label ? 0.0f : e;
        shifted += logits[j] - largest;
    }
    const float inverse = 1.0f / sum;
    const float z = logits[label] - largest;
    // p is the probability of the label, q = 1 − p without cancellation
    const float p = expf(z) * inverse;
    const float q = others * inverse;
    const float log_sum = logf(sum);
    const float log_p = q < 0.5f ? log1pf(-q) : z - log_sum;
    if (batch.kind == LossKind::kFocal) {
        const float modulation = powf(q, batch.focal_gamma);
        const float ratio = q > 0.0f ? log_p / q : -1.0f;
        if (gradient != nullptr) {
            const float slope = modulation * (batch.focal_gamma * p * ratio - 1.0f);
            for (int j = 0; j < outputs; ++j)
                gradient[j] = slope * (j == label ? q : -expf(logits[j] - largest) * inverse);
        }
        return -modulation * log_p;
    }
    const float keep = 1.0f - batch.label_smoothing;
    const float share = batch.label_smoothing / static_cast<float>(outputs);
    if (gradient != nullptr) {
        for (int j = 0; j < outputs; ++j)
            gradient[j] = j == label ? -keep * q + (1.0f - keep) * p - share
                                     : expf(logits[j] - largest) * inverse - share;
    }
    return share * (static_cast<float>(outputs) * log_sum - shifted) - keep * log_p;
}

/// Of a thread, or of a block's.
struct LossSums {
    double loss;
    double weight;
};
__device__ inline LossSums BlockSums(const LossSums& sums) {
    const double loss = BlockSum(sums.loss);
    return {loss, BlockSum(sums.weight)};
}

/// The sums over the rows of a thread; gradients times the row's weight alone.
__device__ inline LossSums LossOfRows(const LossRows& batch, const float* logits, float* dlogits) {
    LossSums sums = {0.0, 0.0};
    for (size_t i = FirstIndex(); i < static_cast<size_t>(batch.rows); i += GridStride()) {
        const int row = static_cast<int>(i);
        const float w = batch.Weight(row);
        float value;
        if (batch.has_labels) {
            float* const gradient = dlogits == nullptr ? nullptr : dlogits + i * batch.outputs;
            value = ClassLoss(batch, logits + i * batch.outputs, batch.Label(row), gradient);
            for (int j = 0; gradient != nullptr && j < batch.outputs; ++j)
                gradient[j] *= w;
        } else {
            float slope;
            value = ScalarLoss(batch, logits[i], static_cast<const float*>(batch.targets)[row / batch.members], slope);
            if (dlogits != nullptr)
                dlogits[i] = slope * w;
        }
        sums.loss += static_cast<double>(w) * static_cast<double>(value);
        sums.weight += static_cast<double>(w);
    }
    return sums;
}

/// Adds to the accumulator, and says Σ weight where it is wanted; 1 / Σ weight, or 0.
__device__ inline float KeepLoss(const LossSums& sums, double* accumulator, float* weight_sum) {
    accumulator[0] += sums.loss;
    accumulator[1] += sums.weight;
    if (weight_sum != nullptr)
        *weight_sum = static_cast<float>(sums.weight);
    return sums.weight == 0.0 ? 0.0f : static_cast<float>(1.0 / sums.weight);
}

/// The gradient of the mean from that of the sum.
__device__ inline float OfMean(float gradient, float factor) {
    return factor == 0.0f ? 0.0f : gradient * factor;
}

/// All of a small batch, in one block.
__global__ void SmallLossKernel(LossRows batch, const float* logits, double* accumulator, float* dlogits,
                                float* weight_sum) {
    __shared__ float factor;
    const LossSums sums = BlockSums(LossOfRows(batch, logits, dlogits));
    if (threadIdx.x == 0)
        factor = KeepLoss(sums, accumulator, weight_sum);
    if (dlogits == nullptr || weight_sum != nullptr)
        return;
    __syncthreads();
    const int width = batch.has_labels ? batch.outputs : 1;
    for (size_t row = FirstIndex(); row < static_cast<size_t>(batch.rows); row += GridStride()) {
        for (int j = 0; j < width; ++j) {  // this thread's own
            float& gradient = dlogits[row * width + j];
            gradient = OfMean(gradient, factor);
        }
    }
}

/// Parts of Σ weight·loss and Σ weight, a pair a block; gradients times the row's weight alone.
__global__ void LossKernel(LossRows batch, const float* logits, double* parts, float* dlogits) {
    const LossSums sums = BlockSums(LossOfRows(batch, logits, dlogits));
    if (threadIdx.x == 0) {
        parts[2 * blockIdx.x] = sums.loss;
        parts[2 * blockIdx.x + 1] = sums.weight;
    }
}

/// Adds the parts to the accumulator; *factor = 1 / Σ weight, or 0; *weight_sum, where wanted, Σ weight.
__global__ void LossFinishKernel(int blocks, const double* parts, double* accumulator, float* factor,
                                 float* weight_sum) {
    LossSums sums = {0.0, 0.0};
    if (static_cast<int>(threadIdx.x) < blocks)
        sums = {parts[2 * threadIdx.x], parts[2 * threadIdx.x + 1]};
    sums = BlockSums(sums);
    if (threadIdx.x == 0)
        *factor = KeepLoss(sums, accumulator, weight_sum);
}

__global__ void LossGradientKernel(size_t count, const float* factor, float* dlogits) {
    const float scale = *factor;
    for (size_t i = FirstIndex(); i < count; i += GridStride())
        dlogits[i] = OfMean(dlogits[i], scale);
}

__global__ void ProbabilitiesKernel(int rows, int outputs, float inverse_temperature, const float* logits,
                                    float* probabilities) {
    for (size_t row = FirstIndex(); row < static_cast<size_t>(rows); row += GridStride()) {
        if (outputs == 1) {
            probabilities[row] = Logistic(logits[row] * inverse_temperature);
            continue;
        }
        const float* const from = logits + row * outputs;
        float* const to = probabilities + row * outputs;
        float largest = from[0] * inverse_temperature;
        for (int j = 1; j < outputs; ++j) {
            const float value = from[j] * inverse_temperature;
            largest = largest < value ? value : largest;
        }
        float sum = 0.0f;
        for (int j = 0; j < outputs; ++j)
            sum += expf(from[j] * inverse_temperature - largest);
        for (int j = 0; j < outputs; ++j)
            to[j] = expf(from[j] * inverse_temperature - largest) / sum;
    }
}

}  // namespace dlent::cuda
