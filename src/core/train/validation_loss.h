#pragma once

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/nn/backend.h"
#include "core/train/calibration.h"

namespace dlent {

/// Whether a loss compares logits with classes.
constexpr bool IsClassification(LossKind kind) {
    return kind == LossKind::kBinaryCrossEntropy || kind == LossKind::kSoftmaxCrossEntropy ||
           kind == LossKind::kFocal;
}

/// What early stopping watches: BestTemperatureLogLoss for classes; else the plain weighted mean loss of the
/// predictions averaged over members, `targets` being the values. NaN when a prediction is NaN.
Expected<double> ValidationLoss(const LossSpec& loss, const LabelledLogits& data, const CancelToken& cancel);

}  // namespace dlent
