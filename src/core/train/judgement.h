#pragma once

#include <cstdint>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/features/table.h"
#include "core/features/target.h"
#include "core/nn/backend.h"

namespace dlent {

/// What held-out rows say of the networks of a model.
struct Judgement {
    float temperature = 1.0f;
    Json metrics = Json::object();
    std::vector<float> row_losses;  ///< squared error (of the standardised target) or log-loss
    std::vector<float> answers;     ///< [held-out rows × outputs], in the target's units
};

/// Judges networks by rows that they have not seen. What it is given must outlive it.
class HeldOutJudge {
 public:
    /// `rows` are held out: with `folds`, those of each network's own fold in turn, else all of them from all
    /// networks. `width` is the number of answers that a network gives for a row (1, but for layers that are
    /// ensembles themselves); `weight_cell` the table's cell of row weights, -1: none.
    HeldOutJudge(const ColumnarTable& table, const TargetEncoder& target, std::vector<uint32_t> rows,
                 bool folds, int width, int weight_cell, Backend& backend, const CancelToken& cancel);

    const std::vector<uint32_t>& rows() const { return rows_; }

    /// `logits` are, for each network, [its held-out rows × width × outputs]. Without rows an empty
    /// judgement. kCancelled.
    Expected<Judgement> Judge(const std::vector<const std::vector<float>*>& logits) const;
    /// The same of answers, which are probabilities or standardised values: [held-out rows × outputs].
    Expected<Judgement> JudgeAnswers(std::vector<float> answers) const;

 private:
    /// What is true of the held-out rows.
    struct Truth {
        std::vector<float> values;     ///< standardised, or 0 and 1
        std::vector<int32_t> classes;  ///< of more than two
        std::vector<float> weights;    ///< may be empty
        std::vector<double> raw;       ///< of a regression, in the target's units
    };
    Expected<Truth> ReadTruth() const;
    Judgement Compare(std::vector<float> answers, const Truth& truth) const;
    /// How many answers there are for each held-out row, one after another in Join().
    size_t AnswersPerRow(size_t networks) const { return (folds_ ? 1 : networks) * width_; }
    /// One array [held-out rows × AnswersPerRow × outputs].
    std::vector<float> Join(const std::vector<const std::vector<float>*>& logits) const;
    /// Mean probability (or standardised value) over `count` answers for each row: [rows × outputs].
    std::vector<float> Average(const std::vector<float>& logits, size_t count, float temperature) const;

    const ColumnarTable& table_;
    const TargetEncoder& target_;
    const std::vector<uint32_t> rows_;
    const bool folds_;
    const size_t width_;
    const size_t outputs_;
    const int weight_cell_;
    Backend& backend_;
    const CancelToken& cancel_;
};

}  // namespace dlent
