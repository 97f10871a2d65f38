#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/metrics/comparison.h"
#include "core/model/scorer.h"
#include "pg/source/pipeline_coder.h"
#include "pg/source/source.h"

namespace dlent::pg {

/// Codes of the target's labels: positions in the model's list, and kUnknown for texts that it never saw,
/// which are counted.
class LabelCoder final : public CategoryCoder {
 public:
    static constexpr int32_t kNull = -1;
    static constexpr int32_t kUnknown = -2;

    explicit LabelCoder(const TargetEncoder& target) : target_(target) {}
    int32_t Code(int, std::string_view text) override;
    int32_t NullCode(int) const override { return kNull; }

 private:
    const TargetEncoder& target_;
};

/// Scores the rows of a source as they come, and keeps answers beside outcomes. Rows whose outcome is not
/// known, or is a label that the model never saw, are counted and left out. For C++ frames.
class EvaluationSink final : public RowSink {
 public:
    /// `weight_column` (server encoding) may be empty. 42703 when a column is missing.
    EvaluationSink(const Source& source, Scorer* scorer, const std::string& weight_column);

    void Receive(TupleTableSlot* slot) override;
    /// When the scorer has failed: nothing here is of use then.
    bool is_done() const override { return !scorer_->status().ok(); }

    // The two halves of Receive(), for who feeds the same rows to several models.
    /// Reads the row's outcome; false when there is none to compare with.
    bool ReadOutcome(TupleTableSlot* slot);
    /// Takes the row that ReadOutcome() has just read.
    void Keep(TupleTableSlot* slot);

    /// Scores what is left.
    void Finish();

    uint64_t rows() const { return rows_; }
    uint64_t rows_without_target() const { return rows_without_target_; }
    uint64_t rows_with_unknown_label() const { return rows_with_unknown_label_; }

    Json Metrics(double threshold) const;
    /// What was kept, after Finish().
    ScoredRows Scored() const {
        return {target_.task(), target_.labels(), predictions_, classes_, values_, weights_};
    }

 private:
    static constexpr int kLeastBlockRows = 1024;
    static constexpr uint64_t kResetEvery = 256;

    void ScoreBlock();

    Scorer* const scorer_;
    const int block_rows_;
    const TargetEncoder& target_;
    PipelineCoder features_coder_;
    LabelCoder label_coder_;
    const size_t memory_limit_;
    MemoryContext scratch_ = nullptr;
    RowDecoder features_;
    ValueDecoder target_decoder_;
    ValueDecoder weight_decoder_;
    int target_attribute_ = 0;
    int weight_attribute_ = -1;
    int attributes_ = 0;
    Cell outcome_{};  ///< of the row that was read last
    Cell weight_{};
    int label_ = 0;
    std::vector<Cell> cells_;  ///< of the rows that wait to be scored
    int waiting_ = 0;
    uint64_t received_ = 0;
    uint64_t rows_ = 0;
    uint64_t rows_without_target_ = 0;
    uint64_t rows_with_unknown_label_ = 0;
    std::vector<float> predictions_;
    std::vector<int32_t> classes_;
    std::vector<double> values_;
    std::vector<float> weights_;
};

}  // namespace dlent::pg
