#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/features/table.h"

namespace dlent {

/// What drift watches of a column: its numbers, or its levels. Time goes on without anything being wrong, so
/// a timestamp is watched by its hour of the day, a date by its day of the week; a vector by its length.
struct DriftVariable {
    std::string name;
    ColumnKind kind = ColumnKind::kNumeric;

    bool categorical() const { return kind == ColumnKind::kCategory || kind == ColumnKind::kBoolean; }
    /// "value", "hour of day", "day of week", "norm", "levels"
    const char* aspect() const;
};

/// The cumulative counts of a numeric sample at some of its values: counts[i] values lie in (edges[i − 1],
/// edges[i]], of which the first is everything up to edges[0], the smallest value. Edges are values of the
/// sample, increasing, the last one the largest; with few distinct values they are all of them.
struct QuantileSketch {
    std::vector<double> edges;
    std::vector<double> counts;
    bool exact = false;  ///< the edges are all values that there are

    static constexpr int kBins = 64;
    static QuantileSketch Of(std::span<const double> sorted);
    /// Counts of another sorted sample in the same intervals; what is above the last edge counts there.
    std::vector<double> Count(std::span<const double> sorted) const;
    /// Sorted values, at most `most`, that have nearly this distribution: the edges where they are all there
    /// is, else spread evenly between them.
    std::vector<double> Expand(size_t most) const;
    double total() const;
    /// The value at a share in [0, 1], linearly between edges.
    double Quantile(double share) const;
};

/// One variable of some rows. NULL, NaN and infinities are counted and take no part otherwise.
struct DriftSample {
    bool categorical = false;
    uint64_t rows = 0;  ///< with the missing ones
    uint64_t missing = 0;

    std::vector<double> sorted;  ///< numbers, where they are at hand
    QuantileSketch sketch;       ///< numbers
    double outside = 0.0;  ///< where numbers were counted over another sketch's edges: those beyond them

    struct Level {
        std::string text;
        double count = 0.0;
    };
    std::vector<Level> levels;  ///< most frequent first, then by text
    double other_count = 0.0;   ///< of levels that are not listed

    /// For thresholds that come from parts of the reference: the numbers, or positions in `levels` (−1 for
    /// others), in the order of the rows. Filled on request.
    std::vector<float> in_order;

    bool from_values() const { return categorical || !sorted.empty() || sketch.counts.empty(); }
    uint64_t present() const { return rows - missing; }

    /// A readable object of bounded size: at most 64 edges with counts, or 64 levels.
    Json ToJson() const;
    static Expected<DriftSample> FromJson(const Json& json);

    static DriftSample OfNumbers(std::span<const float> values, bool keep_order);
    /// Labels by class number, −1 missing.
    static DriftSample OfClasses(std::span<const int32_t> classes, const std::vector<std::string>& labels,
                                 bool keep_order);
};

constexpr size_t kReferenceLevels = 64;

/// The variable of one column over `rows` of a table. kCancelled.
Expected<DriftSample> SampleColumn(const ColumnarTable& table, int column, std::span<const uint32_t> rows,
                                   bool keep_order, const CancelToken& cancel);

}  // namespace dlent
