#pragma once

#include <memory>
#include <utility>

#include "core/nn/backend.h"

namespace dlent::gpu {

/// Passes every operator on to another backend; what is of interest is overridden.
class ForwardingBackend : public Backend {
 public:
    explicit ForwardingBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

    const char* name() const override { return inner_->name(); }
    void* Allocate(size_t bytes) override { return inner_->Allocate(bytes); }
    void Free(void* pointer) override { inner_->Free(pointer); }
    void Upload(void* device, const void* host, size_t bytes) override {
        inner_->Upload(device, host, bytes);
    }
    void Download(void* host, const void* device, size_t bytes) override {
        inner_->Download(host, device, bytes);
    }
    void Copy(void* to, const void* from, size_t bytes) override { inner_->Copy(to, from, bytes); }
    void Zero(void* device, size_t bytes) override { inner_->Zero(device, bytes); }
    Status Synchronize() override { return inner_->Synchronize(); }
    void Gemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float* a, int lda,
              const float* b, int ldb, float beta, float* c, int ldc) override {
        inner_->Gemm(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    }
    void GemmBatched(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float* a,
                     int lda, ptrdiff_t stride_a, const float* b, int ldb, ptrdiff_t stride_b, float beta,
                     float* c, int ldc, ptrdiff_t stride_c, int count) override {
        inner_->GemmBatched(transpose_a, transpose_b, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b,
                            beta, c, ldc, stride_c, count);
    }
    void DenseForward(int rows, int inputs, int outputs, const float* x, int ldx, const float* weight,
                      const float* bias, const float* base, Activation activation, float* preactivation,
                      float* y) override {
        inner_->DenseForward(rows, inputs, outputs, x, ldx, weight, bias, base, activation, preactivation, y);
    }
    void DenseBackward(int rows, int inputs, int outputs, const float* x, int ldx, const float* weight,
                       const float* dz, float* dweight, float* dbias, float* dx,
                       bool accumulate_dx) override {
        inner_->DenseBackward(rows, inputs, outputs, x, ldx, weight, dz, dweight, dbias, dx, accumulate_dx);
    }
    void ColumnSum(int rows, int columns, const float* x, float* out) override {
        inner_->ColumnSum(rows, columns, x, out);
    }
    void ActivationForward(Activation activation, size_t count, const float* x, float* y) override {
        inner_->ActivationForward(activation, count, x, y);
    }
    void ActivationBackward(Activation activation, size_t count, const float* x, const float* y,
                            const float* dy, float* dx) override {
        inner_->ActivationBackward(activation, count, x, y, dy, dx);
    }
    void ParametricActivationForward(Activation activation, int rows, int columns, const float* x,
                                     const float* alpha, float* y) override {
        inner_->ParametricActivationForward(activation, rows, columns, x, alpha, y);
    }
    void ParametricActivationBackward(Activation activation, int rows, int columns, const float* x,
                                      const float* alpha, const float* dy, float* dx,
                                      float* dalpha) override {
        inner_->ParametricActivationBackward(activation, rows, columns, x, alpha, dy, dx, dalpha);
    }
    void Axpy(size_t count, float alpha, const float* x, float* y) override {
        inner_->Axpy(count, alpha, x, y);
    }
    void SmoothClipForward(size_t count, float limit, const float* x, float* y) override {
        inner_->SmoothClipForward(count, limit, x, y);
    }
    void SmoothClipBackward(size_t count, float limit, const float* x, const float* dy, float* dx,
                            bool accumulate) override {
        inner_->SmoothClipBackward(count, limit, x, dy, dx, accumulate);
    }
    void CopyColumns(int rows, int columns, const float* from, int ld_from, float* to, int ld_to,
                     bool accumulate) override {
        inner_->CopyColumns(rows, columns, from, ld_from, to, ld_to, accumulate);
    }
    void Dropout(size_t count, float rate, uint64_t seed, uint64_t step, const float* x, float* y) override {
        inner_->Dropout(count, rate, seed, step, x, y);
    }
    void EmbeddingSumForward(int rows, int fields, int width, const int32_t* codes, const int32_t* offsets,
                             const float* table, float* out, bool accumulate) override {
        inner_->EmbeddingSumForward(rows, fields, width, codes, offsets, table, out, accumulate);
    }
    void EmbeddingSumBackward(int rows, int fields, int width, const int32_t* codes, const int32_t* offsets,
                              const float* dout, int table_rows, float* dtable) override {
        inner_->EmbeddingSumBackward(rows, fields, width, codes, offsets, dout, table_rows, dtable);
    }
    void EmbeddingForward(int rows, int width, const int32_t* codes, int code_stride, const float* table,
                          float* out, int ld_out) override {
        inner_->EmbeddingForward(rows, width, codes, code_stride, table, out, ld_out);
    }
    void EmbeddingBackward(int rows, int width, const int32_t* codes, int code_stride, const float* dout,
                           int ld_dout, int table_rows, float* dtable) override {
        inner_->EmbeddingBackward(rows, width, codes, code_stride, dout, ld_dout, table_rows, dtable);
    }
    void PiecewiseLinearForward(int rows, int features, int width, const float* x, const int32_t* bin_offsets,
                                const float* edges, const float* weight, int32_t* bins, float* fractions,
                                float* out) override {
        inner_->PiecewiseLinearForward(rows, features, width, x, bin_offsets, edges, weight, bins, fractions,
                                       out);
    }
    void PiecewiseLinearBackward(int rows, int features, int width, const int32_t* bins,
                                 const float* fractions, const int32_t* bin_offsets, const float* dout,
                                 float* dweight) override {
        inner_->PiecewiseLinearBackward(rows, features, width, bins, fractions, bin_offsets, dout, dweight);
    }
    void PiecewiseLinearInputGradient(int rows, int features, int width, const int32_t* bins,
                                      const float* fractions, const int32_t* bin_offsets, const float* edges,
                                      const float* weight, const float* dout, float* dx,
                                      bool accumulate) override {
        inner_->PiecewiseLinearInputGradient(rows, features, width, bins, fractions, bin_offsets, edges,
                                             weight, dout, dx, accumulate);
    }
    void NumericLinearForward(int rows, int features, int width, const float* x, const float* weight,
                              const float* bias, float* out, bool accumulate) override {
        inner_->NumericLinearForward(rows, features, width, x, weight, bias, out, accumulate);
    }
    void NumericLinearBackward(int rows, int features, int width, const float* x, const float* dout,
                               float* dweight, float* dbias) override {
        inner_->NumericLinearBackward(rows, features, width, x, dout, dweight, dbias);
    }
    void NumericLinearInputGradient(int rows, int features, int width, const float* weight, const float* dout,
                                    float* dx, bool accumulate) override {
        inner_->NumericLinearInputGradient(rows, features, width, weight, dout, dx, accumulate);
    }
    void PeriodicForward(int rows, int features, int frequencies, const float* x, const float* coefficients,
                         float* out) override {
        inner_->PeriodicForward(rows, features, frequencies, x, coefficients, out);
    }
    void PeriodicBackward(int rows, int features, int frequencies, const float* x, const float* coefficients,
                          const float* dout, float* dcoefficients) override {
        inner_->PeriodicBackward(rows, features, frequencies, x, coefficients, dout, dcoefficients);
    }
    void PeriodicInputGradient(int rows, int features, int frequencies, const float* x,
                               const float* coefficients, const float* dout, float* dx,
                               bool accumulate) override {
        inner_->PeriodicInputGradient(rows, features, frequencies, x, coefficients, dout, dx, accumulate);
    }
    void FeatureDenseForward(int rows, int features, int inputs, int outputs, const float* x,
                             const float* weight, const float* bias, float* y) override {
        inner_->FeatureDenseForward(rows, features, inputs, outputs, x, weight, bias, y);
    }
    void FeatureDenseBackward(int rows, int features, int inputs, int outputs, const float* x,
                              const float* weight, const float* dy, float* dweight, float* dbias,
                              float* dx) override {
        inner_->FeatureDenseBackward(rows, features, inputs, outputs, x, weight, dy, dweight, dbias, dx);
    }
    void BatchNormForward(int rows, int columns, const float* x, const float* gamma, const float* beta,
                          float epsilon, float momentum, bool training, float* running_mean,
                          float* running_variance, float* saved_mean, float* saved_rstd, float* y) override {
        inner_->BatchNormForward(rows, columns, x, gamma, beta, epsilon, momentum, training, running_mean,
                                 running_variance, saved_mean, saved_rstd, y);
    }
    void BatchNormBackward(int rows, int columns, const float* x, const float* gamma, const float* saved_mean,
                           const float* saved_rstd, const float* dy, float* dx, float* dgamma,
                           float* dbeta) override {
        inner_->BatchNormBackward(rows, columns, x, gamma, saved_mean, saved_rstd, dy, dx, dgamma, dbeta);
    }
    void LayerNormForward(int rows, int columns, const float* x, const float* gamma, const float* beta,
                          float epsilon, float* saved_mean, float* saved_rstd, float* y) override {
        inner_->LayerNormForward(rows, columns, x, gamma, beta, epsilon, saved_mean, saved_rstd, y);
    }
    void LayerNormBackward(int rows, int columns, const float* x, const float* gamma, const float* saved_mean,
                           const float* saved_rstd, const float* dy, float* dx, float* dgamma,
                           float* dbeta) override {
        inner_->LayerNormBackward(rows, columns, x, gamma, saved_mean, saved_rstd, dy, dx, dgamma, dbeta);
    }
    void EnsembleScaleForward(int batch, int members, int width, const float* x, bool broadcast,
                              const float* scale, float* y) override {
        inner_->EnsembleScaleForward(batch, members, width, x, broadcast, scale, y);
    }
    void EnsembleScaleBackward(int batch, int members, int width, const float* x, bool broadcast,
                               const float* scale, const float* dy, float* dx, bool accumulate_dx,
                               float* dscale) override {
        inner_->EnsembleScaleBackward(batch, members, width, x, broadcast, scale, dy, dx, accumulate_dx,
                                      dscale);
    }
    void EnsembleOutputForward(const EnsembleOutputSpec& spec, const float* product, const float* base,
                               const float* scale, const float* bias, float* preactivation,
                               float* y) override {
        inner_->EnsembleOutputForward(spec, product, base, scale, bias, preactivation, y);
    }
    void EnsembleOutputBackward(const EnsembleOutputSpec& spec, const float* product, const float* base,
                                const float* scale, const float* preactivation, const float* y,
                                const float* dy, float* dproduct, float* dscale, float* dbias) override {
        inner_->EnsembleOutputBackward(spec, product, base, scale, preactivation, y, dy, dproduct, dscale,
                                       dbias);
    }
    void EnsembleSum(int batch, int members, int width, const float* x, float* out) override {
        inner_->EnsembleSum(batch, members, width, x, out);
    }
    void EnsembleBias(int batch, int members, int width, const float* bias, float* y) override {
        inner_->EnsembleBias(batch, members, width, bias, y);
    }
    void Loss(const LossSpec& spec, int rows, int outputs, int members, const float* logits,
              const void* targets, const float* row_weights, double* accumulator, float* dlogits,
              float* weight_sum) override {
        inner_->Loss(spec, rows, outputs, members, logits, targets, row_weights, accumulator, dlogits,
                     weight_sum);
    }
    void Probabilities(int rows, int outputs, float inverse_temperature, const float* logits,
                       float* probabilities) override {
        inner_->Probabilities(rows, outputs, inverse_temperature, logits, probabilities);
    }
    void GradientClipScale(size_t count, const float* gradient, const float* weight_sum, float max_norm,
                           float* scale) override {
        inner_->GradientClipScale(count, gradient, weight_sum, max_norm, scale);
    }
    void AdamWStep(const AdamWStepSpec& spec, std::span<const ParameterSegment> segments,
                   const float* gradient, const float* gradient_scale, float* parameters, float* first_moment,
                   float* second_moment) override {
        inner_->AdamWStep(spec, segments, gradient, gradient_scale, parameters, first_moment, second_moment);
    }
    void SgdStep(const SgdStepSpec& spec, std::span<const ParameterSegment> segments, const float* gradient,
                 const float* gradient_scale, float* parameters, float* momentum) override {
        inner_->SgdStep(spec, segments, gradient, gradient_scale, parameters, momentum);
    }
    void Lerp(size_t count, float weight, const float* source, float* target) override {
        inner_->Lerp(count, weight, source, target);
    }
    void CheckFinite(size_t count, const float* values, int32_t* flag) override {
        inner_->CheckFinite(count, values, flag);
    }

    int StepsAhead() const override { return inner_->StepsAhead(); }
    void PermuteRows(const RandomPermutation& permutation, const uint32_t* rows, uint32_t* order) override {
        inner_->PermuteRows(permutation, rows, order);
    }
    std::unique_ptr<StepProgram> MakeStepProgram(StepFunction enqueue) override {
        return inner_->MakeStepProgram(std::move(enqueue));
    }
    void GatherRows(int rows, std::span<const RowGather> parts, const uint32_t* order,
                    size_t first) override {
        inner_->GatherRows(rows, parts, order, first);
    }
    int ranks() const override { return inner_->ranks(); }
    int rank() const override { return inner_->rank(); }
    void AllReduceSum(size_t count, float* values) override { inner_->AllReduceSum(count, values); }
    void AllReduceSum(size_t count, double* values) override { inner_->AllReduceSum(count, values); }

 private:
    std::unique_ptr<Backend> inner_;
};

}  // namespace dlent::gpu
