#pragma once

#include "core/base/cancel.h"
#include "core/model/score_cost.h"

namespace dlent {

/// Times the model's scorer on made-up rows that look like those it was trained on: medians of several
/// rounds, within some 50 ms unless a single block takes longer. The errors of MakeCpuScorer; kCancelled.
Expected<ScoreCost> MeasureScoreCost(const Model& model, const CancelToken& cancel);

}  // namespace dlent
