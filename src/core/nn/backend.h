#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "core/base/permutation.h"
#include "core/base/status.h"

namespace dlent {

/// Element-wise non-linearities. kSelu, kGelu (the erf form), kSilu and kMish as PyTorch defines them;
/// kLeakyRelu has slope 0.01 below zero.
enum class Activation : uint8_t {
    kIdentity,
    kRelu,
    kLeakyRelu,
    kSelu,
    kGelu,
    kSilu,
    kMish,
    kTanh,
    kSigmoid,
};

/// What a loss compares and how. `logits` are [rows × outputs]; the value of a row is multiplied by its row
/// weight and, for classes, by the class weight of its label.
enum class LossKind : uint8_t {
    kBinaryCrossEntropy,   ///< one logit, target 0/1; label smoothing moves the target towards 1/2
    kSoftmaxCrossEntropy,  ///< `outputs` logits, integer target; label smoothing as PyTorch's
                           ///< CrossEntropyLoss
    kFocal,                ///< Lin et al. 2017, one logit (binary) or `outputs` logits, with focal_gamma
    kSquared,              ///< (prediction − target)²
    kHuber,                ///< quadratic within ±huber_delta, linear beyond (PyTorch HuberLoss)
    kPinball,              ///< quantile loss at `quantile`
};

struct LossSpec {
    LossKind kind = LossKind::kSquared;
    float label_smoothing = 0.0f;
    float focal_gamma = 2.0f;
    float huber_delta = 1.0f;
    float quantile = 0.5f;
    const float* class_weights = nullptr;  ///< [outputs], or [2] for one logit; device pointer; null = all 1
};

/// A slice of the flat parameter vector with its own learning-rate factor and weight decay.
struct ParameterSegment {
    size_t offset = 0;
    size_t count = 0;
    float learning_rate_multiplier = 1.0f;
    float weight_decay = 0.0f;
};

struct AdamWStepSpec {
    float learning_rate = 1e-3f;
    float beta1 = 0.9f;
    float beta2 = 0.999f;
    float epsilon = 1e-8f;
    int64_t step = 1;  ///< counts from 1; for bias correction
};

struct SgdStepSpec {
    float learning_rate = 1e-2f;
    float momentum = 0.9f;
    bool nesterov = false;
};

/// The end of a batch-ensemble layer: f((product + base) ∘ scale + bias), where product is
/// [batch × members × width].
struct EnsembleOutputSpec {
    int batch = 0;
    int members = 1;
    int width = 0;
    bool member_bias = true;  ///< bias is [members × width], else [width]
    Activation activation = Activation::kIdentity;
};

/// A table that GatherRows takes rows of: `width` values of four bytes each, into out [rows × width].
struct RowGather {
    int width = 0;
    const void* table = nullptr;
    void* out = nullptr;
};

/// What differs between two steps of a training whose batches have the same number of rows.
struct StepScalars {
    int rows = 0;          ///< of the batch, on all ranks together
    uint64_t step = 0;     ///< of Dropout
    size_t first_row = 0;  ///< of this rank's share of the batch, in the order that GatherRows reads
    float learning_rate = 0.0f;
    int64_t optimizer_step = 1;   ///< AdamWStepSpec::step
    float average_weight = 0.0f;  ///< of Lerp
};

/// Enqueues the operators of one step.
using StepFunction = std::function<Status(const StepScalars&)>;

/// A step of training that a device may record once and repeat.
class StepProgram {
 public:
    virtual ~StepProgram() = default;
    /// Enqueues a step for each entry, in order.
    virtual Status Run(std::span<const StepScalars> steps) = 0;
};

/// The operators a network is made of, on one device. All pointers are device pointers, matrices are
/// row-major and dense unless a leading dimension (`ld`) is given; `rows` is the mini-batch times the
/// members. Operators are enqueued in order; faults surface at Synchronize(). No operator allocates after the
/// first call with its largest shape. Gradients of parameters are overwritten, never accumulated; gradients
/// of activations are added to what is there when `accumulate` is set. Every operator runs in
/// test/unit/backend_parity_test.cpp on every backend against a float64 reference.
class Backend {
 public:
    virtual ~Backend() = default;

    virtual const char* name() const = 0;

    // ---- memory ----
    /// 64-byte aligned and zeroed; null when the device has no room.
    virtual void* Allocate(size_t bytes) = 0;
    virtual void Free(void* pointer) = 0;
    virtual void Upload(void* device, const void* host, size_t bytes) = 0;
    virtual void Download(void* host, const void* device, size_t bytes) = 0;
    virtual void Copy(void* to, const void* from, size_t bytes) = 0;
    virtual void Zero(void* device, size_t bytes) = 0;
    /// Waits for everything enqueued; the first fault since the last call.
    virtual Status Synchronize() = 0;

    // ---- linear algebra ----
    /// C[m×n] = alpha · op(A) · op(B) + beta · C.
    virtual void Gemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float* a,
                      int lda, const float* b, int ldb, float beta, float* c, int ldc) = 0;
    /// `count` independent products with constant strides between them (ensemble heads).
    virtual void GemmBatched(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha,
                             const float* a, int lda, ptrdiff_t stride_a, const float* b, int ldb,
                             ptrdiff_t stride_b, float beta, float* c, int ldc, ptrdiff_t stride_c,
                             int count) = 0;

    // ---- dense layer: y = f(x·W + bias), W [inputs × outputs] ----
    /// `base`, when not null, is [rows × outputs] and is added before bias and activation (what the gathered
    /// one-hot rows contributed). `preactivation` receives x·W + base + bias where the activation's gradient
    /// needs it (NeedsPreactivation) and may be null otherwise. `bias` may be null.
    virtual void DenseForward(int rows, int inputs, int outputs, const float* x, int ldx, const float* weight,
                              const float* bias, const float* base, Activation activation,
                              float* preactivation, float* y) = 0;
    /// From dz (gradient at the preactivation): dW, dbias (nullable) and dx (nullable; ld = ldx).
    virtual void DenseBackward(int rows, int inputs, int outputs, const float* x, int ldx,
                               const float* weight, const float* dz, float* dweight, float* dbias, float* dx,
                               bool accumulate_dx) = 0;
    /// out[column] = Σ_rows x.
    virtual void ColumnSum(int rows, int columns, const float* x, float* out) = 0;

    // ---- element-wise ----
    virtual void ActivationForward(Activation activation, size_t count, const float* x, float* y) = 0;
    /// dx = dy · f'(·); may be in place (dx == dy). `x` is read only where NeedsPreactivation, `y` elsewhere.
    virtual void ActivationBackward(Activation activation, size_t count, const float* x, const float* y,
                                    const float* dy, float* dx) = 0;
    /// Parametric activation of RealMLP (Holzmüller et al. 2024): y = x + alpha_j · (f(x) − x), alpha
    /// [columns].
    virtual void ParametricActivationForward(Activation activation, int rows, int columns, const float* x,
                                             const float* alpha, float* y) = 0;
    virtual void ParametricActivationBackward(Activation activation, int rows, int columns, const float* x,
                                              const float* alpha, const float* dy, float* dx,
                                              float* dalpha) = 0;
    /// y = alpha · x + y (residual sums, gradient fan-in).
    virtual void Axpy(size_t count, float alpha, const float* x, float* y) = 0;
    /// y = x / sqrt(1 + (x / limit)²), the smooth clip of RealMLP.
    virtual void SmoothClipForward(size_t count, float limit, const float* x, float* y) = 0;
    virtual void SmoothClipBackward(size_t count, float limit, const float* x, const float* dy, float* dx,
                                    bool accumulate) = 0;
    /// Copies columns [0, columns) between matrices of different leading dimensions (concatenation); adds
    /// when `accumulate`.
    virtual void CopyColumns(int rows, int columns, const float* from, int ld_from, float* to, int ld_to,
                             bool accumulate) = 0;
    /// Inverted dropout. Element i keeps when Philox(seed, step, i) ≥ rate; the mask is recomputed in
    /// backward. In place allowed.
    virtual void Dropout(size_t count, float rate, uint64_t seed, uint64_t step, const float* x,
                         float* y) = 0;

    // ---- embeddings ----
    /// out[row] (+)= Σ_fields table[offset[f] + codes[row·fields + f]]; a negative code contributes nothing.
    /// With fields as blocks of a dense layer's weight this is the one-hot product without the one-hot.
    virtual void EmbeddingSumForward(int rows, int fields, int width, const int32_t* codes,
                                     const int32_t* offsets, const float* table, float* out,
                                     bool accumulate) = 0;
    /// dtable (all `table_rows` rows overwritten, zeros where no code fell). Deterministic: rows in order.
    virtual void EmbeddingSumBackward(int rows, int fields, int width, const int32_t* codes,
                                      const int32_t* offsets, const float* dout, int table_rows,
                                      float* dtable) = 0;
    /// out[row, column_offset + j] = table[code] for one field; a negative code gives zeros.
    virtual void EmbeddingForward(int rows, int width, const int32_t* codes, int code_stride,
                                  const float* table, float* out, int ld_out) = 0;
    virtual void EmbeddingBackward(int rows, int width, const int32_t* codes, int code_stride,
                                   const float* dout, int ld_dout, int table_rows, float* dtable) = 0;

    /// Piecewise-linear numeric embedding (Gorishniy et al. 2022), cumulative form, one block of `width`
    /// outputs a feature: out[row, f·width + j] = Σ_b e_b(x)·W[b, j], e_b = 0 below bin b, 1 above, linear
    /// within; the first bin extends to −∞ clamped at 0 and the last to +∞ clamped at 1. Bins of feature f
    /// are [bin_offsets[f], bin_offsets[f+1]) of W; its edges (bins+1 of them, strictly rising) start at
    /// edges[bin_offsets[f] + f]. `bins`/`fractions` [rows × features] receive each value's bin and position,
    /// for backward.
    virtual void PiecewiseLinearForward(int rows, int features, int width, const float* x,
                                        const int32_t* bin_offsets, const float* edges, const float* weight,
                                        int32_t* bins, float* fractions, float* out) = 0;
    virtual void PiecewiseLinearBackward(int rows, int features, int width, const int32_t* bins,
                                         const float* fractions, const int32_t* bin_offsets,
                                         const float* dout, float* dweight) = 0;
    /// dx[row, f] (+)= Σ_j dout[row, f·width + j] · ∂out/∂x: the weights of the value's bin over the width of
    /// that bin, 0 beyond the outermost edges.
    virtual void PiecewiseLinearInputGradient(int rows, int features, int width, const int32_t* bins,
                                              const float* fractions, const int32_t* bin_offsets,
                                              const float* edges, const float* weight, const float* dout,
                                              float* dx, bool accumulate) = 0;
    /// out[row, f·width + j] = x[row, f]·weight[f, j] (+ bias[f, j] when not null); adds when `accumulate`.
    virtual void NumericLinearForward(int rows, int features, int width, const float* x, const float* weight,
                                      const float* bias, float* out, bool accumulate) = 0;
    virtual void NumericLinearBackward(int rows, int features, int width, const float* x, const float* dout,
                                       float* dweight, float* dbias) = 0;
    /// dx[row, f] (+)= Σ_j dout[row, f·width + j] · weight[f, j].
    virtual void NumericLinearInputGradient(int rows, int features, int width, const float* weight,
                                            const float* dout, float* dx, bool accumulate) = 0;
    /// Periodic numeric embedding: out[row, f·2k + j] = cos(2π c[f,j] x), out[.. + k + j] = sin(2π c[f,j] x).
    virtual void PeriodicForward(int rows, int features, int frequencies, const float* x,
                                 const float* coefficients, float* out) = 0;
    virtual void PeriodicBackward(int rows, int features, int frequencies, const float* x,
                                  const float* coefficients, const float* dout, float* dcoefficients) = 0;
    virtual void PeriodicInputGradient(int rows, int features, int frequencies, const float* x,
                                       const float* coefficients, const float* dout, float* dx,
                                       bool accumulate) = 0;
    /// y[row, f, :] = x[row, f, :]·W[f] + b[f]: a small dense layer of its own per feature.
    virtual void FeatureDenseForward(int rows, int features, int inputs, int outputs, const float* x,
                                     const float* weight, const float* bias, float* y) = 0;
    virtual void FeatureDenseBackward(int rows, int features, int inputs, int outputs, const float* x,
                                      const float* weight, const float* dy, float* dweight, float* dbias,
                                      float* dx) = 0;

    // ---- normalisation ----
    /// saved_mean/saved_rstd are [columns] and always written; running statistics are updated with PyTorch's
    /// momentum and unbiased variance when training and read when not.
    virtual void BatchNormForward(int rows, int columns, const float* x, const float* gamma,
                                  const float* beta, float epsilon, float momentum, bool training,
                                  float* running_mean, float* running_variance, float* saved_mean,
                                  float* saved_rstd, float* y) = 0;
    virtual void BatchNormBackward(int rows, int columns, const float* x, const float* gamma,
                                   const float* saved_mean, const float* saved_rstd, const float* dy,
                                   float* dx, float* dgamma, float* dbeta) = 0;
    /// saved_mean/saved_rstd are [rows].
    virtual void LayerNormForward(int rows, int columns, const float* x, const float* gamma,
                                  const float* beta, float epsilon, float* saved_mean, float* saved_rstd,
                                  float* y) = 0;
    virtual void LayerNormBackward(int rows, int columns, const float* x, const float* gamma,
                                   const float* saved_mean, const float* saved_rstd, const float* dy,
                                   float* dx, float* dgamma, float* dbeta) = 0;

    // ---- batch ensembles (TabM, Gorishniy et al. 2025): activations are [batch × members × width] ----
    /// y[b, k, :] = x[b, k or 0, :] ∘ scale[k, :]; `broadcast` means x is [batch × width].
    virtual void EnsembleScaleForward(int batch, int members, int width, const float* x, bool broadcast,
                                      const float* scale, float* y) = 0;
    virtual void EnsembleScaleBackward(int batch, int members, int width, const float* x, bool broadcast,
                                       const float* scale, const float* dy, float* dx, bool accumulate_dx,
                                       float* dscale) = 0;
    /// y[b, k, :] = f((product[b, k, :] + base[b, :]) ∘ scale[k, :] + bias[k, :]). `base`, what is added for
    /// all members alike, and `scale` may be null. `preactivation` receives the argument of f where the
    /// activation's gradient needs it, and may be null otherwise.
    virtual void EnsembleOutputForward(const EnsembleOutputSpec& spec, const float* product,
                                       const float* base, const float* scale, const float* bias,
                                       float* preactivation, float* y) = 0;
    /// From dy: dproduct, which may be dy; dscale, null where there is no scale; dbias. `preactivation` is
    /// read only where NeedsPreactivation, `y` elsewhere. The gradient of the base is EnsembleSum of
    /// dproduct.
    virtual void EnsembleOutputBackward(const EnsembleOutputSpec& spec, const float* product,
                                        const float* base, const float* scale, const float* preactivation,
                                        const float* y, const float* dy, float* dproduct, float* dscale,
                                        float* dbias) = 0;
    /// out[b, :] = Σ_k x[b, k, :].
    virtual void EnsembleSum(int batch, int members, int width, const float* x, float* out) = 0;
    /// y[b, k, :] += bias[k, :], in place; backward is ColumnSum over the batch with members·width columns.
    virtual void EnsembleBias(int batch, int members, int width, const float* bias, float* y) = 0;

    // ---- losses ----
    /// `outputs` is 1 but for classes. `targets` is float [rows] (binary, regression) or int32 [rows] for
    /// kSoftmaxCrossEntropy and multi-output kFocal; with members > 1 row r·members+k has the target of r.
    /// `row_weights` [rows / members] may be null. Adds Σ weight·loss and Σ weight to accumulator[0] and [1]
    /// (device doubles). `dlogits`, when not null, receives the gradient of the weighted mean of this batch:
    /// each row's gradient · weight / Σ weight, zeros when Σ weight is 0. With `weight_sum`, which receives
    /// Σ weight, it is the gradient of the weighted sum instead: of a share of a batch whose mean is taken
    /// when all shares are added up (GradientClipScale). Not-a-number in, not-a-number out.
    virtual void Loss(const LossSpec& spec, int rows, int outputs, int members, const float* logits,
                      const void* targets, const float* row_weights, double* accumulator, float* dlogits,
                      float* weight_sum) = 0;
    /// Softmax over `outputs` (or the logistic function for one output) of logits · inverse_temperature.
    virtual void Probabilities(int rows, int outputs, float inverse_temperature, const float* logits,
                               float* probabilities) = 0;

    // ---- optimisation ----
    /// *scale = min(1, max_norm / ‖gradient‖₂), 1 when max_norm is 0; NaN when the norm is not finite,
    /// whatever max_norm is. With `weight_sum` the gradient is that of a sum, and the scale is of its mean,
    /// gradient / *weight_sum: min(1, max_norm / ‖mean‖₂) / *weight_sum, 0 when *weight_sum is 0.
    virtual void GradientClipScale(size_t count, const float* gradient, const float* weight_sum,
                                   float max_norm, float* scale) = 0;
    /// Decoupled weight decay (Loshchilov & Hutter 2019) in one pass; the gradient is multiplied by
    /// *gradient_scale (device).
    virtual void AdamWStep(const AdamWStepSpec& spec, std::span<const ParameterSegment> segments,
                           const float* gradient, const float* gradient_scale, float* parameters,
                           float* first_moment, float* second_moment) = 0;
    /// PyTorch's momentum without dampening, but weight decay decoupled as in AdamWStep.
    virtual void SgdStep(const SgdStepSpec& spec, std::span<const ParameterSegment> segments,
                         const float* gradient, const float* gradient_scale, float* parameters,
                         float* momentum) = 0;
    /// target += weight · (source − target): weight averages.
    virtual void Lerp(size_t count, float weight, const float* source, float* target) = 0;
    /// Sets *flag (device int32) to 1 when any value is NaN or infinite.
    virtual void CheckFinite(size_t count, const float* values, int32_t* flag) = 0;

    // ---- steps ----
    /// How many bytes of training data the device would rather hold than be fed batch by batch; 0: none.
    virtual size_t ResidentBytes() const { return 0; }
    /// How many steps may be enqueued before the host looks at what has come of them: 1 where operators run
    /// at once.
    virtual int StepsAhead() const { return 1; }
    /// order[i] = rows[permutation(i)], i below the permutation's count.
    virtual void PermuteRows(const RandomPermutation& permutation, const uint32_t* rows, uint32_t* order) = 0;
    /// out[i, :] = table[order[first + i], :] for `rows` rows of each part.
    virtual void GatherRows(int rows, std::span<const RowGather> parts, const uint32_t* order,
                            size_t first) = 0;
    /// A program whose steps are what `enqueue` enqueues. Two steps of the same number of rows must differ in
    /// nothing but the numbers of StepScalars, handed to the operators that take them. Both `enqueue` and
    /// what it uses must outlive the program.
    virtual std::unique_ptr<StepProgram> MakeStepProgram(StepFunction enqueue);

    // ---- ranks ----
    /// How many devices train one network together, each of which computes a share of every batch, and which
    /// of them this is.
    virtual int ranks() const { return 1; }
    virtual int rank() const { return 0; }
    /// values = Σ over the ranks of their values, to the same bits on each. A collective: all ranks enqueue
    /// the same ones, with the same counts, in the same order. Where a rank has left, those that wait for it
    /// are told by Synchronize(), kCancelled. Nothing to do for one rank.
    virtual void AllReduceSum(size_t /*count*/, float* /*values*/) {}
    virtual void AllReduceSum(size_t /*count*/, double* /*values*/) {}
};

/// Whether ActivationBackward reads the preactivation (x) rather than the output (y).
constexpr bool NeedsPreactivation(Activation activation) {
    return activation == Activation::kGelu || activation == Activation::kSilu ||
           activation == Activation::kMish;
}

}  // namespace dlent
