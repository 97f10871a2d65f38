#pragma once

#include <span>
#include <vector>

namespace dlent {

// Distances of two distributions over the same bins, as shares p (reference) and q (current) that each sum to
// 1. Empty spans and spans of different lengths give NaN.

/// What a share of 0 becomes before the logarithms of PSI and of evidently's distances.
enum class ZeroShare {
    kKeep,       ///< 0·ln 0 = 0; where only one side is 0, PSI is infinite
    kEvidently,  ///< 1e-4, or a millionth of the smallest share when that is at most 1e-4; no renormalising
};

/// Population stability index Σ (p − q) ln(p / q).
double PopulationStability(std::span<const double> p, std::span<const double> q,
                           ZeroShare zeros = ZeroShare::kEvidently);

enum class LogBase { kNatural, kTwo };

/// Jensen-Shannon divergence ½ KL(p‖m) + ½ KL(q‖m), m = (p + q) / 2, at most ln 2 (1 in base 2). Shares are
/// normalised first, as scipy does. The distance is its square root.
double JensenShannonDivergence(std::span<const double> p, std::span<const double> q, LogBase base);
double JensenShannonDistance(std::span<const double> p, std::span<const double> q, LogBase base);

/// Hellinger distance √(1 − Σ √(p q)).
double HellingerDistance(std::span<const double> p, std::span<const double> q);
/// ½ Σ |p − q|.
double TotalVariation(std::span<const double> p, std::span<const double> q);
/// max |p − q|.
double ChebyshevDistance(std::span<const double> p, std::span<const double> q);

/// What deequ takes off an L∞ distance for the noise of few rows: c·√((n + m) / (n m)), with c = 1.8, or
/// √(−½ ln(α / 2)) for 0 < α ≤ 1. Its corrected value is max(0, distance − this).
double DeequNoise(double n, double m, double alpha = 0.0);

/// counts / Σ counts; empty when there are none.
std::vector<double> Shares(std::span<const double> counts);

/// P-value that two histograms of n and m rows over B bins differ as they do, by the limits
/// 8 nₑ·JSD (natural) ~ χ²(B − 1) and nₑ·PSI ~ χ²(B − 1), nₑ = n m / (n + m); the value under which a share
/// `quantile` of the divergences lies when nothing has changed.
double DivergenceNullSf(double divergence_natural, double effective_rows, int bins);
double DivergenceNullQuantile(double quantile, double effective_rows, int bins);
double StabilityNullQuantile(double quantile, double effective_rows, int bins);

}  // namespace dlent
