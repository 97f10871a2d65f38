#pragma once

#include "core/train/train_model.h"

namespace dlent {

/// TrainModel(), what the model's rows cost to score (by services.measure), and in which precision that is
/// done (ChooseScorePrecision). With options.max_score_us, when the model costs
/// more: the first network of ever smaller ones that costs less (LatencyCandidates) is trained in its place,
/// and a finding says what that cost in quality; details.latency_budget has the numbers of both. The choice
/// is made by measurement, so it may differ between machines; details.latency_budget.chosen are options that
/// repeat it anywhere. kResourceLimit when the smallest costs more.
Expected<TrainedModel> TrainWithinBudget(const ColumnarTable& table, const TrainingOptions& options,
                                         const TrainingServices& services);

/// Options in falling order of what we expect of their networks: one network instead of several; its hidden
/// layers halved twice; the same without numeric embeddings, halved down to a few units; no hidden layer.
std::vector<TrainingOptions> LatencyCandidates(const TrainingOptions& options, const Recipe& recipe);

}  // namespace dlent
