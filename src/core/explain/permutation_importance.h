#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/explain/explained_features.h"
#include "core/explain/row_set.h"
#include "core/model/scorer.h"

namespace dlent {

struct PermutationOptions {
    std::string metric;  ///< scikit-learn's name; empty: roc_auc, log_loss or rmse by task
    int repeats = 5;
    uint64_t seed = 42;
};

/// The metrics that a task can be judged by, the default first.
std::vector<std::string> PermutationMetrics(Task task);

struct PermutationImportance {
    struct OfFeature {
        int feature = 0;
        double importance = 0.0;  ///< how much worse the metric becomes: positive where the feature helps
        double std_error = 0.0;   ///< of that mean, from the scatter between the repeats
    };
    std::string metric;
    double baseline = 0.0;            ///< the metric on the rows as they are
    std::vector<OfFeature> features;  ///< by falling importance, ties by feature
};

/// Breiman 2001, as in scikit-learn's permutation_importance: a feature's values are shuffled among the rows,
/// all cells of it together, so the network reads another row's value, and the drop of the metric is the
/// feature's importance. Features that tell the same share it. kInvalidArgument for a metric that the task
/// does not have, kInsufficientData where the metric is undefined for the rows, kCancelled, kOutOfMemory.
Expected<PermutationImportance> PermuteFeatures(const ExplainerStatistics& statistics, Scorer& scorer,
                                                const RowSet& rows, const PermutationOptions& options,
                                                const CancelToken& cancel);

}  // namespace dlent
