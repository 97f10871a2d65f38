#include "cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "cpu/kernels.h"

namespace dlent {
namespace {

constexpr size_t kAlignment = 64;

void* AllocateAligned(size_t bytes) {
    if (bytes > std::numeric_limits<size_t>::max() - kAlignment)
        return nullptr;
    const size_t rounded = std::max(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    void* memory = std::aligned_alloc(kAlignment, rounded);
    if (memory != nullptr)
        std::memset(memory, 0, rounded);
    return memory;
}

const CpuKernels& KernelsOf(CpuIsa isa) {
#if defined(__x86_64__)
    if (isa == CpuIsa::kAvx512)
        return Avx512CpuKernels();
    if (isa == CpuIsa::kAvx2)
        return Avx2CpuKernels();
#else
    (void)isa;
#endif
    return GenericCpuKernels();
}

GemmActivation FusedActivation(Activation activation) {
    switch (activation) {
        case Activation::kRelu:
            return GemmActivation::kRelu;
        case Activation::kLeakyRelu:
            return GemmActivation::kLeakyRelu;
        default:
            return GemmActivation::kNone;
    }
}

/// Scratch memory that grows to the largest request.
class Workspace {
 public:
    Workspace() = default;
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;
    ~Workspace() { std::free(data_); }

    /// Null when the memory is not to be had.
    float* Reserve(size_t count) {
        if (count > count_) {
            std::free(data_);
            data_ = static_cast<float*>(AllocateAligned(count * sizeof(float)));
            count_ = data_ == nullptr ? 0 : count;
        }
        return data_;
    }

 private:
    float* data_ = nullptr;
    size_t count_ = 0;
};

class CpuBackend final : public Backend {
 public:
    explicit CpuBackend(const CpuKernels& kernels) : kernels_(kernels) {}

    const char* name() const override { return "cpu"; }

    void* Allocate(size_t bytes) override { return AllocateAligned(bytes); }
    void Free(void* pointer) override { std::free(pointer); }
    void Upload(void* device, const void* host, size_t bytes) override { Copy(device, host, bytes); }
    void Download(void* host, const void* device, size_t bytes) override { Copy(host, device, bytes); }
    void Copy(void* to, const void* from, size_t bytes) override {
        if (bytes != 0)
            std::memcpy(to, from, bytes);
    }
    void Zero(void* device, size_t bytes) override {
        if (bytes != 0)
            std::memset(device, 0, bytes);
    }
    Status Synchronize() override {
        if (!out_of_memory_)
            return Status::Ok();
        out_of_memory_ = false;
        return {StatusCode::kOutOfMemory, "out of memory for the workspace of an operator"};
    }

    void Gemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float* a, int lda,
              const float* b, int ldb, float beta, float* c, int ldc) override {
        RunGemm({.transpose_a = transpose_a,
                 .transpose_b = transpose_b,
                 .m = m,
                 .n = n,
                 .k = k,
                 .alpha = alpha,
                 .a = a,
                 .lda = lda,
                 .b = b,
                 .ldb = ldb,
                 .beta = beta,
                 .c = c,
                 .ldc = ldc});
    }

    void GemmBatched(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float* a,
                     int lda, ptrdiff_t stride_a, const float* b, int ldb, ptrdiff_t stride_b, float beta,
                     float* c, int ldc, ptrdiff_t stride_c, int count) override {
        for (int i = 0; i < count; ++i, a += stride_a, b += stride_b, c += stride_c)
            Gemm(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    }

    void DenseForward(int rows, int inputs, int outputs, const float* x, int ldx, const float* weight,
                      const float* bias, const float* base, Activation activation, float* preactivation,
                      float* y) override {
        const GemmActivation fused = FusedActivation(activation);
        const bool apart = fused == GemmActivation::kNone && activation != Activation::kIdentity;
        float* linear = apart && preactivation != nullptr ? preactivation : y;
        RunGemm({.m = rows,
                 .n = outputs,
                 .k = inputs,
                 .a = x,
                 .lda = ldx,
                 .b = weight,
                 .ldb = outputs,
                 .c = linear,
                 .ldc = outputs,
                 .bias = bias,
                 .base = base,
                 .preactivation = apart ? nullptr : preactivation,
                 .activation = fused});
        if (apart)
            ActivationForward(activation, static_cast<size_t>(rows) * static_cast<size_t>(outputs), linear,
                              y);
    }

    void DenseBackward(int rows, int inputs, int outputs, const float* x, int ldx, const float* weight,
                       const float* dz, float* dweight, float* dbias, float* dx,
                       bool accumulate_dx) override {
        Gemm(true, false, inputs, outputs, rows, 1.0f, x, ldx, dz, outputs, 0.0f, dweight, outputs);
        if (dbias != nullptr)
            ColumnSum(rows, outputs, dz, dbias);
        if (dx != nullptr)
            Gemm(false, true, rows, inputs, outputs, 1.0f, dz, outputs, weight, outputs,
                 accumulate_dx ? 1.0f : 0.0f, dx, ldx);
    }

    void ColumnSum(int rows, int columns, const float* x, float* out) override {
        kernels_.column_sum(rows, columns, x, out);
    }

    void ActivationForward(Activation activation, size_t count, const float* x, float* y) override {
        kernels_.activation_forward(activation, count, x, y);
    }
    void ActivationBackward(Activation activation, size_t count, const float* x, const float* y,
                            const float* dy, float* dx) override {
        kernels_.activation_backward(activation, count, x, y, dy, dx);
    }
    void ParametricActivationForward(Activation activation, int rows, int columns, const float* x,
                                     const float* alpha, float* y) override {
        kernels_.parametric_activation_forward(activation, rows, columns, x, alpha, y);
    }
    void ParametricActivationBackward(Activation activation, int rows, int columns, const float* x,
                                      const float* alpha, const float* dy, float* dx,
                                      float* dalpha) override {
        kernels_.parametric_activation_backward(activation, rows, columns, x, alpha, dy, dx, dalpha);
    }
    void Axpy(size_t count, float alpha, const float* x, float* y) override {
        kernels_.axpy(count, alpha, x, y);
    }
    void SmoothClipForward(size_t count, float limit, const float* x, float* y) override {
        kernels_.smooth_clip_forward(count, limit, x, y);
    }
    void SmoothClipBackward(size_t count, float limit, const float* x, const float* dy, float* dx,
                            bool accumulate) override {
        kernels_.smooth_clip_backward(count, limit, x, dy, dx, accumulate);
    }
    void CopyColumns(int rows, int columns, const float* from, int ld_from, float* to, int ld_to,
                     bool accumulate) override {
        kernels_.copy_columns(rows, columns, from, ld_from, to, ld_to, accumulate);
    }
    void Dropout(size_t count, float rate, uint64_t seed, uint64_t step, const float* x, float* y) override {
        kernels_.dropout(count, rate, seed, step, x, y);
    }

    void EmbeddingSumForward(int rows, int fields, int width, const int32_t* codes, const int32_t* offsets,
                             const float* table, float* out, bool accumulate) override {
        kernels_.embedding_sum_forward(rows, fields, width, codes, offsets, table, out, accumulate);
    }
    void EmbeddingSumBackward(int rows, int fields, int width, const int32_t* codes, const int32_t* offsets,
                              const float* dout, int table_rows, float* dtable) override {
        kernels_.embedding_sum_backward(rows, fields, width, codes, offsets, dout, table_rows, dtable);
    }
    void EmbeddingForward(int rows, int width, const int32_t* codes, int code_stride, const float* table,
                          float* out, int ld_out) override {
        kernels_.embedding_forward(rows, width, codes, code_stride, table, out, ld_out);
    }
    void EmbeddingBackward(int rows, int width, const int32_t* codes, int code_stride, const float* dout,
                           int ld_dout, int table_rows, float* dtable) override {
        kernels_.embedding_backward(rows, width, codes, code_stride, dout, ld_dout, table_rows, dtable);
    }
    void PiecewiseLinearForward(int rows, int features, int width, const float* x, const int32_t* bin_offsets,
                                const float* edges, const float* weight, int32_t* bins, float* fractions,
                                float* out) override {
        if (float* workspace = ReserveBins(bin_offsets[features], width))
            kernels_.piecewise_linear_forward(rows, features, width, x, bin_offsets, edges, weight, bins,
                                              fractions, out, workspace);
    }
    void PiecewiseLinearBackward(int rows, int features, int width, const int32_t* bins,
                                 const float* fractions, const int32_t* bin_offsets, const float* dout,
                                 float* dweight) override {
        if (float* workspace = ReserveBins(bin_offsets[features], width))
            kernels_.piecewise_linear_backward(rows, features, width, bins, fractions, bin_offsets, dout,
                                               dweight, workspace);
    }
    void PiecewiseLinearInputGradient(int rows, int features, int width, const int32_t* bins,
                                      const float* fractions, const int32_t* bin_offsets, const float* edges,
                                      const float* weight, const float* dout, float* dx,
                                      bool accumulate) override {
        kernels_.piecewise_linear_input_gradient(rows, features, width, bins, fractions, bin_offsets, edges,
                                                 weight, dout, dx, accumulate);
    }
    void NumericLinearForward(int rows, int features, int width, const float* x, const float* weight,
                              const float* bias, float* out, bool accumulate) override {
        kernels_.numeric_linear_forward(rows, features, width, x, weight, bias, out, accumulate);
    }
    void NumericLinearBackward(int rows, int features, int width, const float* x, const float* dout,
                               float* dweight, float* dbias) override {
        kernels_.numeric_linear_backward(rows, features, width, x, dout, dweight, dbias);
    }
    void NumericLinearInputGradient(int rows, int features, int width, const float* weight, const float* dout,
                                    float* dx, bool accumulate) override {
        kernels_.numeric_linear_input_gradient(rows, features, width, weight, dout, dx, accumulate);
    }
    void PeriodicForward(int rows, int features, int frequencies, const float* x, const float* coefficients,
                         float* out) override {
        kernels_.periodic_forward(rows, features, frequencies, x, coefficients, out);
    }
    void PeriodicBackward(int rows, int features, int frequencies, const float* x, const float* coefficients,
                          const float* dout, float* dcoefficients) override {
        kernels_.periodic_backward(rows, features, frequencies, x, coefficients, dout, dcoefficients);
    }
    void PeriodicInputGradient(int rows, int features, int frequencies, const float* x,
                               const float* coefficients, const float* dout, float* dx,
                               bool accumulate) override {
        kernels_.periodic_input_gradient(rows, features, frequencies, x, coefficients, dout, dx, accumulate);
    }

    void FeatureDenseForward(int rows, int features, int inputs, int outputs, const float* x,
                             const float* weight, const float* bias, float* y) override {
        for (int f = 0; f < features; ++f)
            RunGemm({.m = rows,
                     .n = outputs,
                     .k = inputs,
                     .a = x + Offset(f, inputs),
                     .lda = Offset(features, inputs),
                     .b = weight + Offset(f, inputs) * outputs,
                     .ldb = outputs,
                     .c = y + Offset(f, outputs),
                     .ldc = Offset(features, outputs),
                     .bias = bias == nullptr ? nullptr : bias + Offset(f, outputs)});
    }

    void FeatureDenseBackward(int rows, int features, int inputs, int outputs, const float* x,
                              const float* weight, const float* dy, float* dweight, float* dbias,
                              float* dx) override {
        for (int f = 0; f < features; ++f) {
            const float* dy_f = dy + Offset(f, outputs);
            RunGemm({.transpose_a = true,
                     .m = inputs,
                     .n = outputs,
                     .k = rows,
                     .a = x + Offset(f, inputs),
                     .lda = Offset(features, inputs),
                     .b = dy_f,
                     .ldb = Offset(features, outputs),
                     .c = dweight + Offset(f, inputs) * outputs,
                     .ldc = outputs});
            if (dx != nullptr)
                RunGemm({.transpose_b = true,
                         .m = rows,
                         .n = inputs,
                         .k = outputs,
                         .a = dy_f,
                         .lda = Offset(features, outputs),
                         .b = weight + Offset(f, inputs) * outputs,
                         .ldb = outputs,
                         .c = dx + Offset(f, inputs),
                         .ldc = Offset(features, inputs)});
        }
        if (dbias != nullptr)
            ColumnSum(rows, features * outputs, dy, dbias);
    }

    void BatchNormForward(int rows, int columns, const float* x, const float* gamma, const float* beta,
                          float epsilon, float momentum, bool training, float* running_mean,
                          float* running_variance, float* saved_mean, float* saved_rstd, float* y) override {
        kernels_.batch_norm_forward(rows, columns, x, gamma, beta, epsilon, momentum, training, running_mean,
                                    running_variance, saved_mean, saved_rstd, y);
    }
    void BatchNormBackward(int rows, int columns, const float* x, const float* gamma, const float* saved_mean,
                           const float* saved_rstd, const float* dy, float* dx, float* dgamma,
                           float* dbeta) override {
        kernels_.batch_norm_backward(rows, columns, x, gamma, saved_mean, saved_rstd, dy, dx, dgamma, dbeta);
    }
    void LayerNormForward(int rows, int columns, const float* x, const float* gamma, const float* beta,
                          float epsilon, float* saved_mean, float* saved_rstd, float* y) override {
        kernels_.layer_norm_forward(rows, columns, x, gamma, beta, epsilon, saved_mean, saved_rstd, y);
    }
    void LayerNormBackward(int rows, int columns, const float* x, const float* gamma, const float* saved_mean,
                           const float* saved_rstd, const float* dy, float* dx, float* dgamma,
                           float* dbeta) override {
        kernels_.layer_norm_backward(rows, columns, x, gamma, saved_mean, saved_rstd, dy, dx, dgamma, dbeta);
    }

    void EnsembleScaleForward(int batch, int members, int width, const float* x, bool broadcast,
                              const float* scale, float* y) override {
        kernels_.ensemble_scale_forward(batch, members, width, x, broadcast, scale, y);
    }
    void EnsembleScaleBackward(int batch, int members, int width, const float* x, bool broadcast,
                               const float* scale, const float* dy, float* dx, bool accumulate_dx,
                               float* dscale) override {
        kernels_.ensemble_scale_backward(batch, members, width, x, broadcast, scale, dy, dx, accumulate_dx,
                                         dscale);
    }
    void EnsembleOutputForward(const EnsembleOutputSpec& spec, const float* product, const float* base,
                               const float* scale, const float* bias, float* preactivation,
                               float* y) override {
        kernels_.ensemble_output_forward(spec, product, base, scale, bias, preactivation, y);
    }
    void EnsembleOutputBackward(const EnsembleOutputSpec& spec, const float* product, const float* base,
                                const float* scale, const float* preactivation, const float* y,
                                const float* dy, float* dproduct, float* dscale, float* dbias) override {
        kernels_.ensemble_output_backward(spec, product, base, scale, preactivation, y, dy, dproduct, dscale,
                                          dbias);
    }
    void EnsembleSum(int batch, int members, int width, const float* x, float* out) override {
        kernels_.ensemble_sum(batch, members, width, x, out);
    }
    void EnsembleBias(int batch, int members, int width, const float* bias, float* y) override {
        kernels_.ensemble_bias(batch, members, width, bias, y);
    }

    void Loss(const LossSpec& spec, int rows, int outputs, int members, const float* logits,
              const void* targets, const float* row_weights, double* accumulator, float* dlogits,
              float* weight_sum) override {
        kernels_.loss(spec, rows, outputs, members, logits, targets, row_weights, accumulator, dlogits,
                      weight_sum);
    }
    void Probabilities(int rows, int outputs, float inverse_temperature, const float* logits,
                       float* probabilities) override {
        kernels_.probabilities(rows, outputs, inverse_temperature, logits, probabilities);
    }

    void GradientClipScale(size_t count, const float* gradient, const float* weight_sum, float max_norm,
                           float* scale) override {
        const double weight = weight_sum == nullptr ? 1.0 : static_cast<double>(*weight_sum);
        const double to_mean = weight == 0.0 ? 0.0 : 1.0 / weight;
        const double norm = std::sqrt(kernels_.sum_of_squares(count, gradient)) * to_mean;
        const double clip = max_norm > 0.0f && norm > max_norm ? max_norm / norm : 1.0;
        *scale = std::isfinite(norm) ? static_cast<float>(clip * to_mean)
                                     : std::numeric_limits<float>::quiet_NaN();
    }

    void AdamWStep(const AdamWStepSpec& spec, std::span<const ParameterSegment> segments,
                   const float* gradient, const float* gradient_scale, float* parameters, float* first_moment,
                   float* second_moment) override {
        const double step = static_cast<double>(spec.step);
        const float correction1 = static_cast<float>(1.0 - std::pow(static_cast<double>(spec.beta1), step));
        const float correction2 = static_cast<float>(1.0 - std::pow(static_cast<double>(spec.beta2), step));
        for (const ParameterSegment& s : segments) {
            const float rate = spec.learning_rate * s.learning_rate_multiplier;
            kernels_.adamw(s.count, rate, rate * s.weight_decay, spec.beta1, spec.beta2, spec.epsilon,
                           correction1, correction2, *gradient_scale, gradient + s.offset,
                           parameters + s.offset, first_moment + s.offset, second_moment + s.offset);
        }
    }

    void SgdStep(const SgdStepSpec& spec, std::span<const ParameterSegment> segments, const float* gradient,
                 const float* gradient_scale, float* parameters, float* momentum) override {
        for (const ParameterSegment& s : segments) {
            const float rate = spec.learning_rate * s.learning_rate_multiplier;
            kernels_.sgd(s.count, rate, rate * s.weight_decay, spec.momentum, spec.nesterov, *gradient_scale,
                         gradient + s.offset, parameters + s.offset, momentum + s.offset);
        }
    }

    void Lerp(size_t count, float weight, const float* source, float* target) override {
        kernels_.lerp(count, weight, source, target);
    }
    void CheckFinite(size_t count, const float* values, int32_t* flag) override {
        if (!kernels_.all_finite(count, values))
            *flag = 1;
    }
    void PermuteRows(const RandomPermutation& permutation, const uint32_t* rows, uint32_t* order) override {
        permutation.Permute(rows, 0, {order, permutation.count()});
    }
    void GatherRows(int rows, std::span<const RowGather> parts, const uint32_t* order,
                    size_t first) override {
        for (const RowGather& part : parts) {
            const size_t bytes = static_cast<size_t>(part.width) * sizeof(float);
            for (int i = 0; i < rows; ++i)
                std::memcpy(
                    static_cast<char*>(part.out) + static_cast<size_t>(i) * bytes,
                    static_cast<const char*>(part.table) + order[first + static_cast<size_t>(i)] * bytes,
                    bytes);
        }
    }

 private:
    static ptrdiff_t Offset(int index, int stride) { return static_cast<ptrdiff_t>(index) * stride; }

    void RunGemm(const GemmCall& call) { kernels_.gemm(call, gemm_workspace_); }

    float* ReserveBins(int bins, int width) {
        float* workspace = workspace_.Reserve(static_cast<size_t>(bins) * static_cast<size_t>(width));
        out_of_memory_ = out_of_memory_ || workspace == nullptr;
        return workspace;
    }

    const CpuKernels& kernels_;
    Workspace workspace_;
    bool out_of_memory_ = false;
    alignas(kAlignment) float gemm_workspace_[kGemmWorkspace];
};

}  // namespace

CpuIsa DetectCpuIsa() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return CpuIsa::kAvx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return CpuIsa::kAvx2;
#endif
    return CpuIsa::kGeneric;
}

std::unique_ptr<Backend> MakeCpuBackend(CpuIsa max_isa) {
    return std::unique_ptr<Backend>(new (std::nothrow)
                                        CpuBackend(KernelsOf(std::min(max_isa, DetectCpuIsa()))));
}

}  // namespace dlent
