#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/cancel.h"
#include "core/base/status.h"

namespace dlent {

/// Logits of held-out rows with their labels; all pointers are host pointers.
struct LabelledLogits {
    size_t rows = 0;
    int members = 1;                       ///< probabilities are averaged over these
    int outputs = 1;                       ///< 1: binary, the logit of the positive class
    const float* logits = nullptr;         ///< [rows × members × outputs]
    const float* targets = nullptr;        ///< [rows] 0/1, when outputs is 1
    const int32_t* labels = nullptr;       ///< [rows], when outputs is more
    const float* row_weights = nullptr;    ///< [rows]; null: all 1
    const float* class_weights = nullptr;  ///< [outputs], [2] when binary; null: all 1

    int classes() const { return outputs == 1 ? 2 : outputs; }
    int Label(size_t row) const { return outputs == 1 ? (targets[row] > 0.5f ? 1 : 0) : labels[row]; }
    /// Of a row with that label.
    double Weight(size_t row, int label) const {
        return (row_weights != nullptr ? row_weights[row] : 1.0) *
               (class_weights != nullptr ? class_weights[label] : 1.0);
    }
};

/// Weighted mean log-loss of the probabilities of logits · inverse_temperature, averaged over the members.
/// `smoothing` moves that share of each label's mass to the uniform distribution. NaN when a logit is NaN.
double LogLoss(const LabelledLogits& data, double inverse_temperature, double smoothing = 0.0);

/// The smallest LogLoss over 14 inverse temperatures from 0.1 to 1.3: how good the ranking and the shape of
/// the predictions are when over-confidence is forgiven, as a rule for stopping. kCancelled.
Expected<double> BestTemperatureLogLoss(const LabelledLogits& data, const CancelToken& cancel);

/// The temperature T in [0.05, 20] that minimises the log-loss of logits / T (Guo et al. 2017). Labels are
/// smoothed by 1 / (rows + 1) (Laplace), so that few rows or perfect separation do not drive it to the
/// bounds' certainty. 1 without rows. kNonFinite when a logit is not finite, kCancelled.
Expected<double> FitTemperature(const LabelledLogits& data, const CancelToken& cancel);

}  // namespace dlent
