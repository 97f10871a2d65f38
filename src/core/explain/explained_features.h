#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/features/pipeline.h"
#include "core/features/table.h"

namespace dlent {

/// How numbers are cut into bins; the names of the reference (marcotcr/lime, lime/discretize.py).
enum class Discretizer : uint8_t {
    kNone,      ///< "none": numbers stay numbers
    kQuartile,  ///< "quartile": edges at 25, 50, 75 %
    kDecile,    ///< "decile": edges at 10, 20, ..., 90 %
    kEntropy,   ///< "entropy": thresholds of a depth-3 entropy tree on the labels (binned targets in
                ///< regression)
};

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
    /// From values without NaN, in any order. `labels` (class codes, as many as values) only for kEntropy.
    static Expected<Binning> Fit(Discretizer discretizer, std::span<const double> values,
                                 std::span<const int32_t> labels);
};

/// What an explanation speaks of: a column that the model reads, or one element of a vector column. Times are
/// explained by their elapsed part (days since 2000, seconds since midnight); their cyclic cells follow from
/// it.
struct ExplainedFeature {
    std::string name;  ///< the column's, or "column[3]" (from 1, as in SQL)
    int input = 0;     ///< of pipeline.inputs()
    int element = 0;   ///< of a vector
    int first_cell = 0;
    ColumnKind kind = ColumnKind::kNumeric;
    bool categorical = false;  ///< kCategory (value: the pipeline's code) or kBoolean (value: 0 or 1)
    bool integral = false;     ///< of an integer type, for texts

    uint64_t null_count = 0;
    /// Numbers: over the training values that are neither NULL nor NaN.
    double mean = 0.0;
    double standard_deviation = 0.0;  ///< population's; 0 for a constant
    double minimum = 0.0;
    double maximum = 0.0;
    Binning quartile;
    Binning decile;
    Binning entropy;
    /// Categories: training rows of each code (levels, then `other`, then NULL, as Pipeline::cardinality
    /// counts them); booleans: false, true.
    std::vector<uint64_t> level_counts;

    const Binning& binning(Discretizer discretizer) const;
};

/// What the explainer keeps of a version's training rows: everything that sampling and conditions need.
/// Stored with the version as readable JSON.
class ExplainerStatistics {
 public:
    /// Over `rows` of the table that the pipeline was fitted on (a seeded sample of at most kMaxRows of them,
    /// so that its cost is bounded). `labels` holds a class code for every row of the table; empty: no
    /// entropy binning.
    static constexpr size_t kMaxRows = 65536;
    static Expected<ExplainerStatistics> Fit(const ColumnarTable& table, std::span<const uint32_t> rows,
                                             const Pipeline& pipeline, std::span<const int32_t> labels,
                                             uint64_t seed, const CancelToken& cancel);

    const std::vector<ExplainedFeature>& features() const { return features_; }
    uint64_t row_count() const { return row_count_; }

    /// The explained value of feature `f` of a row of cells: NaN when it is NULL; a category's code.
    double Value(int f, const Cell* cells) const;
    /// Writes it back into the row, all cells that follow from it included.
    void SetValue(int f, double value, Cell* cells) const;

    Json ToJson() const;
    /// Trusts nothing: kCorrupt names what does not fit the pipeline.
    static Expected<ExplainerStatistics> FromJson(const Json& json, const Pipeline& pipeline);

 private:
    std::vector<ExplainedFeature> features_;
    uint64_t row_count_ = 0;
};

}  // namespace dlent
