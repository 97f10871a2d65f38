// dlent_evaluate: rows with known outcomes in, every metric that fits the task out. Writes nothing unless it
// is asked to store the result.

#include "pg/bridge/postgres.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/metrics/metrics.h"
#include "pg/bridge/error.h"
#include "pg/bridge/interrupts.h"
#include "pg/bridge/json.h"
#include "pg/bridge/memory.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/evaluations.h"
#include "pg/catalog/models.h"
#include "pg/functions/arguments.h"
#include "pg/settings.h"
#include "pg/source/pipeline_coder.h"
#include "pg/source/source.h"

namespace dlent::pg {
namespace {

struct EvaluateOptions {
    std::optional<double> threshold;  ///< of binary models
    std::string weight_column;        ///< server encoding
    bool store = false;

    static EvaluateOptions Parse(const Json& json);
};

[[noreturn]] void ThrowOption(const std::string& message) {
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, message, {},
                   "Valid options are threshold, weight_column, store.");
}

EvaluateOptions EvaluateOptions::Parse(const Json& json) {
    EvaluateOptions options;
    if (!json.is_object())
        ThrowOption("options must be a JSON object");
    for (const auto& [key, value] : json.items()) {
        if (key == "threshold") {
            if (!value.is_number() || !(value.get<double>() >= 0.0 && value.get<double>() <= 1.0))
                ThrowOption("option \"threshold\" must be a number from 0 to 1");
            options.threshold = value.get<double>();
        } else if (key == "weight_column") {
            if (!value.is_string())
                ThrowOption("option \"weight_column\" must be the name of a column");
            options.weight_column = FromUtf8(value.get<std::string>());
        } else if (key == "store") {
            if (!value.is_boolean())
                ThrowOption("option \"store\" must be true or false");
            options.store = value.get<bool>();
        } else {
            ThrowOption("unknown option \"" + FromUtf8(key) + "\"");
        }
    }
    return options;
}

/// Codes of the target's labels: positions in the model's list, and kUnknown for texts that it never saw,
/// which are counted.
class LabelCoder final : public CategoryCoder {
 public:
    static constexpr int32_t kNull = -1;
    static constexpr int32_t kUnknown = -2;

    explicit LabelCoder(const TargetEncoder& target) : target_(target) {}
    int32_t Code(int, std::string_view text) override {
        const int index = target_.LabelIndex(text);
        return index >= 0 ? index : kUnknown;
    }
    int32_t NullCode(int) const override { return kNull; }

 private:
    const TargetEncoder& target_;
};

/// Scores the rows of a source as they come, and keeps predictions beside outcomes.
class EvaluationSink final : public RowSink {
 public:
    EvaluationSink(const Source& source, Scorer* scorer, const EvaluateOptions& options)
        : scorer_(scorer),
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
            columns.push_back(
                {attribute, ValueDecoder::Create(TargetOfInput(pipeline, i, name, &features_coder_),
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
        if (!options.weight_column.empty()) {
            DecodeTarget weight;
            weight.name = options.weight_column;
            weight_attribute_ = source.Require(weight.name, "option weight_column");
            weight_decoder_ = ValueDecoder::Create(weight, source.columns()[weight_attribute_].type);
            attributes_ = std::max(attributes_, weight_attribute_ + 1);
        }
        cells_.resize(static_cast<size_t>(kBlockRows) * std::max(scorer->cell_count(), 1));
    }

    void Receive(TupleTableSlot* slot) override {
        slot_getsomeattrs(slot, attributes_);
        const MemoryContext previous = MemoryContextSwitchTo(scratch_);
        Cell outcome;
        Cell weight;
        target_decoder_.Decode(slot->tts_values[target_attribute_], slot->tts_isnull[target_attribute_],
                               &outcome);
        if (weight_attribute_ >= 0)
            weight_decoder_.Decode(slot->tts_values[weight_attribute_], slot->tts_isnull[weight_attribute_],
                                   &weight);
        if (Keep(outcome, weight)) {
            features_.Decode(slot->tts_values, slot->tts_isnull,
                             &cells_[static_cast<size_t>(waiting_) * scorer_->cell_count()]);
            if (++waiting_ == kBlockRows)
                ScoreBlock();
        }
        MemoryContextSwitchTo(previous);
        if (++received_ % kResetEvery == 0)
            MemoryContextReset(scratch_);
    }

    /// Scores what is left.
    void Finish() {
        if (waiting_ > 0)
            ScoreBlock();
        CallPostgres([this] { MemoryContextDelete(scratch_); });
    }

    uint64_t rows_without_target() const { return rows_without_target_; }
    uint64_t rows_with_unknown_label() const { return rows_with_unknown_label_; }

    Json Metrics(double threshold) const {
        if (target_.task() == Task::kBinary)
            return ToJson(EvaluateBinary(predictions_, classes_, weights_, threshold));
        if (target_.task() == Task::kMulticlass)
            return ToJson(EvaluateMulticlass(predictions_, classes_, target_.labels(), weights_));
        return ToJson(EvaluateRegression(std::vector<double>(predictions_.begin(), predictions_.end()),
                                         values_, weights_));
    }

 private:
    static constexpr int kBlockRows = 1024;
    static constexpr uint64_t kResetEvery = 256;

    /// Takes a row's outcome, unless there is none to compare with.
    bool Keep(Cell outcome, Cell weight) {
        const bool by_text = target_.column_kind() == ColumnKind::kCategory;
        if (by_text ? outcome.code == LabelCoder::kNull : !std::isfinite(outcome.f)) {
            ++rows_without_target_;
            return false;
        }
        if (target_.task() == Task::kRegression) {
            values_.push_back(outcome.f);
        } else {
            const int label = by_text ? outcome.code : target_.LabelOfValue(outcome.f);
            if (label < 0) {
                ++rows_with_unknown_label_;
                return false;
            }
            classes_.push_back(label);
        }
        if (weight_attribute_ >= 0) {
            if (!(weight.f >= 0.0f) || std::isinf(weight.f))
                throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                               "a row weight is NULL, negative or not finite");
            weights_.push_back(weight.f);
        }
        return true;
    }

    void ScoreBlock() {
        const size_t outputs = static_cast<size_t>(scorer_->output_count());
        const size_t first = predictions_.size();
        if ((first + kBlockRows * outputs) * sizeof(float) > memory_limit_)
            throw SqlError(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
                           "the predictions take more than dlent.max_training_memory", {},
                           "Evaluate fewer rows (LIMIT, TABLESAMPLE), or raise dlent.max_training_memory.");
        predictions_.resize(first + static_cast<size_t>(waiting_) * outputs);
        scorer_->Score(waiting_, cells_.data(), &predictions_[first]);
        waiting_ = 0;
    }

    Scorer* const scorer_;
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
    std::vector<Cell> cells_;  ///< of the rows that wait to be scored
    int waiting_ = 0;
    uint64_t received_ = 0;
    uint64_t rows_without_target_ = 0;
    uint64_t rows_with_unknown_label_ = 0;
    std::vector<float> predictions_;
    std::vector<int32_t> classes_;
    std::vector<double> values_;
    std::vector<float> weights_;
};

Json Evaluate(const std::string& model, const std::string& source_text, const Json& options_given) {
    const EvaluateOptions options = EvaluateOptions::Parse(options_given);
    const VersionIdentity identity = ResolveVersion(ParseModelReference(model), Privilege::kPredict);
    const std::shared_ptr<Scorer> scorer = AcquireScorer(identity);
    const TargetEncoder& target = scorer->model().target;
    if (target.task() != Task::kBinary && options.threshold)
        ThrowOption("option \"threshold\" is for models of two classes");
    Source source = Source::Open(source_text);
    EvaluationSink sink(source, scorer.get(), options);
    source.Read(&sink);
    sink.Finish();

    Json result = Json::object();
    result["model"] = ToUtf8(identity.model);
    result["version"] = identity.version;
    result["task"] = TaskName(target.task());
    result["target"] = target.column();
    if (target.task() == Task::kBinary)
        result["positive_class"] = target.labels()[1];
    if (sink.rows_without_target() > 0)
        result["rows_without_target"] = sink.rows_without_target();
    if (sink.rows_with_unknown_label() > 0)
        result["rows_with_unknown_label"] = sink.rows_with_unknown_label();
    Json metrics = sink.Metrics(options.threshold.value_or(0.5));
    for (auto& [name, value] : metrics.items())
        result[name] = std::move(value);
    if (options.store)
        result["evaluation"] = StoreEvaluation(identity, source_text, result, options_given);
    return result;
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_evaluate) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = RequiredText(fcinfo, 0, "model");
        const std::string source = RequiredText(fcinfo, 1, "source");
        return JsonbDatum(Evaluate(
            model, source, PG_ARGISNULL(2) ? dlent::Json::object() : JsonFromDatum(PG_GETARG_DATUM(2))));
    });
}
