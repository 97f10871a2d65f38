#include "core/explain/binning.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace dlent {
namespace {

constexpr const char* kDiscretizerNames[] = {"none", "quartile", "decile", "entropy"};

/// Population mean and standard deviation of the values of one bin.
void Summarise(std::span<const double> values, Binning::Bin* bin) {
    bin->count = values.size();
    if (values.empty())
        return;
    const double count = static_cast<double>(values.size());
    bin->mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
    // rounding must not carry the mean of equal values away from them
    bin->mean = std::clamp(bin->mean, values.front(), values.back());
    double squares = 0.0;
    for (const double value : values)
        squares += (value - bin->mean) * (value - bin->mean);
    bin->standard_deviation = std::sqrt(squares / count);
}

std::vector<double> Percentiles(std::span<const double> sorted, int parts) {
    std::vector<double> edges;
    for (int i = 1; i < parts; ++i)
        edges.push_back(SortedPercentile(sorted, static_cast<double>(100 * i / parts) / 100.0));
    return edges;
}

}  // namespace

const char* DiscretizerName(Discretizer discretizer) {
    return kDiscretizerNames[static_cast<int>(discretizer)];
}

Expected<Discretizer> ParseDiscretizer(std::string_view name) {
    for (int i = 0; i < 4; ++i) {
        if (name == kDiscretizerNames[i])
            return static_cast<Discretizer>(i);
    }
    return Status::Invalid("unknown discretizer \"" + std::string(name.substr(0, 64)) + "\"", {},
                           "Valid discretizers are \"none\", \"quartile\", \"decile\", \"entropy\".");
}

double SortedPercentile(std::span<const double> sorted, double share) {
    const double position = static_cast<double>(sorted.size() - 1) * share;
    const size_t below = std::min(static_cast<size_t>(position), sorted.size() - 1);
    const size_t above = std::min(below + 1, sorted.size() - 1);
    const double fraction = position - static_cast<double>(below);
    const double difference = sorted[above] - sorted[below];
    return fraction >= 0.5 ? sorted[above] - difference * (1.0 - fraction)
                           : sorted[below] + difference * fraction;
}

int Binning::BinOf(double value) const {
    return static_cast<int>(std::lower_bound(edges.begin(), edges.end(), value) - edges.begin());
}

Binning Binning::FitSorted(Discretizer discretizer, std::span<const double> sorted,
                           std::span<const int32_t> labels) {
    Binning binning;
    if (!sorted.empty()) {
        switch (discretizer) {
            case Discretizer::kQuartile:
                binning.edges = Percentiles(sorted, 4);
                break;
            case Discretizer::kDecile:
                binning.edges = Percentiles(sorted, 10);
                break;
            case Discretizer::kEntropy:
                binning.edges = EntropyThresholds(sorted, labels);
                if (binning.edges.empty())
                    binning.edges = {SortedPercentile(sorted, 0.5)};
                break;
            case Discretizer::kNone:
                break;
        }
    }
    binning.edges.erase(std::unique(binning.edges.begin(), binning.edges.end()), binning.edges.end());
    size_t begin = 0;
    for (size_t b = 0; b <= binning.edges.size(); ++b) {
        Bin& bin = binning.bins.emplace_back();
        const bool last = b == binning.edges.size();
        const size_t end =
            last ? sorted.size()
                 : static_cast<size_t>(std::upper_bound(sorted.begin(), sorted.end(), binning.edges[b]) -
                                       sorted.begin());
        Summarise(sorted.subspan(begin, end - begin), &bin);
        if (!sorted.empty()) {
            bin.minimum = b == 0 ? sorted.front() : binning.edges[b - 1];
            bin.maximum = last ? sorted.back() : binning.edges[b];
        }
        begin = end;
    }
    return binning;
}

Binning Binning::Fit(Discretizer discretizer, std::span<const double> values,
                     std::span<const int32_t> labels) {
    std::vector<size_t> order(values.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
    std::vector<double> sorted;
    std::vector<int32_t> sorted_labels;
    for (const size_t i : order) {
        sorted.push_back(values[i]);
        if (!labels.empty())
            sorted_labels.push_back(labels[i]);
    }
    return FitSorted(discretizer, sorted, sorted_labels);
}

}  // namespace dlent
