#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/features/target.h"

namespace dlent {

/// The scale on which contributions add up. Probabilities saturate; logits do not.
enum class Link : uint8_t { kProbability, kLogit, kIdentity /* regression */ };

const char* LinkName(Link link);
Expected<Link> ParseLink(std::string_view name);

/// One reason: what a feature's value adds to the answer.
struct Contribution {
    int feature = 0;  ///< of ExplainerStatistics::features()
    /// LIME: the bin or level of the instance; -1 when the number itself is used, or for a level that has no
    /// code
    int code = -1;
    bool unseen = false;        ///< training had no row with this value
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
    int samples = 0;  ///< perturbed rows (the instance included), or integration steps
    double kernel_width = 0.0;
    std::string selection;      ///< the one that was used, never "auto"; empty for Integrated Gradients
    bool shared_probe = false;  ///< LIME: the samples are those of the probe
    std::vector<LabelExplanation> labels;  ///< in the order asked for, or by falling probability
};

/// The classes to explain, from a network's answer to the instance: `labels` as they are, or the `top_labels`
/// most probable ones, or the most probable one. kInvalidArgument for a class that the target does not have.
Expected<std::vector<int>> ChooseLabels(const TargetEncoder& target, const std::vector<int>& labels,
                                        int top_labels, const float* outputs);

/// The output of Scorer that tells of a class.
int OutputOf(const TargetEncoder& target, int label);

/// As near to 0 and 1 as float32 tells probabilities apart.
inline constexpr double kNearestProbability = 0x1.0p-24;
/// A class's answer on the link's scale, from that output: the probability of class 0 of two is 1 − that of
/// class 1. Logits of probabilities nearer than 2⁻²⁴ to 0 or 1 are those of 2⁻²⁴ from there, as float32 knows
/// no closer.
double LinkedValue(Link link, const TargetEncoder& target, int label, double output);

/// How far two methods agree on why one class got its answer.
struct Agreement {
    double rank_correlation =
        0.0;  ///< Spearman's, of the contributions of all features (0 where a method names none)
    double top_overlap = 0.0;     ///< share of the first's `top` features among the second's
    double sign_agreement = 0.0;  ///< share of the first's `top` features with the same sign in the second
    int top = 0;
};
Agreement CompareExplanations(const LabelExplanation& first, const LabelExplanation& second,
                              int feature_count, int top);

}  // namespace dlent
