#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/explain/explained_features.h"
#include "core/explain/feature_selection.h"
#include "core/explain/local_explanation.h"
#include "core/explain/probe.h"
#include "core/model/scorer.h"

namespace dlent {

/// LIME's options by the reference's names (lime/lime_tabular.py), for one instance.
struct LimeOptions {
    int num_features = 10;
    int num_samples = 5000;
    std::optional<double> kernel_width;  ///< default 0.75 * sqrt(features)
    Discretizer discretizer = Discretizer::kQuartile;
    std::string feature_selection = "auto";  ///< auto, forward_selection, highest_weights, lasso_path, none
    std::vector<int> labels;                 ///< class indices; empty: the predicted class
    int top_labels = 0;                      ///< > 0: so many classes of the highest probability instead
    bool sample_around_instance = false;     ///< needs fresh samples and no discretizer
    double alpha = 1.0;                      ///< of the ridge regression
    Link link = Link::kProbability;          ///< regression always uses kIdentity
    uint64_t seed = 42;
    bool compat = false;  ///< reproduce the reference's defects (NULL in the top bin, degenerate bins)

    /// The probe that these options can share.
    ProbeOptions probe() const { return {discretizer, num_samples, seed, compat}; }
};

/// Explains one row of cells (Scorer's layout). `probe`: shared samples, made with options.probe() for the
/// same statistics and network, or null to draw fresh ones. An instance with a value that training had in no
/// row needs samples of its own, in which that value occurs: the probe is then not used, and the explanation
/// says so. The same arguments give the same bytes: beyond the network's answers all arithmetic is exact or
/// rounds the same way on every processor (core/explain/README.md). kInvalidArgument for options that do not
/// go together, kNonFinite when the network's answer is not a number, kCancelled. Ribeiro, Singh and Guestrin
/// 2016, "Why Should I Trust You?"; the numbers follow the reference implementation.
Expected<LocalExplanation> ExplainByLime(const ExplainerStatistics& statistics, Scorer& scorer,
                                         const Cell* instance, const LimeOptions& options, const Probe* probe,
                                         const CancelToken& cancel);

}  // namespace dlent
