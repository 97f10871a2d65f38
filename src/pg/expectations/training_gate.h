#pragma once

#include <string>

#include "core/base/json.h"

namespace dlent::pg {

/// Judges the rows that a model is about to learn from by its expectations of data (those of predictions wait
/// for a version). Broken ones of severity error end the training with 23514, which names them; others are
/// WARNINGs. Returns what was found, an empty array when the model has no expectation: then the source is not
/// read.
Json CheckTrainingData(const std::string& model, const std::string& source);

}  // namespace dlent::pg
