#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/drift/reference.h"
#include "core/model/scorer.h"

namespace dlent {

/// Scores the rows of a table that has the model's inputs as columns of the same names, kinds and widths. The
/// scorer and the table must outlive it.
class TableScorer {
 public:
    static Expected<TableScorer> Create(Scorer* scorer, const ColumnarTable& table);

    /// The rows' cells as the scorer takes them, [rows × cell_count].
    void Gather(std::span<const uint32_t> rows, Cell* cells) const;
    /// [rows × output_count]. kCancelled.
    Expected<std::vector<float>> Score(std::span<const uint32_t> rows, const CancelToken& cancel) const;

    /// How much each input's drift moved the answers: the mean answer of the rows less their mean answer when
    /// that input alone is drawn from the reference instead (for classes, the mean probability of the
    /// positive class, or the largest change of any class's mean). At most 2,000 rows are looked at, spread
    /// over `rows`. kCancelled.
    Expected<std::vector<double>> AttributeShift(std::span<const uint32_t> rows,
                                                 const DriftReference& reference, uint64_t seed,
                                                 const CancelToken& cancel) const;

    /// The rows as the network sees them, with categories of up to 16 levels as indicators, others as their
    /// first 16: [rows × columns], for tests of whole rows.
    Expected<std::vector<float>> Encode(std::span<const uint32_t> rows, size_t* columns) const;

 private:
    std::vector<double> MeanAnswers(std::span<const float> outputs) const;

    Scorer* scorer_ = nullptr;
    const ColumnarTable* table_ = nullptr;
    std::vector<int> columns_;                 ///< of the table, for each input
    std::vector<std::vector<int32_t>> codes_;  ///< for each input that is a category: dictionary → model code
};

}  // namespace dlent
