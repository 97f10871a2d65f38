#pragma once

#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/explain/explained_features.h"
#include "core/explain/local_explanation.h"
#include "core/model/model.h"
#include "core/nn/backend.h"

namespace dlent {

struct IntegratedGradientsOptions {
    int steps = 50;  ///< points of the path at first; four times as many as long as completeness is missed
    int max_steps = 3200;     ///< at most
    double tolerance = 0.01;  ///< of the difference between prediction and baseline that may be left over
    std::vector<int> labels;  ///< as LimeOptions::labels
    int top_labels = 0;
    Link link = Link::kProbability;
};

/// Integrated Gradients (Sundararajan, Taly and Yan 2017) from the typical row (medians and the most frequent
/// levels) to the instance, over what the network reads; contributions are those of all features, summed over
/// the inputs that each of them makes. Numbers go a straight way; a category goes from the row of the
/// baseline's level to that of the instance's in every table of weights that it selects from. Members are
/// averaged as in scoring. `model` has its members' weights. LocalExplanation::samples is the number of
/// points that was needed; the completeness gap is reported whatever it is. Deterministic, but its last bits
/// are the backend's. kUnsupported for networks that normalise over the batch, kNonFinite, kCancelled,
/// kInvalidArgument.
Expected<LocalExplanation> ExplainByIntegratedGradients(const ExplainerStatistics& statistics,
                                                        const Model& model, const Cell* instance,
                                                        const IntegratedGradientsOptions& options,
                                                        Backend& backend, const CancelToken& cancel);

/// The row that integrated gradients start from: medians and the most frequent levels.
std::vector<Cell> TypicalRow(const ExplainerStatistics& statistics);

}  // namespace dlent
