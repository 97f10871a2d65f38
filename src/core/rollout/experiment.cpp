#include "core/rollout/experiment.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/stats/distributions.h"

namespace dlent {
namespace {

constexpr double kEnoughForChiSquare = 8.0;
constexpr double kMismatchLevel = 0.001;

}  // namespace

SampleRatio SampleRatioMismatch(std::span<const double> units, std::span<const double> weights) {
    SampleRatio result{kNan, kNan, false, false};
    const double total = std::accumulate(units.begin(), units.end(), 0.0);
    const double total_weight = std::accumulate(weights.begin(), weights.end(), 0.0);
    const auto arms = std::count_if(weights.begin(), weights.end(), [](double w) { return w > 0.0; });
    if (units.size() != weights.size() || arms < 2 || !(total > 0.0))
        return result;
    result.statistic = 0.0;
    result.enough = true;
    for (size_t i = 0; i < units.size(); ++i) {
        if (!(weights[i] > 0.0))
            continue;
        const double expected = total * weights[i] / total_weight;
        result.statistic += (units[i] - expected) * (units[i] - expected) / expected;
        result.enough = result.enough && units[i] >= kEnoughForChiSquare;
    }
    result.p_value = ChiSquaredSf(result.statistic, static_cast<double>(arms - 1));
    result.mismatch = result.enough && result.p_value < kMismatchLevel;
    return result;
}

ArmStatistics RateStatistics(double hits, double n) {
    if (!(n > 0.0))
        return {};
    const double rate = hits / n;
    return {n, rate, rate * (1.0 - rate)};
}

ArmStatistics MeanStatistics(double n, double sum, double sum_of_squares) {
    if (!(n > 0.0))
        return {};
    const double mean = sum / n;
    const double variance = n > 1.0 ? std::max(0.0, (sum_of_squares - n * mean * mean) / (n - 1.0)) : 0.0;
    return {n, mean, variance};
}

Difference DifferenceOf(const ArmStatistics& control, const ArmStatistics& treatment) {
    return {treatment.mean - control.mean,
            std::sqrt(control.variance / control.n + treatment.variance / treatment.n),
            control.n + treatment.n};
}

Difference RelativeDifferenceOf(const ArmStatistics& control, const ArmStatistics& treatment) {
    const double total = control.n + treatment.n;
    if (control.mean == 0.0)
        return {kNan, kNan, total};
    const double base = control.mean;
    const double ratio = treatment.mean / base;
    const double variance = treatment.variance / (treatment.n * base * base) +
                            ratio * ratio * control.variance / (control.n * base * base);
    return {ratio - 1.0, std::sqrt(variance), total};
}

Difference PairedDifferenceOf(const PairedStatistics& pairs) {
    return {pairs.mean, std::sqrt(pairs.variance / pairs.n), pairs.n};
}

Difference RelativePairedDifferenceOf(const PairedStatistics& pairs) {
    if (pairs.control_mean == 0.0)
        return {kNan, kNan, pairs.n};
    const double ratio = pairs.mean / pairs.control_mean;
    const double variance = std::max(
        0.0, pairs.variance - 2.0 * ratio * pairs.covariance + ratio * ratio * pairs.control_variance);
    return {ratio, std::sqrt(variance / pairs.n) / std::abs(pairs.control_mean), pairs.n};
}

double FixedPValue(const Difference& difference) {
    return 2.0 * NormalSf(std::abs(difference.value / difference.standard_error));
}

ConfidenceSequence SequentialInterval(const Difference& difference, double alpha, double tuning_units) {
    const double log_alpha = std::log(alpha);
    const double rho_squared = (-2.0 * log_alpha + std::log(1.0 - 2.0 * log_alpha)) / tuning_units;
    const double spread = difference.n * rho_squared;
    const double t = spread + 1.0;
    const double half =
        difference.standard_error * std::sqrt(2.0 * t * std::log(std::sqrt(t) / alpha) / spread);
    const double z = difference.value / difference.standard_error;
    ConfidenceSequence sequence;
    sequence.low = difference.value - half;
    sequence.high = difference.value + half;
    sequence.p_value = std::min(1.0, std::sqrt(t) * std::exp(-spread * z * z / (2.0 * t)));
    return sequence;
}

double MixtureSequentialTest::Look(double difference, double variance) {
    const double whole = variance + tau_squared_;
    const double ratio = std::sqrt(variance / whole) *
                         std::exp(tau_squared_ * difference * difference / (2.0 * variance * whole));
    if (ratio > 0.0)
        p_value_ = std::min(p_value_, 1.0 / ratio);
    return p_value_;
}

}  // namespace dlent
