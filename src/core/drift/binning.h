#pragma once

#include <span>
#include <vector>

namespace dlent {

// Bins of sorted samples, as the profiles make them. Edges are increasing; a bin is [edge i, edge i + 1), the
// last one closed at both ends, as numpy counts.

/// numpy's "sturges": ⌈range / (range / (log₂ n + 1))⌉ bins of equal width over [min, max].
std::vector<double> SturgesEdges(std::span<const double> sorted);
/// numpy's "doane", which allows for skewness.
std::vector<double> DoaneEdges(std::span<const double> sorted);
std::vector<double> EqualWidthEdges(double low, double high, int bins);
/// Inner cuts at the quantiles 1/bins, 2/bins, … (linear interpolation) with −∞ and +∞ around them; equal
/// cuts are one.
std::vector<double> QuantileEdges(std::span<const double> sorted, int bins);

/// Counts of sorted values in the bins; values outside fall into none.
std::vector<double> CountInBins(std::span<const double> sorted, std::span<const double> edges);

/// Both samples in the same bins.
struct Histograms {
    std::vector<double> reference;
    std::vector<double> current;
};

/// Evidently's: Sturges bins over both samples together when the reference has more than 20 distinct values,
/// else the distinct values of both.
Histograms EvidentlyHistograms(std::span<const double> reference, std::span<const double> current);
/// NannyML's: Doane bins of the reference; what lies outside falls into a bin of its own, when there is any.
/// From 10,000 bins and values on they are 10,000 quantile bins.
Histograms NannyHistograms(std::span<const double> reference, std::span<const double> current);

/// A histogram whose bins touch: counts[i] lie in [edges[i], edges[i + 1]).
struct Histogram {
    std::vector<double> edges;
    std::vector<double> counts;
};
/// TFDV's: ten bins of equal width over the sample's own range.
Histogram TfdvHistogram(std::span<const double> sorted);
/// TFDV's alignment of two histograms: on all edges of both, each bin spread evenly over its parts.
Histograms AlignHistograms(const Histogram& reference, const Histogram& current);

}  // namespace dlent
