// dlent_verify_explanation: a stored explanation made again, and compared byte by byte.

#include "pg/bridge/postgres.h"

#include "core/explain/explanation_rows.h"
#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/memory.h"
#include "pg/bridge/text.h"
#include "pg/catalog/lookup.h"
#include "pg/explain/explanation_store.h"
#include "pg/explain/prepared_explainer.h"
#include "pg/explain/reason_codes.h"
#include "pg/functions/feature_arguments.h"

extern "C" {
#include "utils/fmgrprotos.h"
}

namespace dlent::pg {
namespace {

/// The version that was explained, as long as it is there; the current user must be allowed to explain it.
VersionIdentity ResolveStored(const StoredExplanation& stored) {
    const std::string& name = stored.model;
    CallPostgres([&] {
        FoundModel model;
        if (!FindModel(name.c_str(), &model) || model.id != stored.model_id)
            ereport(ERROR,
                    (errcode(ERRCODE_UNDEFINED_OBJECT),
                     errmsg("the model \"%s\" of the explanation does not exist any more", name.c_str()),
                     errdetail("It was dropped, so nothing can be computed again. The explanation itself "
                               "is kept.")));
        FoundVersion version;
        if (HasPrivilege(model, Privilege::kExplain) &&
            !FindVersionIfAllowed(name.c_str(), stored.version, Privilege::kExplain, &version))
            ereport(
                ERROR,
                (errcode(ERRCODE_UNDEFINED_OBJECT),
                 errmsg("version %d of model \"%s\" does not exist any more", stored.version, name.c_str()),
                 errdetail("It was dropped, so nothing can be computed again. The explanation itself "
                           "is kept.")));
    });
    return ResolveExplained({name, stored.version});
}

/// The stored inputs in the order of training: jsonb has its own.
Json InOrder(const Json& input, const Pipeline& pipeline) {
    Json ordered = Json::object();
    if (!input.is_object())
        return ordered;
    for (const PipelineInput& wanted : pipeline.inputs()) {
        if (input.contains(wanted.name))
            ordered[wanted.name] = input[wanted.name];
    }
    return ordered;
}

bool SameJsonb(Datum stored, const Json& expected) {
    const Datum wanted = JsonbDatum(expected);
    return CallPostgres([=] { return DatumGetBool(DirectFunctionCall2(jsonb_eq, stored, wanted)); });
}

std::string JsonbText(const Json& json) {
    const Datum datum = JsonbDatum(json);
    return CallPostgres([datum] {
        Jsonb* value = DatumGetJsonbP(datum);
        return static_cast<const char*>(JsonbToCString(nullptr, &value->root, VARSIZE(value)));
    });
}

/// The explainer as it was, or nothing when what is stored of it makes no sense.
std::unique_ptr<PreparedExplainer> Restore(const VersionIdentity& identity, const StoredExplanation& stored) {
    const Expected<ExplainOptions> options =
        ExplainOptions::Parse(stored.method, ExplainOptions::Use::kReplay);
    if (!options.ok() || identity.digest != stored.digest || !stored.codes.is_array())
        return nullptr;
    std::vector<ReasonCode> codes;
    for (const Json& entry : stored.codes) {
        Expected<ReasonCode> code = ReasonCode::FromJson(entry);
        if (!code.ok())
            return nullptr;
        codes.push_back(std::move(*code));
    }
    try {
        return std::make_unique<PreparedExplainer>(identity, *options, std::move(codes));
    } catch (const SqlError& error) {
        // options that do not fit the version are not those that the explanation was made with
        if (error.sqlstate() == ERRCODE_INVALID_PARAMETER_VALUE)
            return nullptr;
        throw;
    }
}

bool Verify(Datum id) {
    const StoredExplanation stored = ReadExplanation(id);
    const VersionIdentity identity = ResolveStored(stored);
    const std::unique_ptr<PreparedExplainer> explainer = Restore(identity, stored);
    if (explainer == nullptr || !stored.signature_fits)
        return false;
    const Pipeline& pipeline = explainer->model().pipeline;
    const Json input = InOrder(stored.input, pipeline);
    Json row = {{"seed", explainer->options().seed}, {"input_hash", InputSha256(input)}};
    // inputs that are not those of the hash are not worth computing with
    const Datum expected = JsonbDatum(row);
    if (input.size() != pipeline.inputs().size() || input.size() != stored.input.size() || !CallPostgres([&] {
            return DatumGetBool(DirectFunctionCall2(jsonb_contains, stored.row, expected));
        }))
        return false;
    const MemoryContext context = CurrentMemoryContext;
    const std::unique_ptr<FeatureArguments> arguments =
        FeatureArguments::OfJsonb(pipeline, identity.model, context);
    std::vector<Cell> cells(static_cast<size_t>(std::max(explainer->cell_count(), 1)));
    const Datum object = JsonbDatum(input);
    CallPostgres([&] { arguments->ReadObject(DatumGetJsonbP(object), cells.data()); });

    const Json document = explainer->Explain(cells.data(), input);
    row.update(ExplanationRow(document));
    return JsonbText(document) == stored.document && SameJsonb(stored.row, row) &&
           SameJsonb(stored.features, FeatureRows(document)) &&
           SameJsonb(stored.counterfactuals, CounterfactualRows(document));
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_verify_explanation) {
    using namespace dlent::pg;
    return Entry(fcinfo, [fcinfo] { return BoolGetDatum(Verify(PG_GETARG_DATUM(0))); });
}
