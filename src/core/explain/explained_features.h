#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/explain/binning.h"
#include "core/features/pipeline.h"
#include "core/features/table.h"

namespace dlent {

/// What an explanation speaks of: a column that the model reads, or one element of a vector column. Times are
/// explained by their elapsed part (days since 2000, seconds since midnight); their cyclic cells follow from
/// it.
///
/// An explanation sees a value as a code. Categories: the pipeline's (levels, then `other`, then NULL);
/// booleans: false, true, NULL; numbers: their bin, then NULL. Without a discretizer numbers have two codes:
/// 0 is a number, 1 is NULL.
struct ExplainedFeature {
    std::string name;  ///< the column's, or "column[3]" (from 1, as in SQL)
    int input = 0;     ///< of pipeline.inputs()
    int element = 0;   ///< of a vector
    int first_cell = 0;
    ColumnKind kind = ColumnKind::kNumeric;
    bool categorical = false;  ///< kCategory (value: the pipeline's code) or kBoolean (value: 0 or 1)
    bool integral = false;     ///< of an integer type, for texts

    uint64_t null_count = 0;
    /// Numbers: over the training values that are not NULL; infinities count as the least or greatest finite
    /// value, which is how the network reads them.
    double mean = 0.0;
    double standard_deviation = 0.0;  ///< population's; 0 for a constant
    double minimum = 0.0;
    double maximum = 0.0;
    double median = 0.0;
    Binning quartile;
    Binning decile;
    Binning entropy;  ///< empty when training had no labels
    /// Categories: training rows of each code; booleans: false, true.
    std::vector<uint64_t> level_counts;
    int null_level = -1;  ///< categories: the code of NULL, -1 when none was seen

    /// kNone: one bin over everything.
    const Binning& binning(Discretizer discretizer) const;
    /// Of NULL; -1 when it has none (a category that was never NULL).
    int NullCode(Discretizer discretizer) const;
    /// Training rows of each code.
    std::vector<uint64_t> CodeCounts(Discretizer discretizer) const;
    /// Of one code; 0 for a code that does not exist.
    uint64_t CountOf(Discretizer discretizer, int code) const;
    /// The code of an explained value (NaN: NULL); -1 for a level that has none.
    int CodeOf(Discretizer discretizer, double value) const;
    /// The same for the row to explain, where a level without a code gets the next number. `compat`: a NULL
    /// number lies in the top bin, as the reference has it.
    int InstanceCode(Discretizer discretizer, double value, bool compat) const;
};

/// What the explainer keeps of a version's training rows: everything that sampling and conditions need.
/// Stored with the version as readable JSON. It has no features when the model reads more than kMaxFeatures:
/// explanations of such rows would help nobody.
class ExplainerStatistics {
 public:
    static constexpr size_t kMaxRows = 65536;
    static constexpr int kMaxFeatures = 2048;

    /// Over `rows` of the table that the pipeline was fitted on (at most kMaxRows of them, spread evenly from
    /// an offset that `seed` chooses, so that its cost is bounded). `labels` holds a class code for every
    /// entry of `rows`; empty: no entropy binning. Level counts are the pipeline's, over all its rows. The
    /// order of the rows does not matter when all are taken. kCancelled, kOutOfMemory.
    static Expected<ExplainerStatistics> Fit(const ColumnarTable& table, std::span<const uint32_t> rows,
                                             const Pipeline& pipeline, std::span<const int32_t> labels,
                                             uint64_t seed, const CancelToken& cancel);

    const std::vector<ExplainedFeature>& features() const { return features_; }
    int feature_count() const { return static_cast<int>(features_.size()); }
    /// Rows that the numbers' statistics are of.
    uint64_t row_count() const { return row_count_; }
    /// Cells of a row, as Pipeline::cell_count().
    int cell_count() const { return cell_count_; }
    bool has_labels() const { return has_labels_; }

    /// The explained value of feature `f` of a row of cells: NaN when it is NULL; a category's code (-1 for a
    /// level without one). Infinities become the least or greatest training value.
    double Value(int f, const Cell* cells) const;
    /// Writes it back into the row, all cells that follow from it included.
    void SetValue(int f, double value, Cell* cells) const;
    /// The code of that value.
    int Code(int f, Discretizer discretizer, const Cell* cells) const {
        return features_[f].CodeOf(discretizer, Value(f, cells));
    }

    Json ToJson() const;
    /// Trusts nothing: kCorrupt names what does not fit the pipeline.
    static Expected<ExplainerStatistics> FromJson(const Json& json, const Pipeline& pipeline);

 private:
    /// Fills what follows from the pipeline alone.
    void AddFeatures(const Pipeline& pipeline);

    std::vector<ExplainedFeature> features_;
    uint64_t row_count_ = 0;
    int cell_count_ = 0;
    bool has_labels_ = false;
};

}  // namespace dlent
