#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dlent {

/// The scale on which contributions add up. Probabilities saturate; logits do not.
enum class Link : uint8_t { kProbability, kLogit, kIdentity /* regression */ };

/// One reason: what a feature's value adds to the answer.
struct Contribution {
    int feature = 0;            ///< of ExplainerStatistics::features()
    int code = -1;              ///< LIME: the bin or level of the instance; -1 when the number itself is used
    double coefficient = 0.0;   ///< LIME: of the surrogate; else the contribution
    double contribution = 0.0;  ///< coefficient times the surrogate's input at the instance
    double std_error =
        0.0;  ///< of the contribution (LIME: sandwich estimate of the sampling error); 0 when exact
    bool rank_tied = false;  ///< its rank and that of a neighbour cannot be told apart (95 %)
};

/// Why one class (or the value of a regression) got its answer. Invariants, to 1e-9: baseline + sum of
/// contributions = local_prediction; local_prediction + residual = prediction (on the link's scale).
struct LabelExplanation {
    int label = 0;            ///< class index; 0 for regression
    double prediction = 0.0;  ///< of the network, on the link's scale
    double baseline = 0.0;
    double local_prediction = 0.0;
    double residual = 0.0;
    double fidelity_r2 = 0.0;  ///< LIME: weighted R² of the surrogate; Integrated Gradients: NaN
    double completeness =
        0.0;  ///< Integrated Gradients: |sum of contributions - (prediction - baseline)|; LIME: NaN
    std::vector<Contribution> contributions;  ///< by falling |contribution|, ties by feature
};

struct LocalExplanation {
    Link link = Link::kProbability;
    int samples = 0;  ///< perturbed rows, or integration steps
    double kernel_width = 0.0;
    std::string selection;  ///< the one that was used, never "auto"; empty for Integrated Gradients
    std::vector<LabelExplanation> labels;  ///< in the order asked for, or by falling probability
};

}  // namespace dlent
