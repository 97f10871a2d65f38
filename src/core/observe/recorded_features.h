#pragma once

#include <span>

#include "core/base/json.h"
#include "core/features/pipeline.h"

namespace dlent {

/// A row's features as a version saw them: an object with a value for each input, by its name. Numbers are as
/// rounded for the network; times are ISO 8601 in UTC, intervals ISO 8601; a NULL is null; a level that the
/// version does not know is left out. Given back as features it makes the same cells, but for the digits that
/// the cells of times do not hold.
Json RecordedFeatures(const Pipeline& pipeline, std::span<const Cell> cells);

/// Probabilities of classes as an object, by their labels. Empty object: there are none, or others than
/// labels.
Json RecordedProbabilities(std::span<const std::string> labels, std::span<const float> probabilities);

}  // namespace dlent
