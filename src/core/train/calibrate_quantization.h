#pragma once

#include <span>

#include "core/base/cancel.h"
#include "core/model/model.h"
#include "core/model/quantization.h"
#include "core/nn/backend.h"
#include "core/train/trainer.h"

namespace dlent {

/// Finds the ranges of what the layers of each member read on `rows` of `data`, which hold inputs as the
/// model's pipeline makes them; a few thousand rows are enough. kUnsupported without QuantizableLayers(),
/// kNonFinite, kCancelled.
Expected<Quantization> CalibrateQuantization(const Model& model, const TrainingData& data,
                                             std::span<const uint32_t> rows, Backend& backend,
                                             const CancelToken& cancel);

}  // namespace dlent
