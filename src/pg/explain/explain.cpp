// dlent_explain: why one row gets its answer.

#include "pg/bridge/postgres.h"

#include <optional>

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
#include "pg/rollout/arm_choice.h"
#include "pg/rollout/named_text.h"
#include "pg/rollout/resolved_model.h"
#include "pg/source/canonical_inputs.h"

namespace dlent::pg {
namespace {

/// What a call site keeps between rows.
class ExplainSite {
 public:
    explicit ExplainSite(MemoryContext context) : context_(context) {}

    Json Explain(FunctionCallInfo fcinfo) {
        Prepare(fcinfo);
        Version& version = Answering(fcinfo);
        const PreparedExplainer& explainer = *version.explainer;
        // what reading the row leaves behind goes with the row
        const ContextScope scope(row_context_);
        const int inputs = static_cast<int>(version.given.size());
        CallPostgres([&] {
            version.arguments->Read(fcinfo, version.cells.data());
            version.arguments->ReadGiven(fcinfo, version.given.data());
        });
        for (int i = 0; i < inputs; ++i)
            version.values[i] = {version.given[i].value, version.given[i].is_null, version.given[i].type};
        const Json values = version.inputs->Read(version.values.data(), version.cells.data());
        Json document = explainer.Explain(version.cells.data(), values);
        const TimestampTz now = GetCurrentTimestamp();
        const std::string id = NewExplanationId();
        const ExplainOptions& options = explainer.options();
        if (options.store)
            StoreExplanations(explainer, "dlent_explain()", now,
                              {{.id = id,
                                .key = options.key,
                                .input = values,
                                .codes = CodesUsed(document, explainer.codes()),
                                .document = document}});
        Sign(&document, id, now, CurrentRole());
        return document;
    }

 private:
    /// One that rows of the call are explained by, once there is such a row.
    struct Version {
        std::unique_ptr<PreparedExplainer> explainer;
        std::unique_ptr<FeatureArguments> arguments;
        std::unique_ptr<CanonicalInputs> inputs;
        std::vector<Cell> cells;
        std::vector<FeatureArguments::Given> given;
        std::vector<CanonicalInputs::Value> values;
    };

    void Prepare(FunctionCallInfo fcinfo) {
        const std::string name = RequiredText(fcinfo, 0, "model");
        const std::string options =
            PG_ARGISNULL(2) ? std::string("{}") : JsonFromDatum(PG_GETARG_DATUM(2)).dump();
        if (!versions_.empty() && key_ == ResolutionKey::Current() && name == name_ && options == options_)
            return;
        key_ = {};
        unit_.reset();
        versions_.clear();
        resolved_ = ResolveModel(ParseModelReference(name), Privilege::kExplain);
        codes_ = ReadReasonCodes(resolved_.model_id);
        const ResolutionKey key = ResolutionKey::Current();
        CallPostgres([this] {
            if (call_context_ == nullptr) {
                call_context_ = AllocSetContextCreate(context_, "dlent explain call", ALLOCSET_DEFAULT_SIZES);
                row_context_ = AllocSetContextCreate(context_, "dlent explain row", ALLOCSET_DEFAULT_SIZES);
            }
            MemoryContextReset(call_context_);
        });
        options_ = options;
        CheckForm(fcinfo);
        std::vector<Version> versions(resolved_.arms.size());
        Load(fcinfo, resolved_.champion(), &versions.front());
        choice_.emplace(resolved_);
        if (!resolved_.unit.empty())
            unit_.emplace(resolved_.unit, FeatureSource(), fcinfo, *versions.front().arguments,
                          resolved_.champion(), call_context_);
        versions_ = std::move(versions);
        name_ = name;
        key_ = key;
    }

    void Load(FunctionCallInfo fcinfo, const VersionIdentity& identity, Version* version) const {
        auto explainer = std::make_unique<PreparedExplainer>(
            identity,
            ValueOrThrow(ExplainOptions::Parse(ParseJson(FromUtf8(options_)), ExplainOptions::Use::kRow)),
            codes_);
        const Pipeline& pipeline = explainer->model().pipeline;
        version->arguments = std::make_unique<FeatureArguments>(
            fcinfo, 1, pipeline, identity.model_id, identity.version, identity.model, call_context_, 1);
        version->inputs = std::make_unique<CanonicalInputs>(pipeline, call_context_);
        version->cells.resize(static_cast<size_t>(std::max(explainer->cell_count(), 1)));
        version->given.resize(pipeline.inputs().size());
        version->values.resize(pipeline.inputs().size());
        version->explainer = std::move(explainer);
    }

    /// The version that dlent_predict() has answer the row: the champion, or the arm of a rollout that the
    /// row's unit belongs to. Begins the row.
    Version& Answering(FunctionCallInfo fcinfo) {
        int arm = 0;
        {
            const ContextScope scope(row_context_);
            arm = CallPostgres([&] {
                MemoryContextReset(row_context_);
                return unit_.has_value() ? choice_->OfUnit(unit_->Read({.call = fcinfo})) : 0;
            });
        }
        const auto place = static_cast<size_t>(std::max(arm, 0));
        if (versions_[place].explainer == nullptr)
            Load(fcinfo, resolved_.arms[place].version, &versions_[place]);
        return versions_[place];
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
    ResolvedModel resolved_;
    std::vector<ReasonCode> codes_;
    std::optional<ArmChoice> choice_;
    std::optional<NamedText> unit_;
    std::vector<Version> versions_;  ///< of each arm
    MemoryContext call_context_ = nullptr;
    MemoryContext row_context_ = nullptr;
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
