#pragma once

#include <vector>

#include "core/base/status.h"
#include "core/features/target.h"
#include "core/train/training_options.h"

namespace dlent {

/// Whether the options about labels fit those that the target turned out to have. kInvalidArgument names the
/// option.
Status CheckLabelOptions(const TargetEncoder& target, const TrainingOptions& options);

/// The weight of each class; empty: all alike. "balanced" is scikit-learn's n / (classes · count).
std::vector<float> ClassWeights(const TargetEncoder& target, const TrainingOptions& options);

}  // namespace dlent
