#include "pg/bridge/postgres.h"

#include "pg/functions/evaluation_sink.h"

#include <algorithm>
#include <cmath>

#include "core/metrics/metrics.h"
#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/settings.h"

namespace dlent::pg {

int32_t LabelCoder::Code(int, std::string_view text) {
    const int index = target_.LabelIndex(text);
    return index >= 0 ? index : kUnknown;
}

EvaluationSink::EvaluationSink(const Source& source, Scorer* scorer, const std::string& weight_column)
    : scorer_(scorer),
      block_rows_(std::max(kLeastBlockRows, scorer->block_rows())),
      target_(scorer->model().target),
      features_coder_(scorer->model().pipeline),
      label_coder_(target_),
      memory_limit_(MaxTrainingMemory()) {
    scratch_ = CallPostgres([] {
        return AllocSetContextCreate(CurrentMemoryContext, "dlent row decoding", ALLOCSET_SMALL_SIZES);
    });
    const Pipeline& pipeline = scorer->model().pipeline;
    std::vector<RowDecoder::Column> columns;
    for (int i = 0; i < static_cast<int>(pipeline.inputs().size()); ++i) {
        const std::string name = FromUtf8(pipeline.inputs()[i].name);
        const int attribute = source.Require(name, "feature");
        columns.push_back({attribute, ValueDecoder::Create(TargetOfInput(pipeline, i, name, &features_coder_),
                                                           source.columns()[attribute].type)});
    }
    features_ = RowDecoder(std::move(columns));

    DecodeTarget outcome;
    outcome.name = FromUtf8(target_.column());
    outcome.kind = target_.column_kind();
    outcome.coder = &label_coder_;
    target_attribute_ = source.Require(outcome.name, "target");
    target_decoder_ = ValueDecoder::Create(outcome, source.columns()[target_attribute_].type);
    attributes_ = std::max(features_.attributes_needed(), target_attribute_ + 1);
    if (!weight_column.empty()) {
        DecodeTarget weight;
        weight.name = weight_column;
        weight_attribute_ = source.Require(weight.name, "option weight_column");
        weight_decoder_ = ValueDecoder::Create(weight, source.columns()[weight_attribute_].type);
        attributes_ = std::max(attributes_, weight_attribute_ + 1);
    }
    cells_.resize(static_cast<size_t>(block_rows_) * std::max(scorer->cell_count(), 1));
}

void EvaluationSink::Receive(TupleTableSlot* slot) {
    if (ReadOutcome(slot))
        Keep(slot);
}

bool EvaluationSink::ReadOutcome(TupleTableSlot* slot) {
    slot_getsomeattrs(slot, attributes_);
    if (++received_ % kResetEvery == 0)
        MemoryContextReset(scratch_);
    const MemoryContext previous = MemoryContextSwitchTo(scratch_);
    target_decoder_.Decode(slot->tts_values[target_attribute_], slot->tts_isnull[target_attribute_],
                           &outcome_);
    if (weight_attribute_ >= 0)
        weight_decoder_.Decode(slot->tts_values[weight_attribute_], slot->tts_isnull[weight_attribute_],
                               &weight_);
    MemoryContextSwitchTo(previous);
    const bool by_text = target_.column_kind() == ColumnKind::kCategory;
    if (by_text ? outcome_.code == LabelCoder::kNull : !std::isfinite(outcome_.f)) {
        ++rows_without_target_;
        return false;
    }
    if (target_.task() == Task::kRegression)
        return true;
    label_ = by_text ? outcome_.code : target_.LabelOfValue(outcome_.f);
    if (label_ < 0)
        ++rows_with_unknown_label_;
    return label_ >= 0;
}

void EvaluationSink::Keep(TupleTableSlot* slot) {
    if (target_.task() == Task::kRegression)
        values_.push_back(outcome_.f);
    else
        classes_.push_back(label_);
    if (weight_attribute_ >= 0) {
        if (!(weight_.f >= 0.0f) || std::isinf(weight_.f))
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "a row weight is NULL, negative or not finite");
        weights_.push_back(weight_.f);
    }
    const MemoryContext previous = MemoryContextSwitchTo(scratch_);
    features_.Decode(slot->tts_values, slot->tts_isnull,
                     &cells_[static_cast<size_t>(waiting_) * scorer_->cell_count()]);
    MemoryContextSwitchTo(previous);
    ++rows_;
    if (++waiting_ == block_rows_)
        ScoreBlock();
}

void EvaluationSink::Finish() {
    if (waiting_ > 0)
        ScoreBlock();
    CallPostgres([this] { MemoryContextDelete(scratch_); });
}

Json EvaluationSink::Metrics(double threshold) const {
    if (target_.task() == Task::kBinary)
        return ToJson(EvaluateBinary(predictions_, classes_, weights_, threshold));
    if (target_.task() == Task::kMulticlass)
        return ToJson(EvaluateMulticlass(predictions_, classes_, target_.labels(), weights_));
    return ToJson(
        EvaluateRegression(std::vector<double>(predictions_.begin(), predictions_.end()), values_, weights_));
}

void EvaluationSink::ScoreBlock() {
    const size_t outputs = static_cast<size_t>(scorer_->output_count());
    const size_t first = predictions_.size();
    if ((first + static_cast<size_t>(block_rows_) * outputs) * sizeof(float) > memory_limit_)
        throw SqlError(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
                       "the predictions take more than dlent.max_training_memory", {},
                       "Evaluate fewer rows (LIMIT, TABLESAMPLE), or raise dlent.max_training_memory.");
    predictions_.resize(first + static_cast<size_t>(waiting_) * outputs);
    scorer_->Score(waiting_, cells_.data(), &predictions_[first]);
    waiting_ = 0;
}

}  // namespace dlent::pg
