#pragma once

#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/explain/explained_features.h"
#include "core/explain/local_explanation.h"
#include "core/model/model.h"

namespace dlent {

struct IntegratedGradientsOptions {
    int steps = 50;           ///< of the path (Gauss-Legendre or midpoint rule)
    std::vector<int> labels;  ///< as LimeOptions::labels
    int top_labels = 0;
    Link link = Link::kProbability;
};

/// Integrated Gradients (Sundararajan, Taly and Yan 2017) from the typical row (medians and the most frequent
/// levels) to the instance, over the network's inputs; contributions are summed by feature. `model` has its
/// members' weights. The completeness gap is reported.
Expected<LocalExplanation> ExplainByIntegratedGradients(const ExplainerStatistics& statistics,
                                                        const Model& model, const Cell* instance,
                                                        const IntegratedGradientsOptions& options,
                                                        const CancelToken& cancel);

}  // namespace dlent
