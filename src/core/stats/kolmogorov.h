#pragma once

#include <cstdint>

#include "core/base/cancel.h"
#include "core/base/status.h"

namespace dlent {

/// P(√n·D > z) in the limit of many values (Kolmogorov 1933).
double KolmogorovLimitSf(double z);

/// P(D ≥ d) of the two-sided one-sample statistic of n values: scipy's kstwo.sf, by Marsaglia, Tsang and Wang
/// (2003), Smirnov's one-sided sum in the tail, and Pelz and Good's expansion for many values, chosen as in
/// Simard and L'Ecuyer (2011).
double KolmogorovSf(double d, int64_t n);

/// P(D ≥ d) of the two-sample statistic under the permutation distribution of n and m values without ties
/// (with ties it is an upper bound): lattice paths are counted in n·m steps. kCancelled.
Expected<double> SmirnovExactSf(double d, int64_t n, int64_t m, const CancelToken& cancel);

}  // namespace dlent
