#pragma once

#include <functional>

#include "core/base/status.h"
#include "core/model/model.h"

namespace dlent {

/// What a row costs to score, in microseconds on one core, from decoded cells to the answer.
struct ScoreCost {
    double single = 0.0;   ///< a row a call
    double batched = 0.0;  ///< in blocks of many rows
};

/// Measures the device that will score.
using ScoreCostFunction = std::function<Expected<ScoreCost>(const Model&)>;

}  // namespace dlent
