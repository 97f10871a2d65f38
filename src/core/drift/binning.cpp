#include "core/drift/binning.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

namespace dlent {
namespace {

constexpr size_t kEvidentlyDistinct = 20;
constexpr int kTfdvBins = 10;
constexpr int kMaxBins = 100000;

std::vector<double> EdgesOfWidth(double low, double high, double width) {
    const double bins = width > 0.0 ? std::ceil((high - low) / width) : 1.0;
    return EqualWidthEdges(low, high, static_cast<int>(std::clamp(bins, 1.0, static_cast<double>(kMaxBins))));
}

size_t DistinctUpTo(std::span<const double> sorted, size_t limit) {
    size_t distinct = 0;
    for (size_t i = 0; i < sorted.size() && distinct <= limit; ++i)
        distinct += i == 0 || sorted[i] != sorted[i - 1];
    return distinct;
}

double Quantile(std::span<const double> sorted, double share) {
    const double position = share * static_cast<double>(sorted.size() - 1);
    const size_t below = static_cast<size_t>(position);
    const size_t above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (sorted[above] - sorted[below]) * (position - static_cast<double>(below));
}

}  // namespace

std::vector<double> EqualWidthEdges(double low, double high, int bins) {
    if (low == high) {
        // numpy's: a constant has bins around it
        low -= 0.5;
        high += 0.5;
    }
    std::vector<double> edges(static_cast<size_t>(bins) + 1);
    for (int i = 0; i <= bins; ++i)
        edges[i] = i == bins ? high : low + (high - low) * i / bins;
    return edges;
}

std::vector<double> SturgesEdges(std::span<const double> sorted) {
    if (sorted.empty())
        return {};
    const double range = sorted.back() - sorted.front();
    return EdgesOfWidth(sorted.front(), sorted.back(),
                        range / (std::log2(static_cast<double>(sorted.size())) + 1.0));
}

std::vector<double> DoaneEdges(std::span<const double> sorted) {
    if (sorted.empty())
        return {};
    const double n = static_cast<double>(sorted.size());
    const double range = sorted.back() - sorted.front();
    double width = 0.0;
    if (n > 2.0) {
        const double mean = std::accumulate(sorted.begin(), sorted.end(), 0.0) / n;
        double squares = 0.0;
        double cubes = 0.0;
        for (const double value : sorted) {
            const double gap = value - mean;
            squares += gap * gap;
            cubes += gap * gap * gap;
        }
        const double deviation = std::sqrt(squares / n);
        if (deviation > 0.0) {
            const double skew = cubes / n / (deviation * deviation * deviation);
            const double error = std::sqrt(6.0 * (n - 2.0) / ((n + 1.0) * (n + 3.0)));
            width = range / (1.0 + std::log2(n) + std::log2(1.0 + std::abs(skew) / error));
        }
    }
    return EdgesOfWidth(sorted.front(), sorted.back(), width);
}

std::vector<double> QuantileEdges(std::span<const double> sorted, int bins) {
    std::vector<double> edges{-INFINITY};
    for (int i = 1; i < bins && !sorted.empty(); ++i) {
        const double edge = Quantile(sorted, static_cast<double>(i) / bins);
        if (edge > edges.back())
            edges.push_back(edge);
    }
    edges.push_back(INFINITY);
    return edges;
}

std::vector<double> CountInBins(std::span<const double> sorted, std::span<const double> edges) {
    std::vector<double> counts;
    for (size_t i = 0; i + 1 < edges.size(); ++i) {
        const auto begin = std::lower_bound(sorted.begin(), sorted.end(), edges[i]);
        const auto end = i + 2 == edges.size() ? std::upper_bound(begin, sorted.end(), edges[i + 1])
                                               : std::lower_bound(begin, sorted.end(), edges[i + 1]);
        counts.push_back(static_cast<double>(end - begin));
    }
    return counts;
}

Histograms EvidentlyHistograms(std::span<const double> reference, std::span<const double> current) {
    std::vector<double> both;
    both.reserve(reference.size() + current.size());
    std::merge(reference.begin(), reference.end(), current.begin(), current.end(), std::back_inserter(both));
    if (DistinctUpTo(reference, kEvidentlyDistinct) > kEvidentlyDistinct) {
        const std::vector<double> edges = SturgesEdges(both);
        return {CountInBins(reference, edges), CountInBins(current, edges)};
    }
    both.erase(std::unique(both.begin(), both.end()), both.end());
    Histograms histograms;
    const auto count = [](std::span<const double> sorted, double value) {
        const auto [begin, end] = std::equal_range(sorted.begin(), sorted.end(), value);
        return static_cast<double>(end - begin);
    };
    for (const double value : both) {
        histograms.reference.push_back(count(reference, value));
        histograms.current.push_back(count(current, value));
    }
    return histograms;
}

Histograms NannyHistograms(std::span<const double> reference, std::span<const double> current) {
    constexpr int kManyBins = 10000;
    std::vector<double> edges = DoaneEdges(reference);
    if (edges.size() > kManyBins) {
        edges.clear();
        for (int i = 0; i <= kManyBins; ++i) {
            const double edge = Quantile(reference, static_cast<double>(i) / kManyBins);
            if (edges.empty() || edge > edges.back())
                edges.push_back(edge);
        }
    }
    Histograms histograms{CountInBins(reference, edges), CountInBins(current, edges)};
    const double inside = std::accumulate(histograms.current.begin(), histograms.current.end(), 0.0);
    if (inside < static_cast<double>(current.size())) {
        histograms.reference.push_back(0.0);
        histograms.current.push_back(static_cast<double>(current.size()) - inside);
    }
    return histograms;
}

Histogram TfdvHistogram(std::span<const double> sorted) {
    if (sorted.empty())
        return {};
    Histogram histogram;
    histogram.edges = EqualWidthEdges(sorted.front(), sorted.back(), kTfdvBins);
    histogram.counts = CountInBins(sorted, histogram.edges);
    return histogram;
}

Histograms AlignHistograms(const Histogram& reference, const Histogram& current) {
    std::vector<double> edges;
    std::merge(reference.edges.begin(), reference.edges.end(), current.edges.begin(), current.edges.end(),
               std::back_inserter(edges));
    edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
    const auto spread = [&edges](const Histogram& histogram) {
        std::vector<double> counts(edges.size() < 2 ? 0 : edges.size() - 1);
        size_t bin = 0;
        for (size_t i = 0; i < counts.size(); ++i) {
            while (bin < histogram.counts.size() && histogram.edges[bin + 1] <= edges[i])
                ++bin;
            if (bin < histogram.counts.size() && histogram.edges[bin] <= edges[i])
                counts[i] = histogram.counts[bin] * (edges[i + 1] - edges[i]) /
                            (histogram.edges[bin + 1] - histogram.edges[bin]);
        }
        return counts;
    };
    return {spread(reference), spread(current)};
}

}  // namespace dlent
