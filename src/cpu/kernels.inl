// The text of a table of kernels, compiled by kernels_{generic,avx2,avx512}.cpp with DLENT_VECTOR_FLOATS and
// the flags of their instruction set. Nothing with external linkage may be defined or instantiated here: the
// linker would be free to keep the copy that this machine cannot run. So there are no library templates, and
// std::array's twin of Philox is written out.

#include <cstddef>
#include <cstdint>

#include "cpu/kernels.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace dlent {
namespace {

#include "cpu/kernels_math.inl"

#include "cpu/kernels_elementwise.inl"
#include "cpu/kernels_gemm.inl"
#include "cpu/kernels_loss.inl"
#include "cpu/kernels_normalisation.inl"
#include "cpu/kernels_optimiser.inl"

#include "cpu/kernels_embedding.inl"
#include "cpu/kernels_ensemble.inl"

constexpr CpuKernels kKernels{
    .name = DLENT_KERNEL_NAME,
    .gemm = Gemm,
    .column_sum = ColumnSum,
    .activation_forward = ActivationForward,
    .activation_backward = ActivationBackward,
    .parametric_activation_forward = ParametricActivationForward,
    .parametric_activation_backward = ParametricActivationBackward,
    .axpy = Axpy,
    .smooth_clip_forward = SmoothClipForward,
    .smooth_clip_backward = SmoothClipBackward,
    .copy_columns = CopyColumns,
    .dropout = Dropout,
    .embedding_sum_forward = EmbeddingSumForward,
    .embedding_sum_backward = EmbeddingSumBackward,
    .embedding_forward = EmbeddingForward,
    .embedding_backward = EmbeddingBackward,
    .piecewise_linear_forward = PiecewiseLinearForward,
    .piecewise_linear_backward = PiecewiseLinearBackward,
    .piecewise_linear_input_gradient = PiecewiseLinearInputGradient,
    .numeric_linear_forward = NumericLinearForward,
    .numeric_linear_backward = NumericLinearBackward,
    .numeric_linear_input_gradient = NumericLinearInputGradient,
    .periodic_forward = PeriodicForward,
    .periodic_backward = PeriodicBackward,
    .periodic_input_gradient = PeriodicInputGradient,
    .batch_norm_forward = BatchNormForward,
    .batch_norm_backward = BatchNormBackward,
    .layer_norm_forward = LayerNormForward,
    .layer_norm_backward = LayerNormBackward,
    .ensemble_scale_forward = EnsembleScaleForward,
    .ensemble_scale_backward = EnsembleScaleBackward,
    .ensemble_output_forward = EnsembleOutputForward,
    .ensemble_output_backward = EnsembleOutputBackward,
    .ensemble_sum = EnsembleSum,
    .ensemble_bias = EnsembleBias,
    .loss = Loss,
    .probabilities = Probabilities,
    .sum_of_squares = SumOfSquares,
    .adamw = AdamW,
    .sgd = Sgd,
    .lerp = Lerp,
    .all_finite = AllFinite,
};

}  // namespace

const CpuKernels& DLENT_KERNEL_GETTER() {
    return kKernels;
}

}  // namespace dlent
