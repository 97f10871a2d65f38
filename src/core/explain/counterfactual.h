#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/explain/explained_features.h"
#include "core/model/scorer.h"

namespace dlent {

struct CounterfactualOptions {
    int label = -1;  ///< binary and multi-class: class to be reached; -1: any other than the predicted one
    double threshold = 0.5;   ///< binary: the decision is positive at or above it
    double target_low = 0.0;  ///< regression: the interval to be reached
    double target_high = 0.0;
    int count = 1;        ///< diverse alternatives
    int max_changes = 4;  ///< features changed at most
    int max_evaluations = 20000;
    std::vector<bool> immutable;  ///< by feature; empty: none is
    std::vector<int> direction;   ///< by feature: +1 may only rise, -1 may only fall, 0 either; empty: either
    uint64_t seed = 42;
};

/// A smallest plausible change that flips the decision, verified by the network.
struct Counterfactual {
    struct Change {
        int feature = 0;
        double from = 0.0;  ///< explained values; NaN is NULL
        double to = 0.0;
    };
    std::vector<Change>
        changes;  ///< fewest features first, then least distance in units of the training deviation
    std::vector<Cell> cells;     ///< the changed row
    std::vector<float> outputs;  ///< of the network for it
    double distance = 0.0;
};

/// Searches within the training ranges and seen levels. Fewer than `count` (or none) when no more were found
/// within the budget; every one returned was scored by the network and reaches the target. kInvalidArgument,
/// kCancelled.
Expected<std::vector<Counterfactual>> FindCounterfactuals(const ExplainerStatistics& statistics,
                                                          Scorer& scorer, const Cell* instance,
                                                          const CounterfactualOptions& options,
                                                          const CancelToken& cancel);

}  // namespace dlent
