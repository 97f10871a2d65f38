#include "pg/bridge/postgres.h"

#include "pg/explain/explanation_store.h"

#include "core/base/json_text.h"
#include "core/explain/explanation_rows.h"
#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/memory.h"
#include "pg/bridge/text.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/writer.h"

extern "C" {
#include "utils/datum.h"
#include "utils/uuid.h"
}

namespace dlent::pg {
namespace {

/// What the statements need, in PostgreSQL's terms. Nothing here has a destructor.
struct StoreRequest {
    const char* command;
    int64_t model_id;
    const char* model;
    int version;
    VersionDigest digest;
    int64_t seed;
    Datum method;
    const char* retain;  ///< or null
    TimestampTz at;
    const char* role;
    Datum explanations;  ///< json arrays of rows: read once, where jsonb would be built and taken apart
    Datum features;
    Datum counterfactuals;
};

void Store(const StoreRequest& request) {
    CatalogWrite write;
    BeginCatalogWrite(request.command, &write);
    const Parameter parameters[] = {Of(JSONOID, request.explanations),
                                    Int8(request.model_id),
                                    Text(request.model),
                                    Int4(request.version),
                                    Of(UUIDOID, UuidOfDigest(request.digest)),
                                    Int8(request.seed),
                                    Of(JSONBOID, request.method),
                                    Of(TIMESTAMPTZOID, TimestampTzGetDatum(request.at)),
                                    Text(request.role),
                                    Text(request.retain)};
    Execute(
        "INSERT INTO dlent.explanation (id, model_id, model, version, digest, entity_key, class, predicted, "
        "probability, threshold, prediction, baseline, local_prediction, residual, fidelity_r2, "
        "min_rank_gap_z, grade, probe_id, seed, method, input, input_hash, codes, document, at, by, "
        "expires_at) "
        "SELECT r.id, $2, $3, $4, $5, r.entity_key, r.class, r.predicted, r.probability, r.threshold, "
        "r.prediction, r.baseline, r.local_prediction, r.residual, r.fidelity_r2, r.min_rank_gap_z, r.grade, "
        "r.probe_id, $6, $7, r.input, r.input_hash, r.codes, r.document, $8, $9::pg_catalog.name, "
        "$8 + $10::pg_catalog.interval "
        "FROM pg_catalog.json_to_recordset($1) AS r (id uuid, entity_key text, class text, predicted text, "
        "probability float8, threshold float8, prediction float8, baseline float8, local_prediction float8, "
        "residual float8, fidelity_r2 float8, min_rank_gap_z float8, grade text, probe_id uuid, "
        "input jsonb, "
        "input_hash text, codes jsonb, document jsonb)",
        parameters);
    const Parameter features[] = {Of(JSONOID, request.features)};
    Execute(
        "INSERT INTO dlent.explanation_feature (id, label, class, rank, feature, value_text, value_num, "
        "condition, contribution, std_error, direction, rank_tied, reason_code, reason_text) "
        "SELECT r.* FROM pg_catalog.json_to_recordset($1) AS r (id uuid, label int, class text, rank int, "
        "feature text, value_text text, value_num float8, condition text, contribution float8, "
        "std_error float8, direction text, rank_tied boolean, reason_code text, reason_text text)",
        features);
    if (request.counterfactuals != 0) {
        const Parameter counterfactuals[] = {Of(JSONOID, request.counterfactuals)};
        Execute(
            "INSERT INTO dlent.explanation_counterfactual (id, n, position, feature, \"from\", \"to\", "
            "new_value, class, value, flips) "
            "SELECT r.* FROM pg_catalog.json_to_recordset($1) AS r (id uuid, n int, position int, "
            "feature text, \"from\" text, \"to\" text, new_value float8, class text, value float8, "
            "flips boolean)",
            counterfactuals);
    }
    EndCatalogWrite(write, false);
}

void AppendWithId(const std::string& id, Json rows, Json* all) {
    for (Json& row : rows) {
        row["id"] = id;
        all->push_back(std::move(row));
    }
}

/// Of the columns of one row of a result, in `context`, which outlives SPI.
Datum CopyOut(int column, bool by_value, int length, MemoryContext context) {
    bool is_null = true;
    const Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &is_null);
    if (is_null)
        return 0;
    MemoryContext previous = MemoryContextSwitchTo(context);
    const Datum copy =
        length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(value)) : datumCopy(value, by_value, length);
    MemoryContextSwitchTo(previous);
    return copy;
}

/// Columns of a stored explanation as they come out of SPI.
struct Columns {
    bool found;
    int64_t model_id;
    int version;
    Datum model;
    Datum digest;
    Datum method;
    Datum input;
    Datum codes;
    Datum document;
    bool signature_fits;
    Datum row;
    Datum features;
    Datum counterfactuals;
};

Columns ReadColumns(Datum id) {
    MemoryContext context = CurrentMemoryContext;
    const bool pushed = !ActiveSnapshotSet();
    if (pushed)
        PushActiveSnapshot(GetTransactionSnapshot());
    CatalogWrite read;
    BeginCatalogRead(&read);
    // floats become JSON with all their digits; the setting goes with the read
    (void)set_config_option("extra_float_digits", "1", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
    const Parameter parameters[] = {Of(UUIDOID, id)};
    Columns columns{};
    columns.found =
        ExecuteReadOnly(
            "SELECT e.model_id, e.version, e.model, e.digest, e.method, e.input, e.codes, "
            "(((e.document - 'id') #- '{audit,at}') #- '{audit,by}') #- '{audit,extension}', "
            "COALESCE(e.document ->> 'id' = e.id::pg_catalog.text "
            "    AND e.document #>> '{audit,by}' = e.by::pg_catalog.text "
            "    AND (e.document #>> '{audit,at}')::pg_catalog.timestamptz = e.at, false), "
            "pg_catalog.jsonb_build_object('class', e.class, 'predicted', e.predicted, 'probability', "
            "    e.probability, 'threshold', e.threshold, 'prediction', e.prediction, 'baseline', "
            "e.baseline, "
            "    'local_prediction', e.local_prediction, 'residual', e.residual, 'fidelity_r2', "
            "e.fidelity_r2, "
            "    'min_rank_gap_z', e.min_rank_gap_z, 'grade', e.grade, 'probe_id', e.probe_id, 'seed', "
            "e.seed, "
            "    'input_hash', e.input_hash), "
            "(SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(f) - 'id' ORDER BY f.label, f.rank), "
            "'[]') "
            "    FROM dlent.explanation_feature AS f WHERE f.id = e.id), "
            "(SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(c) - 'id' ORDER BY c.n, c.position), "
            "'[]') "
            "    FROM dlent.explanation_counterfactual AS c WHERE c.id = e.id) "
            "FROM dlent.explanation AS e WHERE e.id = $1",
            parameters) > 0;
    if (columns.found) {
        columns.model_id = DatumGetInt64(Result(0, 1));
        columns.version = DatumGetInt32(Result(0, 2));
        columns.model = CopyOut(3, false, -1, context);
        columns.digest = CopyOut(4, false, UUID_LEN, context);
        columns.method = CopyOut(5, false, -1, context);
        columns.input = CopyOut(6, false, -1, context);
        columns.codes = CopyOut(7, false, -1, context);
        columns.document = CopyOut(8, false, -1, context);
        columns.signature_fits = DatumGetBool(Result(0, 9));
        columns.row = CopyOut(10, false, -1, context);
        columns.features = CopyOut(11, false, -1, context);
        columns.counterfactuals = CopyOut(12, false, -1, context);
    }
    EndCatalogRead(read);
    if (pushed)
        PopActiveSnapshot();
    return columns;
}

}  // namespace

std::string CurrentRole() {
    return CallPostgres([] { return static_cast<const char*>(GetUserNameFromId(GetUserId(), false)); });
}

void StoreExplanations(const PreparedExplainer& explainer, const char* command, TimestampTz at,
                       const std::vector<NewExplanation>& explanations) {
    const VersionIdentity& identity = explainer.identity();
    const ExplainOptions& options = explainer.options();
    const std::string role = CurrentRole();
    Json rows = Json::array();
    Json features = Json::array();
    Json counterfactuals = Json::array();
    for (const NewExplanation& explanation : explanations) {
        Json row = ExplanationRow(explanation.document);
        AppendWithId(explanation.id, FeatureRows(explanation.document), &features);
        AppendWithId(explanation.id, CounterfactualRows(explanation.document), &counterfactuals);
        Json codes = Json::array();
        for (const ReasonCode& code : explanation.codes)
            codes.push_back(code.ToJson());
        Json document = explanation.document;
        Sign(&document, explanation.id, at, role);
        row["id"] = explanation.id;
        row["entity_key"] = explanation.key ? Json(*explanation.key) : Json();
        row["input"] = explanation.input;
        row["input_hash"] = explanation.document["audit"]["input_sha256"];
        row["codes"] = std::move(codes);
        row["document"] = std::move(document);
        rows.push_back(std::move(row));
    }
    const std::string retain = options.retain ? FromUtf8(*options.retain) : std::string();
    MemoryContext storing = CallPostgres([] {
        return AllocSetContextCreate(CurrentMemoryContext, "dlent explanation store", ALLOCSET_DEFAULT_SIZES);
    });
    {
        const ContextScope scope(storing);
        const StoreRequest request = {
            .command = command,
            .model_id = identity.model_id,
            .model = identity.model.c_str(),
            .version = identity.version,
            .digest = identity.digest,
            .seed = static_cast<int64_t>(options.seed),
            .method = JsonbDatum(options.ToJson()),
            .retain = options.retain ? retain.c_str() : nullptr,
            .at = at,
            .role = role.c_str(),
            .explanations = TextDatum(FromUtf8(JsonText(rows))),
            .features = TextDatum(FromUtf8(JsonText(features))),
            .counterfactuals =
                counterfactuals.empty() ? Datum{0} : TextDatum(FromUtf8(JsonText(counterfactuals)))};
        CallPostgres([&request] { Store(request); });
    }
    CallPostgres([storing] { MemoryContextDelete(storing); });
}

std::vector<bool> FindStored(const PreparedExplainer& explainer, const std::vector<StoredKey>& keys) {
    std::vector<bool> found(keys.size());
    Json wanted = Json::array();
    for (size_t i = 0; i < keys.size(); ++i)
        wanted.push_back({{"n", i}, {"key", keys[i].key}, {"hash", keys[i].input_hash}});
    MemoryContext searching = CallPostgres([] {
        return AllocSetContextCreate(CurrentMemoryContext, "dlent explanation search",
                                     ALLOCSET_DEFAULT_SIZES);
    });
    {
        const ContextScope scope(searching);
        const Datum wanted_json = JsonbDatum(wanted);
        const Datum method = JsonbDatum(explainer.options().ToJson());
        const VersionIdentity& identity = explainer.identity();
        struct Numbers {
            const int* values;
            uint64_t count;
        };
        const auto numbers = CallPostgres([&] {
            MemoryContext context = CurrentMemoryContext;
            CatalogWrite read;
            BeginCatalogRead(&read);
            const Parameter parameters[] = {Of(JSONBOID, wanted_json), Int8(identity.model_id),
                                            Int4(identity.version),
                                            Of(UUIDOID, UuidOfDigest(identity.digest)), Of(JSONBOID, method)};
            // not read only: what this statement has stored so far counts too
            const uint64_t count = Execute(
                "SELECT r.n FROM pg_catalog.jsonb_to_recordset($1) AS r (n int, key text, hash text) "
                "WHERE EXISTS (SELECT FROM dlent.explanation AS e WHERE e.model_id = $2 "
                "    AND e.entity_key = r.key AND e.version = $3 AND e.digest = $4 "
                "    AND e.input_hash = r.hash AND e.method = $5 "
                "    AND (e.expires_at IS NULL OR e.expires_at > pg_catalog.now()))",
                parameters);
            auto* values = static_cast<int*>(MemoryContextAlloc(context, sizeof(int) * (count + 1)));
            for (uint64_t i = 0; i < count; ++i)
                values[i] = DatumGetInt32(Result(i, 1));
            EndCatalogRead(read);
            return Numbers{values, count};
        });
        for (uint64_t i = 0; i < numbers.count; ++i)
            found[static_cast<size_t>(numbers.values[i])] = true;
    }
    CallPostgres([searching] { MemoryContextDelete(searching); });
    return found;
}

StoredExplanation ReadExplanation(Datum id) {
    const Columns columns = CallPostgres([id] { return ReadColumns(id); });
    if (!columns.found)
        throw SqlError(ERRCODE_UNDEFINED_OBJECT,
                       std::string("explanation \"") + CallPostgres([id] {
                           return static_cast<const char*>(DigestText(DigestOfUuid(id)));
                       }) + "\" does not exist",
                       "It was never stored, or it was erased.");
    StoredExplanation stored;
    stored.model_id = columns.model_id;
    stored.model = TextOf(columns.model);
    stored.version = columns.version;
    stored.digest = DigestOfUuid(columns.digest);
    stored.method = JsonFromDatum(columns.method);
    stored.input = JsonFromDatum(columns.input);
    stored.codes = JsonFromDatum(columns.codes);
    stored.document = CallPostgres([&columns] {
        Jsonb* document = DatumGetJsonbP(columns.document);
        return static_cast<const char*>(JsonbToCString(nullptr, &document->root, VARSIZE(document)));
    });
    stored.signature_fits = columns.signature_fits;
    stored.row = columns.row;
    stored.features = columns.features;
    stored.counterfactuals = columns.counterfactuals;
    return stored;
}

}  // namespace dlent::pg
