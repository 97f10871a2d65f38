#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dlent {

// Statistics of experiments that are looked at while they run. Intervals and p-values of the sequential kind
// hold at every look at once.

/// Sample ratio mismatch: χ² of the units an arm has got against what its weight promises, k − 1 degrees of
/// freedom. NaN without units or with fewer than two arms of positive weight.
struct SampleRatio {
    double statistic = 0.0;
    double p_value = 1.0;
    bool enough = false;    ///< every arm has at least 8 units
    bool mismatch = false;  ///< enough, and p < 0.001
};
SampleRatio SampleRatioMismatch(std::span<const double> units, std::span<const double> weights);

/// What is known of one arm's metric.
struct ArmStatistics {
    double n = 0.0;
    double mean = 0.0;
    double variance = 0.0;  ///< of one unit, ddof 1
};
/// Of a rate, hits of n: variance p (1 − p).
ArmStatistics RateStatistics(double hits, double n);
/// From sums that windows and workers add up.
ArmStatistics MeanStatistics(double n, double sum, double sum_of_squares);

/// An estimate of treatment − control.
struct Difference {
    double value = 0.0;
    double standard_error = 0.0;
    double n = 0.0;  ///< units of both arms
};
Difference DifferenceOf(const ArmStatistics& control, const ArmStatistics& treatment);
/// (treatment − control) / control by the delta method; value NaN when the control's mean is 0.
Difference RelativeDifferenceOf(const ArmStatistics& control, const ArmStatistics& treatment);

/// Both arms' answers to the same units, as a shadow gives them.
struct PairedStatistics {
    double n = 0.0;
    double mean = 0.0;      ///< of treatment − control
    double variance = 0.0;  ///< of it, ddof 1
    double control_mean = 0.0;
    double control_variance = 0.0;
    double covariance = 0.0;  ///< of the difference and the control
};
Difference PairedDifferenceOf(const PairedStatistics& pairs);
/// mean / control_mean by the delta method; value NaN when the control's mean is 0.
Difference RelativePairedDifferenceOf(const PairedStatistics& pairs);

/// A two-sided p-value of one look, planned beforehand: normal approximation.
double FixedPValue(const Difference& difference);

/// Asymptotic confidence sequence (Waudby-Smith et al. 2021, as GrowthBook has it), tightest at
/// `tuning_units`, which is chosen before the experiment.
struct ConfidenceSequence {
    double low = 0.0;
    double high = 0.0;
    double p_value = 1.0;  ///< valid at any look
};
ConfidenceSequence SequentialInterval(const Difference& difference, double alpha = 0.05,
                                      double tuning_units = 5000.0);

/// Mixture sequential probability ratio test (Johari et al. 2017): Λ = √(V / (V + τ²)) ·
/// exp(τ² d² / (2 V (V + τ²))), V the variance of the difference d, τ² the variance of the effects that are
/// expected. The p-value is the smallest 1 / Λ so far.
class MixtureSequentialTest {
 public:
    explicit MixtureSequentialTest(double tau_squared) : tau_squared_(tau_squared) {}
    /// The p-value after another look.
    double Look(double difference, double variance);
    double p_value() const { return p_value_; }

 private:
    double tau_squared_;
    double p_value_ = 1.0;
};

}  // namespace dlent
