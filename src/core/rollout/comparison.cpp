#include "core/rollout/comparison.h"

#include <cmath>

namespace dlent {
namespace {

/// Fewer are too few for a law of large numbers.
constexpr double kEnoughUnits = 30.0;
/// A standard error of as small a share of the means is what sums lose.
constexpr double kRounding = 1e-12;

}  // namespace

const char* CheckStatusName(CheckStatus status) {
    constexpr const char* kNames[] = {"pass", "fail", "inconclusive", "error"};
    return kNames[static_cast<int>(status)];
}

Comparison CompareMetric(const MetricNumbers& control, const MetricNumbers& treatment, bool shadow,
                         double alpha, double tuning_units, bool relative) {
    Comparison comparison;
    double size = 0.0;
    if (shadow) {
        comparison.difference =
            relative ? RelativePairedDifferenceOf(treatment.pairs) : PairedDifferenceOf(treatment.pairs);
        comparison.known = treatment.pairs.n >= kEnoughUnits;
        size = std::abs(treatment.pairs.control_mean);
    } else {
        comparison.difference = relative ? RelativeDifferenceOf(control.units, treatment.units)
                                         : DifferenceOf(control.units, treatment.units);
        comparison.known = control.units.n >= kEnoughUnits && treatment.units.n >= kEnoughUnits;
        size = std::abs(control.units.mean) + std::abs(treatment.units.mean);
    }
    if (relative)
        size = 1.0;
    // no variation yet is no certainty: none of 40 customers has complained of either. Rounding is none.
    comparison.known = comparison.known && std::isfinite(comparison.difference.standard_error) &&
                       comparison.difference.standard_error > kRounding * size;
    if (comparison.known) {
        comparison.sequence = SequentialInterval(comparison.difference, alpha, tuning_units);
        comparison.fixed_p_value = FixedPValue(comparison.difference);
    }
    return comparison;
}

CheckStatus JudgeComparison(const JudgedMetric& judged, const Comparison& comparison) {
    if (!comparison.known)
        return CheckStatus::kInconclusive;
    const double worst = judged.more_is_better ? comparison.sequence.low : -comparison.sequence.high;
    const double best = judged.more_is_better ? comparison.sequence.high : -comparison.sequence.low;
    if (worst > -judged.margin)
        return CheckStatus::kPass;
    return best < -judged.margin ? CheckStatus::kFail : CheckStatus::kInconclusive;
}

Json CountJson(double count) {
    return static_cast<int64_t>(count);
}

SampleRatio SampleRatioOf(const RolloutNumbers& numbers) {
    std::vector<double> units;
    std::vector<double> weights;
    for (const ArmNumbers& arm : numbers.arms) {
        if (arm.shadow)
            continue;
        units.push_back(arm.units);
        weights.push_back(arm.weight);
    }
    return SampleRatioMismatch(units, weights);
}

}  // namespace dlent
