#pragma once

#include <cstdint>
#include <limits>

namespace dlent {

// Tail probabilities and quantiles of the distributions that tests need, to about 1e-12 relative. Arguments
// outside a function's domain give NaN.

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Regularised incomplete gamma functions P(a, x) and Q(a, x) = 1 − P, a > 0, x ≥ 0: a series below x = a + 1
/// and Lentz's continued fraction above (Numerical Recipes, 6.2).
double GammaP(double a, double x);
double GammaQ(double a, double x);

/// Regularised incomplete beta function I_x(a, b), a, b > 0, by Lentz's continued fraction.
double BetaI(double a, double b, double x);

double NormalCdf(double z);
/// P(Z > z), exact in the far tail.
double NormalSf(double z);
/// The z with NormalCdf(z) = p (Wichura 1988, algorithm AS 241, PPND16).
double NormalQuantile(double p);

double ChiSquaredSf(double x, double degrees);
/// The x with ChiSquaredSf(x) = 1 − p.
double ChiSquaredQuantile(double p, double degrees);

/// P(X ≥ k) of a binomial variable.
double BinomialSf(int64_t k, int64_t n, double p);

/// Two-sided tail P(|T| > |t|) of Student's distribution.
double StudentTwoSided(double t, double degrees);

}  // namespace dlent
