#include "core/explain/explanation_quality.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace dlent {
namespace {

constexpr double kWeakFidelity = 0.3;
constexpr double kWeakGap = 0.05;
constexpr double kUnreliableGap = 0.2;
/// Of a probability, or of the target's deviation: beyond it the surrogate missed the answer.
constexpr double kLargeResidual = 0.25;
constexpr int kCompared = 5;

std::string Decimals(double value, int decimals) {
    std::array<char, 64> text;
    std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
    return text.data();
}

/// The part of the difference from the baseline that the contributions miss.
double RelativeGap(const LabelExplanation& label) {
    const double difference = std::fabs(label.prediction - label.baseline);
    return difference > 0.0 ? label.completeness / difference : label.completeness > 0.0 ? 1.0 : 0.0;
}

Json SmallestGap(const std::vector<QualityInputs::Reason>& reasons) {
    Json smallest;
    for (size_t i = 1; i < reasons.size(); ++i) {
        const double error = std::hypot(reasons[i - 1].std_error, reasons[i].std_error);
        if (!(error > 0.0))
            continue;
        const double gap = std::fabs(reasons[i - 1].contribution) - std::fabs(reasons[i].contribution);
        const double z = std::round(1e4 * gap / error) / 1e4;
        if (smallest.is_null() || z < smallest.get<double>())
            smallest = z;
    }
    return smallest;
}

}  // namespace

const char* GradeName(Grade grade) {
    switch (grade) {
        case Grade::kWeak:
            return "weak";
        case Grade::kUnreliable:
            return "unreliable";
        case Grade::kOk:
            break;
    }
    return "ok";
}

Grade GradeOf(const LabelExplanation& label, const ExplainOptions& options) {
    if (options.method == ExplainMethod::kIntegratedGradients) {
        const double gap = RelativeGap(label);
        return gap > kUnreliableGap ? Grade::kUnreliable : gap > kWeakGap ? Grade::kWeak : Grade::kOk;
    }
    // a fidelity that is not a number is none
    if (!(label.fidelity_r2 >= options.min_fidelity))
        return Grade::kUnreliable;
    return label.fidelity_r2 < kWeakFidelity ? Grade::kWeak : Grade::kOk;
}

Json DescribeQuality(const QualityInputs& inputs, const ExplainOptions& options) {
    const LabelExplanation& label = *inputs.label;
    const Grade grade = GradeOf(label, options);
    Json warnings = Json::array();
    const bool lime = options.method == ExplainMethod::kLime;
    if (grade == Grade::kUnreliable && lime)
        warnings.push_back("No reliable reason exists: the surrogate explains " +
                           Decimals(100.0 * std::max(0.0, label.fidelity_r2), 1) +
                           " % of how the network varies (R² " + Decimals(label.fidelity_r2, 3) +
                           "), less than min_fidelity " + Decimals(options.min_fidelity, 3) + ".");
    else if (grade == Grade::kUnreliable)
        warnings.push_back("No reliable reason exists: the contributions miss " +
                           Decimals(100.0 * RelativeGap(label), 1) +
                           " % of the difference from the baseline; more steps may help.");
    else if (grade == Grade::kWeak && lime)
        warnings.push_back("The surrogate follows the network loosely (R² " + Decimals(label.fidelity_r2, 3) +
                           "): trust the first reasons only.");
    else if (grade == Grade::kWeak)
        warnings.push_back("The contributions miss " + Decimals(100.0 * RelativeGap(label), 1) +
                           " % of the difference from the baseline; more steps may help.");
    if (lime && inputs.threshold.has_value() && inputs.link != Link::kLogit &&
        (label.local_prediction >= *inputs.threshold) != (label.prediction >= *inputs.threshold))
        warnings.push_back("The surrogate lies on the other side of the threshold than the network.");
    if (lime && inputs.link != Link::kLogit &&
        std::fabs(label.residual) > kLargeResidual * inputs.target_deviation)
        warnings.push_back("The surrogate misses the network's answer to this row by " +
                           Decimals(std::fabs(label.residual), 3) + ".");
    if (!inputs.reasons.empty() && inputs.reasons.front().tied)
        warnings.push_back("Which reason comes first cannot be told from the samples.");
    for (const std::string& unfamiliar : inputs.unfamiliar)
        warnings.push_back("Unfamiliar input: " + unfamiliar + ".");
    return {{"grade", GradeName(grade)},
            {"min_rank_gap_z", SmallestGap(inputs.reasons)},
            {"warnings", std::move(warnings)}};
}

Json DescribeAgreement(const LabelExplanation& first, const LabelExplanation& second, ExplainMethod other,
                       int feature_count) {
    const Agreement agreement = CompareExplanations(first, second, feature_count, kCompared);
    const auto rounded = [](double value) {
        return std::isfinite(value) ? Json(std::round(1e4 * value) / 1e4) : Json();
    };
    return {{"method", ExplainMethodName(other)},
            {"rank_correlation", rounded(agreement.rank_correlation)},
            {"sign_agreement", rounded(agreement.sign_agreement)},
            {"top_overlap", rounded(agreement.top_overlap)},
            {"top", agreement.top}};
}

}  // namespace dlent
