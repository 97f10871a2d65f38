// dlent_explain_table: the rows of a source, explained in bulk and stored under their keys.

#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/memory.h"
#include "pg/bridge/text.h"
#include "pg/explain/explanation_store.h"
#include "pg/explain/prepared_explainer.h"
#include "pg/explain/reason_codes.h"
#include "pg/functions/arguments.h"
#include "pg/functions/progress.h"
#include "pg/source/canonical_inputs.h"
#include "pg/source/pipeline_coder.h"
#include "pg/source/source.h"

namespace dlent::pg {
namespace {

constexpr const char* kCommand = "dlent_explain_table()";

/// Explains rows as they come, a block at a time, and stores each block.
class ExplanationSink final : public RowSink {
 public:
    ExplanationSink(const Source& source, const std::string& key, PreparedExplainer* explainer,
                    ProgressDisplay* display)
        : explainer_(explainer), display_(display), coder_(explainer->model().pipeline) {
        scratch_ = CallPostgres([] {
            return AllocSetContextCreate(CurrentMemoryContext, "dlent row explaining",
                                         ALLOCSET_DEFAULT_SIZES);
        });
        planned_ = CallPostgres([] {
            return AllocSetContextCreate(CurrentMemoryContext, "dlent row decoding", ALLOCSET_DEFAULT_SIZES);
        });
        const ContextScope scope(planned_);
        const Pipeline& pipeline = explainer->model().pipeline;
        std::vector<RowDecoder::Column> columns;
        for (int i = 0; i < static_cast<int>(pipeline.inputs().size()); ++i) {
            const std::string name = FromUtf8(pipeline.inputs()[i].name);
            const int attribute = source.Require(name, "feature");
            columns.push_back({attribute, ValueDecoder::Create(TargetOfInput(pipeline, i, name, &coder_),
                                                               source.columns()[attribute].type)});
            attributes_.push_back(attribute);
            types_.push_back(source.columns()[attribute].type);
        }
        features_ = RowDecoder(std::move(columns));
        inputs_ = std::make_unique<CanonicalInputs>(pipeline, planned_);
        key_attribute_ = source.Require(key, "key");
        const Oid key_type = source.columns()[key_attribute_].type;
        key_output_ = CallPostgres([key_type] {
            Oid output = InvalidOid;
            bool is_varlena = false;
            getTypeOutputInfo(key_type, &output, &is_varlena);
            auto* function = static_cast<FmgrInfo*>(palloc(sizeof(FmgrInfo)));
            fmgr_info(output, function);
            return function;
        });
        needed_ = std::max(features_.attributes_needed(), key_attribute_ + 1);
        values_.resize(types_.size());
    }

    void Receive(TupleTableSlot* slot) override {
        const ContextScope scope(scratch_);
        Row row;
        row.cells.resize(static_cast<size_t>(std::max(explainer_->cell_count(), 1)));
        const char* key = CallPostgres([&]() -> const char* {
            slot_getsomeattrs(slot, needed_);
            features_.Decode(slot->tts_values, slot->tts_isnull, row.cells.data());
            return slot->tts_isnull[key_attribute_]
                       ? nullptr
                       : OutputFunctionCall(key_output_, slot->tts_values[key_attribute_]);
        });
        ++received_;
        if (key == nullptr)
            throw SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED,
                           "the key of row " + std::to_string(received_) + " of the source is NULL", {},
                           "Every row needs a key to be found by.");
        for (size_t i = 0; i < values_.size(); ++i)
            values_[i] = {slot->tts_values[attributes_[i]], slot->tts_isnull[attributes_[i]], types_[i]};
        row.key = ToUtf8(key);
        row.input = inputs_->Read(values_.data(), row.cells.data());
        waiting_.push_back(std::move(row));
        if (waiting_.size() == kBlockRows)
            ExplainBlock();
        MemoryContextReset(scratch_);
    }

    /// Explains what is left.
    void Finish() {
        if (!waiting_.empty())
            ExplainBlock();
        CallPostgres([this] {
            MemoryContextDelete(scratch_);
            MemoryContextDelete(planned_);
        });
    }

    int64_t explained() const { return explained_; }

 private:
    static constexpr size_t kBlockRows = 256;

    struct Row {
        std::string key;
        std::vector<Cell> cells;
        Json input;
    };

    void ExplainBlock() {
        const ContextScope scope(scratch_);
        std::vector<bool> stored(waiting_.size());
        if (explainer_->options().resume) {
            std::vector<StoredKey> keys;
            for (const Row& row : waiting_)
                keys.push_back({row.key, InputSha256(row.input)});
            stored = FindStored(*explainer_, keys);
        }
        std::vector<NewExplanation> explanations;
        for (size_t i = 0; i < waiting_.size(); ++i) {
            if (stored[i])
                continue;
            Json document = explainer_->Explain(waiting_[i].cells.data(), waiting_[i].input);
            std::vector<ReasonCode> codes = CodesUsed(document, explainer_->codes());
            explanations.push_back({NewExplanationId(), std::move(waiting_[i].key),
                                    std::move(waiting_[i].input), std::move(codes), std::move(document)});
        }
        if (!explanations.empty())
            StoreExplanations(*explainer_, kCommand, GetCurrentTimestamp(), explanations);
        explained_ += static_cast<int64_t>(explanations.size());
        waiting_.clear();
        display_->ShowReading(received_);
    }

    PreparedExplainer* const explainer_;
    ProgressDisplay* const display_;
    PipelineCoder coder_;
    MemoryContext scratch_ = nullptr;  ///< of a row, and of a block
    MemoryContext planned_ = nullptr;  ///< how rows are read
    RowDecoder features_;
    std::vector<int> attributes_;
    std::vector<Oid> types_;
    std::vector<CanonicalInputs::Value> values_;
    std::unique_ptr<CanonicalInputs> inputs_;
    int key_attribute_ = 0;
    FmgrInfo* key_output_ = nullptr;
    int needed_ = 0;
    std::vector<Row> waiting_;
    uint64_t received_ = 0;
    int64_t explained_ = 0;
};

int64_t ExplainTable(const std::string& model, const std::string& source_text, const std::string& key,
                     const ExplainOptions& options) {
    const VersionIdentity identity = ResolveExplained(ParseModelReference(model));
    ProgressDisplay display(identity.model);
    display.ShowPhase("explaining");
    Source source = Source::Open(source_text);
    PreparedExplainer explainer(identity, options, ReadReasonCodes(identity.model_id));
    ExplanationSink sink(source, key, &explainer, &display);
    source.Read(&sink);
    sink.Finish();
    return sink.explained();
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_explain_table) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = RequiredText(fcinfo, 0, "model");
        const std::string source = RequiredText(fcinfo, 1, "source");
        const std::string key = RequiredText(fcinfo, 2, "key", "Name the column that identifies a row.");
        const dlent::ExplainOptions options = ValueOrThrow(dlent::ExplainOptions::Parse(
            PG_ARGISNULL(3) ? dlent::Json::object() : JsonFromDatum(PG_GETARG_DATUM(3)),
            dlent::ExplainOptions::Use::kTable));
        CallPostgres([] {
            PreventCommandIfReadOnly(kCommand);
            PreventCommandDuringRecovery(kCommand);
            PreventCommandIfParallelMode(kCommand);
        });
        return Int64GetDatum(ExplainTable(model, source, key, options));
    });
}
