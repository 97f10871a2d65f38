#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"

namespace dlent {

/// A statistic with the probability of one at least as large when both samples have one distribution.
struct TestResult {
    double statistic = 0.0;
    double p_value = 1.0;
};

// ---- numbers: sorted values; empty samples give NaN ----

/// sup |F − G| of two sorted samples.
double KolmogorovSmirnovDistance(std::span<const double> x, std::span<const double> y);

enum class SmirnovMethod {
    kAuto,        ///< scipy's: exact while no sample has more than 10,000 values, else asymptotic
    kExact,       ///< the permutation distribution of samples without ties
    kAsymptotic,  ///< scipy's "asymp": kstwo.sf(D, round(n m / (n + m)))
    kLimit,       ///< Kolmogorov's limit
};
Expected<TestResult> KolmogorovSmirnovTest(std::span<const double> x, std::span<const double> y,
                                           SmirnovMethod method, const CancelToken& cancel);
Expected<double> KolmogorovSmirnovSf(double distance, int64_t n, int64_t m, SmirnovMethod method,
                                     const CancelToken& cancel);

/// Wasserstein-1 distance ∫ |F − G| of two sorted samples, in the values' unit.
double Wasserstein(std::span<const double> x, std::span<const double> y);
/// The same over the standard deviation (ddof 0) of the reference x, which counts as at least 0.001.
double NormalisedWasserstein(std::span<const double> x, std::span<const double> y);

// ---- counts ----

/// Goodness of fit: the current counts against the reference's shares taken as exact (scipy's chisquare).
/// A level that the reference lacks makes the statistic infinite.
TestResult ChiSquaredFit(std::span<const double> reference, std::span<const double> current);

/// Homogeneity of the table of two rows of counts; with two columns, Yates' correction (scipy's
/// chi2_contingency). Columns without counts are left out; p is 1 when fewer than two are left.
TestResult ChiSquaredContingency(std::span<const double> reference, std::span<const double> current,
                                 bool yates = true);

/// deequ's: the smallest categories are merged until at most 20 % of the expected counts are below 5 (more
/// than two categories) or all are at least 10 (two), then the current counts are tested against the
/// reference's shares. NaN when fewer than two categories are left.
TestResult DeequChiSquared(std::span<const double> reference, std::span<const double> current);

/// Two shares, pooled: z = (p − q) / √(r (1 − r) (1/n + 1/m)), two-sided.
TestResult ProportionTest(double hits_x, double n, double hits_y, double m);

// ---- many tests ----

/// Benjamini and Hochberg's adjusted p-values: a family rejects at level α where they are below α. NaN
/// p-values (tests that could not be made) do not count and stay NaN.
std::vector<double> BenjaminiHochberg(std::span<const double> p_values);
/// min(1, d·p) with d tests made.
std::vector<double> Bonferroni(std::span<const double> p_values);

}  // namespace dlent
