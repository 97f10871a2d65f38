#include "core/rollout/comparison.h"

#include <cmath>

namespace dlent {
namespace {

/// Fewer are too few for a law of large numbers.
constexpr double kEnoughUnits = 30.0;

}  // namespace

const char* CheckStatusName(CheckStatus status) {
    constexpr const char* kNames[] = {"pass", "fail", "inconclusive", "error"};
    return kNames[static_cast<int>(status)];
}

Comparison CompareMetric(const MetricNumbers& control, const MetricNumbers& treatment, bool shadow,
                         double alpha, double tuning_units, bool relative) {
    Comparison comparison;
    if (shadow) {
        comparison.difference =
            relative ? RelativePairedDifferenceOf(treatment.pairs) : PairedDifferenceOf(treatment.pairs);
        comparison.known = treatment.pairs.n >= kEnoughUnits;
    } else {
        comparison.difference = relative ? RelativeDifferenceOf(control.units, treatment.units)
                                         : DifferenceOf(control.units, treatment.units);
        comparison.known = control.units.n >= kEnoughUnits && treatment.units.n >= kEnoughUnits;
    }
    // no variation yet is no certainty: none of 40 customers has complained of either
    comparison.known = comparison.known && std::isfinite(comparison.difference.standard_error) &&
                       comparison.difference.standard_error > 0.0;
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
