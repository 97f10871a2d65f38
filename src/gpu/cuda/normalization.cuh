#pragma once

// Batch and layer normalisation.

#include "gpu/cuda/reductions.cuh"

namespace dlent::cuda {

/// From sums over rows to what PyTorch saves and keeps. `squares` holds Σ (x − mean)².
__global__ void BatchNormStatisticsKernel(int rows, int columns, float epsilon, float momentum,
                                          float* running_mean, float* running_variance, const float* saved_mean,
                                          float* squares_then_rstd) {
    for (size_t j = FirstIndex(); j < static_cast<size_t>(columns); j += GridStride()) {
        const float square = squares_then_rstd[j];
        const float unbiased = square / static_cast<float>(rows > 1 ? rows - 1 : 1);
        running_mean[j] += momentum * (saved_mean[j] - running_mean[j]);
        running_variance[j] += momentum * (unbiased - running_variance[j]);
        squares_then_rstd[j] = 1.0f / sqrtf(square / static_cast<float>(rows) + epsilon);
    }
}

__global__ void BatchNormReadKernel(int columns, float epsilon, const float* running_mean,
                                    const float* running_variance, float* saved_mean, float* saved_rstd) {
    for (size_t j = FirstIndex(); j < static_cast<size_t>(columns); j += GridStride()) {
        saved_mean[j] = running_mean[j];
        saved_rstd[j] = 1.0f / sqrtf(running_variance[j] + epsilon);
    }
}

__global__ void ScaleByKernel(size_t count, float factor, float* x) {
    for (size_t i = FirstIndex(); i < count; i += GridStride())
        x[i] *= factor;
}

__global__ void BatchNormForwardKernel(size_t count, int columns, const float* x, const float* gamma,
                                       const float* beta, const float* mean, const float* rstd, float* y) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const size_t j = i % columns;
        y[i] = (x[i] - mean[j]) * rstd[j] * gamma[j] + beta[j];
    }
}

__global__ void BatchNormBackwardKernel(size_t count, int columns, float inverse, const float* x,
                                        const float* gamma, const float* mean, const float* rstd, const float* dy,
                                        const float* dgamma, const float* dbeta, float* dx) {
    for (size_t i = FirstIndex(); i < count; i += GridStride()) {
        const size_t j = i % columns;
        const float normalised = (x[i] - mean[j]) * rstd[j];
        dx[i] = gamma[j] * rstd[j] * (dy[i] - inverse * (dbeta[j] + normalised * dgamma[j]));
    }
}

/// A block a row.
__global__ void LayerNormForwardKernel(int rows, int columns, const float* x, const float* gamma,
                                       const float* beta, float epsilon, float* saved_mean, float* saved_rstd,
                                       float* y) {
    for (int row = blockIdx.x; row < rows; row += gridDim.x) {
        const float* const from = x + static_cast<size_t>(row) * columns;
        float sum = 0.0f;
        for (int j = threadIdx.x; j < columns; j += blockDim.x)
            sum += from[j];
        const float mean = BlockSumForAll(sum) / static_cast<float>(columns);
        float square = 0.0f;
        for (int j = threadIdx.x; j < columns; j += blockDim.x)
            square += (from[j] - mean) * (from[j] - mean);
        __syncthreads();
        const float rstd = 1.0f / sqrtf(BlockSumForAll(square) / static_cast<float>(columns) + epsilon);
        if (threadIdx.x == 0) {
            saved_mean[row] = mean;
            saved_rstd[row] = rstd;
        }
        for (int j = threadIdx.x; j < columns; j += blockDim.x)
            y[static_cast<size_t>(row) * columns + j] = (from[j] - mean) * rstd * gamma[j] + beta[j];
        __syncthreads();
    }
}

__global__ void LayerNormBackwardKernel(int rows, int columns, const float* x, const float* gamma,
                                        const float* saved_mean, const float* saved_rstd, const float* dy,
                                        float* dx) {
    for (int row = blockIdx.x; row < rows; row += gridDim.x) {
        const size_t first = static_cast<size_t>(row) * columns;
        const float mean = saved_mean[row];
        const float rstd = saved_rstd[row];
        float sum = 0.0f;
        float product = 0.0f;
        for (int j = threadIdx.x; j < columns; j += blockDim.x) {
            const float gradient = dy[first + j] * gamma[j];
            sum += gradient;
            product += gradient * (x[first + j] - mean) * rstd;
        }
        sum = BlockSumForAll(sum) / static_cast<float>(columns);
        __syncthreads();
        product = BlockSumForAll(product) / static_cast<float>(columns);
        for (int j = threadIdx.x; j < columns; j += blockDim.x)
            dx[first + j] =
                rstd * (dy[first + j] * gamma[j] - sum - (x[first + j] - mean) * rstd * product);
        __syncthreads();
    }
}

}  // namespace dlent::cuda
