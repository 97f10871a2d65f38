#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace dlent {

/// How numbers are cut into bins; the names of the reference (marcotcr/lime, lime/discretize.py).
enum class Discretizer : uint8_t {
    kNone,      ///< "none": numbers stay numbers
    kQuartile,  ///< "quartile": edges at 25, 50, 75 %
    kDecile,    ///< "decile": edges at 10, 20, ..., 90 %
    kEntropy,   ///< "entropy": thresholds of a depth-3 entropy tree on the labels (binned targets in
                ///< regression)
};

const char* DiscretizerName(Discretizer discretizer);
Expected<Discretizer> ParseDiscretizer(std::string_view name);

/// One column cut into bins: bin(x) = the number of edges strictly below x, so bin b holds edges[b-1] < x <=
/// edges[b].
struct Binning {
    struct Bin {
        double minimum = 0.0;  ///< neighbouring edges; the outermost: least and largest training value
        double maximum = 0.0;
        double mean = 0.0;                ///< of the training values inside; 0 when there are none
        double standard_deviation = 0.0;  ///< population's, without the reference's 1e-11
        uint64_t count = 0;
    };
    std::vector<double> edges;  ///< rising, distinct; linear interpolation as numpy.percentile
    std::vector<Bin> bins;      ///< edges.size() + 1

    int BinOf(double value) const;
    /// From finite values in any order; the result does not depend on it. `labels` (class codes, as many as
    /// values, or none) only for kEntropy. Without values there is one empty bin.
    static Binning Fit(Discretizer discretizer, std::span<const double> values,
                       std::span<const int32_t> labels);
    /// The same from values in rising order, with the labels in the order of their values.
    static Binning FitSorted(Discretizer discretizer, std::span<const double> sorted,
                             std::span<const int32_t> labels);
};

/// numpy.percentile's linear interpolation, to the bit: `share` between 0 and 1.
double SortedPercentile(std::span<const double> sorted, double share);

/// Thresholds of scikit-learn 1.2's DecisionTreeClassifier(criterion="entropy", max_depth=3) on one column,
/// in rising order: it sees the values as float32, and of equally good cuts the lowest wins. None without a
/// label of at least 0 for every value.
std::vector<double> EntropyThresholds(std::span<const double> sorted, std::span<const int32_t> labels);

}  // namespace dlent
