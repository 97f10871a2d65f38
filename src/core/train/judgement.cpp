#include "core/train/judgement.h"

#include <algorithm>
#include <utility>

#include "core/metrics/metrics.h"
#include "core/train/calibration.h"
#include "core/train/embedding_choice.h"

namespace dlent {

HeldOutJudge::HeldOutJudge(const ColumnarTable& table, const TargetEncoder& target,
                           std::vector<uint32_t> rows, bool folds, int width, int weight_cell,
                           Backend& backend, const CancelToken& cancel)
    : table_(table),
      target_(target),
      rows_(std::move(rows)),
      folds_(folds),
      width_(static_cast<size_t>(width)),
      outputs_(static_cast<size_t>(target.output_count())),
      weight_cell_(weight_cell),
      backend_(backend),
      cancel_(cancel) {}

Expected<Judgement> HeldOutJudge::Judge(const std::vector<const std::vector<float>*>& logits) const {
    if (rows_.empty())
        return Judgement();
    const std::vector<float> joined = Join(logits);
    const size_t answers_per_row = AnswersPerRow(logits.size());
    DLENT_ASSIGN_OR_RETURN(const Truth truth, ReadTruth());
    float temperature = 1.0f;
    if (target_.task() != Task::kRegression) {
        LabelledLogits labelled;
        labelled.rows = rows_.size();
        labelled.members = static_cast<int>(answers_per_row);
        labelled.outputs = static_cast<int>(outputs_);
        labelled.logits = joined.data();
        labelled.targets = truth.values.data();
        labelled.labels = truth.classes.data();
        labelled.row_weights = truth.weights.empty() ? nullptr : truth.weights.data();
        DLENT_ASSIGN_OR_RETURN(const double fitted, FitTemperature(labelled, cancel_));
        temperature = static_cast<float>(fitted);
    }
    Judgement judgement = Compare(Average(joined, answers_per_row, temperature), truth);
    judgement.temperature = temperature;
    return judgement;
}

Expected<Judgement> HeldOutJudge::JudgeAnswers(std::vector<float> answers) const {
    if (rows_.empty())
        return Judgement();
    DLENT_ASSIGN_OR_RETURN(const Truth truth, ReadTruth());
    return Compare(std::move(answers), truth);
}

Expected<HeldOutJudge::Truth> HeldOutJudge::ReadTruth() const {
    Truth truth;
    truth.values.resize(rows_.size());
    truth.classes.resize(rows_.size());
    if (weight_cell_ >= 0) {
        for (const uint32_t row : rows_)
            truth.weights.push_back(table_.Float(weight_cell_, row));
    }
    DLENT_ASSIGN_OR_RETURN(const TargetEncoder::Binding target, target_.Bind(table_));
    if (target_.task() == Task::kMulticlass)
        target.Classes(rows_, truth.classes.data());
    else
        target.Values(rows_, truth.values.data());
    if (target_.task() == Task::kRegression) {
        for (const uint32_t row : rows_)
            truth.raw.push_back(target.RawValue(row));
    }
    return truth;
}

Judgement HeldOutJudge::Compare(std::vector<float> answers, const Truth& truth) const {
    Judgement judgement;
    judgement.answers = std::move(answers);
    judgement.row_losses =
        RowLosses(target_.task(), judgement.answers, truth.values, truth.classes, truth.weights);
    if (target_.task() == Task::kRegression) {
        std::vector<double> predicted;
        for (float& answer : judgement.answers) {
            answer = target_.Decode(answer);
            predicted.push_back(answer);
        }
        judgement.metrics = ToJson(EvaluateRegression(predicted, truth.raw, truth.weights));
    } else if (target_.task() == Task::kBinary) {
        const std::vector<int32_t> labels(truth.values.begin(), truth.values.end());
        judgement.metrics = ToJson(EvaluateBinary(judgement.answers, labels, truth.weights));
    } else {
        judgement.metrics =
            ToJson(EvaluateMulticlass(judgement.answers, truth.classes, target_.labels(), truth.weights));
    }
    return judgement;
}

std::vector<float> HeldOutJudge::Join(const std::vector<const std::vector<float>*>& logits) const {
    std::vector<float> joined;
    if (folds_ || logits.size() == 1) {
        for (const std::vector<float>* of_network : logits)
            joined.insert(joined.end(), of_network->begin(), of_network->end());
        return joined;
    }
    const size_t block = width_ * outputs_;
    joined.resize(rows_.size() * logits.size() * block);
    for (size_t row = 0; row < rows_.size(); ++row) {
        for (size_t network = 0; network < logits.size(); ++network)
            std::copy_n(&(*logits[network])[row * block], block,
                        &joined[(row * logits.size() + network) * block]);
    }
    return joined;
}

std::vector<float> HeldOutJudge::Average(const std::vector<float>& logits, size_t count,
                                         float temperature) const {
    std::vector<float> probabilities;
    const float* values = logits.data();
    if (target_.task() != Task::kRegression) {
        probabilities.resize(logits.size());
        backend_.Probabilities(static_cast<int>(logits.size() / outputs_), static_cast<int>(outputs_),
                               1.0f / temperature, logits.data(), probabilities.data());
        values = probabilities.data();
    }
    std::vector<float> answers(rows_.size() * outputs_);
    for (size_t row = 0; row < rows_.size(); ++row) {
        for (size_t c = 0; c < outputs_; ++c) {
            double sum = 0.0;
            for (size_t answer = 0; answer < count; ++answer)
                sum += values[(row * count + answer) * outputs_ + c];
            answers[row * outputs_ + c] = static_cast<float>(sum / static_cast<double>(count));
        }
    }
    return answers;
}

}  // namespace dlent
