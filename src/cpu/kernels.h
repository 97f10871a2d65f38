#pragma once

#include <cstddef>
#include <cstdint>

#include "core/nn/backend.h"

namespace dlent {

/// What a product does with each value before it is stored.
enum class GemmActivation : uint8_t { kNone, kRelu, kLeakyRelu };

/// c = activation(alpha · op(a) · op(b) + beta · c + base + bias), row-major. `base` has c's leading
/// dimension. `preactivation`, when not null, receives the value before the activation, also with c's leading
/// dimension.
struct GemmCall {
    bool transpose_a = false;
    bool transpose_b = false;
    int m = 0;
    int n = 0;
    int k = 0;
    float alpha = 1.0f;
    const float* a = nullptr;
    ptrdiff_t lda = 0;
    const float* b = nullptr;
    ptrdiff_t ldb = 0;
    float beta = 0.0f;
    float* c = nullptr;
    ptrdiff_t ldc = 0;
    const float* bias = nullptr;
    const float* base = nullptr;
    float* preactivation = nullptr;
    GemmActivation activation = GemmActivation::kNone;
};

/// Floats of the packed panel of op(b) that a product works in, 64-byte aligned.
constexpr size_t kGemmWorkspace = 128 * 64;

/// The operators of Backend that are loops over floats, compiled once per instruction set and chosen at run
/// time. Parameters mean what they mean in Backend; `workspace` is 64-byte aligned.
struct CpuKernels {
    const char* name;

    void (*gemm)(const GemmCall& call, float* workspace);

    void (*column_sum)(int rows, int columns, const float* x, float* out);
    void (*activation_forward)(Activation activation, size_t count, const float* x, float* y);
    void (*activation_backward)(Activation activation, size_t count, const float* x, const float* y,
                                const float* dy, float* dx);
    void (*parametric_activation_forward)(Activation activation, int rows, int columns, const float* x,
                                          const float* alpha, float* y);
    void (*parametric_activation_backward)(Activation activation, int rows, int columns, const float* x,
                                           const float* alpha, const float* dy, float* dx, float* dalpha);
    void (*axpy)(size_t count, float alpha, const float* x, float* y);
    void (*smooth_clip_forward)(size_t count, float limit, const float* x, float* y);
    void (*smooth_clip_backward)(size_t count, float limit, const float* x, const float* dy, float* dx,
                                 bool accumulate);
    void (*copy_columns)(int rows, int columns, const float* from, int ld_from, float* to, int ld_to,
                         bool accumulate);
    void (*dropout)(size_t count, float rate, uint64_t seed, uint64_t step, const float* x, float* y);

    void (*embedding_sum_forward)(int rows, int fields, int width, const int32_t* codes,
                                  const int32_t* offsets, const float* table, float* out, bool accumulate);
    void (*embedding_sum_backward)(int rows, int fields, int width, const int32_t* codes,
                                   const int32_t* offsets, const float* dout, int table_rows, float* dtable);
    void (*embedding_forward)(int rows, int width, const int32_t* codes, int code_stride, const float* table,
                              float* out, int ld_out);
    void (*embedding_backward)(int rows, int width, const int32_t* codes, int code_stride, const float* dout,
                               int ld_dout, int table_rows, float* dtable);
    /// `workspace`: bin_offsets[features] · width floats.
    void (*piecewise_linear_forward)(int rows, int features, int width, const float* x,
                                     const int32_t* bin_offsets, const float* edges, const float* weight,
                                     int32_t* bins, float* fractions, float* out, float* workspace);
    void (*piecewise_linear_backward)(int rows, int features, int width, const int32_t* bins,
                                      const float* fractions, const int32_t* bin_offsets, const float* dout,
                                      float* dweight, float* workspace);
    void (*piecewise_linear_input_gradient)(int rows, int features, int width, const int32_t* bins,
                                            const float* fractions, const int32_t* bin_offsets,
                                            const float* edges, const float* weight, const float* dout,
                                            float* dx, bool accumulate);
    void (*numeric_linear_forward)(int rows, int features, int width, const float* x, const float* weight,
                                   const float* bias, float* out, bool accumulate);
    void (*numeric_linear_backward)(int rows, int features, int width, const float* x, const float* dout,
                                    float* dweight, float* dbias);
    void (*numeric_linear_input_gradient)(int rows, int features, int width, const float* weight,
                                          const float* dout, float* dx, bool accumulate);
    void (*periodic_forward)(int rows, int features, int frequencies, const float* x,
                             const float* coefficients, float* out);
    void (*periodic_backward)(int rows, int features, int frequencies, const float* x,
                              const float* coefficients, const float* dout, float* dcoefficients);
    void (*periodic_input_gradient)(int rows, int features, int frequencies, const float* x,
                                    const float* coefficients, const float* dout, float* dx, bool accumulate);

    void (*batch_norm_forward)(int rows, int columns, const float* x, const float* gamma, const float* beta,
                               float epsilon, float momentum, bool training, float* running_mean,
                               float* running_variance, float* saved_mean, float* saved_rstd, float* y);
    void (*batch_norm_backward)(int rows, int columns, const float* x, const float* gamma,
                                const float* saved_mean, const float* saved_rstd, const float* dy, float* dx,
                                float* dgamma, float* dbeta);
    void (*layer_norm_forward)(int rows, int columns, const float* x, const float* gamma, const float* beta,
                               float epsilon, float* saved_mean, float* saved_rstd, float* y);
    void (*layer_norm_backward)(int rows, int columns, const float* x, const float* gamma,
                                const float* saved_mean, const float* saved_rstd, const float* dy, float* dx,
                                float* dgamma, float* dbeta);

    void (*ensemble_scale_forward)(int batch, int members, int width, const float* x, bool broadcast,
                                   const float* scale, float* y);
    void (*ensemble_scale_backward)(int batch, int members, int width, const float* x, bool broadcast,
                                    const float* scale, const float* dy, float* dx, bool accumulate_dx,
                                    float* dscale);
    void (*ensemble_output_forward)(const EnsembleOutputSpec& spec, const float* product, const float* base,
                                    const float* scale, const float* bias, float* preactivation, float* y);
    void (*ensemble_output_backward)(const EnsembleOutputSpec& spec, const float* product, const float* base,
                                     const float* scale, const float* preactivation, const float* y,
                                     const float* dy, float* dproduct, float* dscale, float* dbias);
    void (*ensemble_sum)(int batch, int members, int width, const float* x, float* out);
    void (*ensemble_bias)(int batch, int members, int width, const float* bias, float* y);

    void (*loss)(const LossSpec& spec, int rows, int outputs, int members, const float* logits,
                 const void* targets, const float* row_weights, double* accumulator, float* dlogits,
                 float* weight_sum);
    void (*probabilities)(int rows, int outputs, float inverse_temperature, const float* logits,
                          float* probabilities);

    /// Σ x², in double precision.
    double (*sum_of_squares)(size_t count, const float* x);
    /// `rate` and `decay` are the segment's learning rate and learning rate · weight decay; the corrections
    /// are 1 − β^step.
    void (*adamw)(size_t count, float rate, float decay, float beta1, float beta2, float epsilon,
                  float correction1, float correction2, float gradient_scale, const float* gradient,
                  float* parameters, float* first_moment, float* second_moment);
    void (*sgd)(size_t count, float rate, float decay, float momentum, bool nesterov, float gradient_scale,
                const float* gradient, float* parameters, float* momentum_buffer);
    void (*lerp)(size_t count, float weight, const float* source, float* target);
    bool (*all_finite)(size_t count, const float* values);
};

// One table per translation unit.
const CpuKernels& GenericCpuKernels();
#if defined(__x86_64__)
const CpuKernels& Avx2CpuKernels();
const CpuKernels& Avx512CpuKernels();
#endif

}  // namespace dlent
