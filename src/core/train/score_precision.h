#pragma once

#include "core/model/score_cost.h"
#include "core/train/train_model.h"

namespace dlent {

/// Measures what a trained model's rows cost to score and decides whether that is done in int8: where
/// options.score_precision asks for it (a warning says when accuracy does not hold), or leaves it open,
/// answers stay accurate by held-out rows (TryQuantization) and int8 is a twentieth faster in batches and no
/// slower row by row. Sets score_cost; details.score_precision says what was found; when it is int8, the
/// model is quantized and its metrics are those of int8.
Status ChooseScorePrecision(const TrainingOptions& options, const ScoreCostFunction& measure,
                            TrainedModel* trained);

}  // namespace dlent
