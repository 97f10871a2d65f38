// dlent_explain: why one row gets its answer.

#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/memory.h"
#include "pg/bridge/text.h"
#include "pg/catalog/resolution_key.h"
#include "pg/explain/explanation_store.h"
#include "pg/explain/prepared_explainer.h"
#include "pg/explain/reason_codes.h"
#include "pg/functions/arguments.h"
#include "pg/functions/feature_arguments.h"
#include "pg/source/canonical_inputs.h"

namespace dlent::pg {
namespace {

/// What a call site keeps between rows.
class ExplainSite {
 public:
    explicit ExplainSite(MemoryContext context) : context_(context) {}

    Json Explain(FunctionCallInfo fcinfo) {
        Prepare(fcinfo);
        // what reading the row leaves behind goes with the row
        const ContextScope scope(row_context_);
        const int inputs = static_cast<int>(given_.size());
        CallPostgres([&] {
            MemoryContextReset(row_context_);
            arguments_->Read(fcinfo, cells_.data());
            arguments_->ReadGiven(fcinfo, given_.data());
        });
        for (int i = 0; i < inputs; ++i)
            values_[i] = {given_[i].value, given_[i].is_null, given_[i].type};
        const Json values = inputs_->Read(values_.data(), cells_.data());
        Json document = explainer_->Explain(cells_.data(), values);
        const TimestampTz now = GetCurrentTimestamp();
        const std::string id = NewExplanationId();
        const ExplainOptions& options = explainer_->options();
        if (options.store)
            StoreExplanations(*explainer_, "dlent_explain()", now,
                              {{.id = id,
                                .key = options.key,
                                .input = values,
                                .codes = CodesUsed(document, explainer_->codes()),
                                .document = document}});
        Sign(&document, id, now, CurrentRole());
        return document;
    }

 private:
    void Prepare(FunctionCallInfo fcinfo) {
        const std::string name = RequiredText(fcinfo, 0, "model");
        const std::string options =
            PG_ARGISNULL(2) ? std::string("{}") : JsonFromDatum(PG_GETARG_DATUM(2)).dump();
        if (explainer_ != nullptr && key_ == ResolutionKey::Current() && name == name_ && options == options_)
            return;
        key_ = {};
        const VersionIdentity identity = ResolveExplained(ParseModelReference(name));
        std::vector<ReasonCode> codes = ReadReasonCodes(identity.model_id);
        const ResolutionKey key = ResolutionKey::Current();
        arguments_.reset();
        inputs_.reset();
        explainer_ = std::make_unique<PreparedExplainer>(
            identity,
            ValueOrThrow(ExplainOptions::Parse(ParseJson(FromUtf8(options)), ExplainOptions::Use::kRow)),
            std::move(codes));
        CallPostgres([this] {
            if (call_context_ == nullptr) {
                call_context_ = AllocSetContextCreate(context_, "dlent explain call", ALLOCSET_DEFAULT_SIZES);
                row_context_ = AllocSetContextCreate(context_, "dlent explain row", ALLOCSET_DEFAULT_SIZES);
            }
            MemoryContextReset(call_context_);
        });
        const Pipeline& pipeline = explainer_->model().pipeline;
        CheckForm(fcinfo);
        arguments_ = std::make_unique<FeatureArguments>(fcinfo, 1, pipeline, identity.model_id,
                                                        identity.version, identity.model, call_context_, 1);
        inputs_ = std::make_unique<CanonicalInputs>(pipeline, call_context_);
        cells_.resize(static_cast<size_t>(std::max(explainer_->cell_count(), 1)));
        given_.resize(pipeline.inputs().size());
        values_.resize(pipeline.inputs().size());
        name_ = name;
        options_ = options;
        key_ = key;
    }

    static void CheckForm(FunctionCallInfo fcinfo) {
        const bool known = CallPostgres([fcinfo] {
            const Oid type = getBaseType(get_fn_expr_argtype(fcinfo->flinfo, 1));
            return type == JSONBOID || type_is_rowtype(type);
        });
        if (!known)
            throw SqlError(ERRCODE_DATATYPE_MISMATCH, "the features must be one record or one jsonb object",
                           {},
                           "As in dlent_explain('model', t) FROM t, or dlent_explain('model', "
                           "'{\"column\": 1}'::jsonb).");
    }

    const MemoryContext context_;
    ResolutionKey key_;
    std::string name_;
    std::string options_;
    std::unique_ptr<PreparedExplainer> explainer_;
    MemoryContext call_context_ = nullptr;
    MemoryContext row_context_ = nullptr;
    std::unique_ptr<FeatureArguments> arguments_;
    std::unique_ptr<CanonicalInputs> inputs_;
    std::vector<Cell> cells_;
    std::vector<FeatureArguments::Given> given_;
    std::vector<CanonicalInputs::Value> values_;
};

ExplainSite* SiteOf(FunctionCallInfo fcinfo) {
    FmgrInfo* function = fcinfo->flinfo;
    if (function->fn_extra == nullptr)
        function->fn_extra = Own(function->fn_mcxt, std::make_unique<ExplainSite>(function->fn_mcxt));
    return static_cast<ExplainSite*>(function->fn_extra);
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_explain) {
    using namespace dlent::pg;
    return Entry(fcinfo, [fcinfo] {
        if (PG_ARGISNULL(0) || PG_ARGISNULL(1)) {
            fcinfo->isnull = true;
            return Datum{0};
        }
        return JsonbDatum(SiteOf(fcinfo)->Explain(fcinfo));
    });
}
