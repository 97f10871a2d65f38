#include "core/explain/integrated_gradients.h"

namespace dlent {

Expected<LocalExplanation> ExplainByIntegratedGradients(const ExplainerStatistics&, const Model&, const Cell*,
                                                        const IntegratedGradientsOptions&,
                                                        const CancelToken&) {
    return Status(StatusCode::kUnsupported, "integrated gradients are not there yet", {},
                  "Use method \"lime\".");
}

}  // namespace dlent
