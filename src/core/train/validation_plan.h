#pragma once

#include <vector>

#include "core/base/status.h"
#include "core/features/finding.h"
#include "core/features/split.h"
#include "core/train/recipe.h"
#include "core/train/training_options.h"

namespace dlent {

/// Which rows each network of the recipe trains on and which are held out from it, as the options want it.
/// Left to us, whole blocks of rows are held out where neighbours share their target, which adds a finding
/// and makes the recipe's plan folds where it says so. kCancelled, and the errors of the splits
/// (core/features/split.h).
Expected<SplitPlan> PlanValidation(const SplitInputs& inputs, const TrainingOptions& options, Recipe* recipe,
                                   std::vector<Finding>* findings);

}  // namespace dlent
