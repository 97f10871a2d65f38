// Storing a trained version: every row of it, in the caller's transaction.

#include <algorithm>
#include <array>
#include <cmath>

#include "core/formats/sha256.h"
#include "pg/bridge/compat_rare.h"
#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/contract.h"
#include "pg/catalog/digest.h"
#include "pg/catalog/model_change.h"
#include "pg/catalog/models.h"

extern "C" {
#include "utils/array.h"
#include "utils/pg_lsn.h"
}

namespace dlent::pg {
namespace {

/// A replica that speaks SQL (a Citus node, a logical subscriber) gets a chunk as one literal.
constexpr size_t kChunkBytes = size_t{256} << 10;
/// A model that vanishes between two statements is tried again so often.
constexpr int kAttempts = 10;

/// What the statements need, in PostgreSQL's terms. Nothing here has a destructor.
struct StoreRequest {
    const char* model;
    const char* kind;
    const char* task;
    const char* target;
    Datum specification;
    Datum pipeline;
    const char* weights;
    size_t weights_bytes;
    const uint8_t* weights_sha256;
    Datum metrics;
    Datum details;
    Datum findings;
    Datum reference;
    Datum options;
    const char* device;
    const char* seed;
    const char* source;
    Oid relation;
    const Oid* relations;
    int relation_count;
    int64_t train_rows;
    int64_t validation_rows;
    int epochs;
    const char* snapshot;
    const char* lsn;
    const char* data_fingerprint;
    TimestampTz started_at;
    double seconds;
    ScoreCost score_cost;
    Datum explainer;
    bool promote;
    const EpochRecord* log;
    size_t log_count;
    ContractInputs inputs;
};

Parameter Bytes(const void* bytes, size_t size) {
    auto* value = static_cast<bytea*>(palloc(VARHDRSZ + size));
    SET_VARSIZE(value, VARHDRSZ + size);
    std::memcpy(VARDATA(value), bytes, size);
    return Of(BYTEAOID, PointerGetDatum(value));
}

/// [{"name": "public.t", "oid": 16400}, ...]
Datum DescribeRelations(const Oid* described, int count) {
    JsonbBuilder builder;
    builder.Push(WJB_BEGIN_ARRAY);
    for (int i = 0; i < count; ++i) {
        const char* name = get_rel_name(described[i]);
        if (name == nullptr)
            continue;
        const char* schema = get_namespace_name(get_rel_namespace(described[i]));
        const char* qualified = quote_qualified_identifier(schema, name);
        JsonbValue value;
        const auto push_string = [&](JsonbIteratorToken token, const char* string) {
            value.type = jbvString;
            value.val.string.val = pstrdup(string);
            value.val.string.len = static_cast<int>(std::strlen(string));
            builder.Push(token, &value);
        };
        builder.Push(WJB_BEGIN_OBJECT);
        push_string(WJB_KEY, "name");
        push_string(WJB_VALUE, qualified);
        push_string(WJB_KEY, "oid");
        value.type = jbvNumeric;
        value.val.numeric = int64_to_numeric(described[i]);
        builder.Push(WJB_VALUE, &value);
        builder.Push(WJB_END_OBJECT);
    }
    builder.Push(WJB_END_ARRAY);
    return builder.Result();
}

/// Takes the next number of the model, and with it the lock on its row; creates the model when it is new.
int TakeNumber(const StoreRequest& request, Oid caller, FoundModel* model) {
    const Parameter parameters[] = {Text(request.model), Of(OIDOID, ObjectIdGetDatum(caller))};
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        Execute("INSERT INTO dlent.model (name, owner) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
                parameters);
        if (Execute("UPDATE dlent.model SET versions = versions + 1 WHERE name = $1 "
                    "RETURNING id, owner, versions, champion, rollout",
                    parameters, 1) == 0)
            continue;
        model->id = DatumGetInt64(Result(0, 1));
        model->owner = DatumGetObjectId(Result(0, 2));
        model->champion = DatumGetInt32(Result(0, 4));
        model->rollout = DatumGetInt64(Result(0, 5));
        return DatumGetInt32(Result(0, 3));
    }
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("model \"%s\" keeps being dropped by other sessions", request.model)));
    pg_unreachable();
}

int64_t InsertVersion(const StoreRequest& request, int64_t model_id, int number, const char* caller) {
    const Parameter parameters[] = {
        Int8(model_id),
        Int4(number),
        Text(request.kind),
        Text(request.task),
        Text(request.target),
        Of(JSONBOID, request.specification),
        Of(JSONBOID, request.pipeline),
        Int8(static_cast<int64_t>(request.weights_bytes)),
        Bytes(request.weights_sha256, 32),
        Of(JSONBOID, request.metrics),
        Of(JSONBOID, request.details),
        Of(JSONBOID, request.findings),
        Of(JSONBOID, request.options),
        Text(request.device),
        Text(request.seed),
        Text(request.source),
        Of(JSONBOID, DescribeRelations(request.relations, request.relation_count)),
        Int8(request.train_rows),
        Int8(request.validation_rows),
        Int4(request.epochs),
        Text(request.snapshot),
        Text(request.lsn),
        Text(request.data_fingerprint),
        Text(DLENT_VERSION),
        Text(caller),
        Of(TIMESTAMPTZOID, TimestampTzGetDatum(request.started_at)),
        Float8(request.seconds),
        Of(UUIDOID, UuidOfDigest(ComputeDigest(DatumGetJsonbP(request.specification),
                                               DatumGetJsonbP(request.pipeline), request.weights_sha256))),
        Float8(request.score_cost.single),
        Float8(request.score_cost.batched),
        Of(JSONBOID, request.reference),
        Of(JSONBOID, request.explainer),
    };
    Execute(
        "INSERT INTO dlent.version (model_id, number, kind, task, target, specification, pipeline, "
        "weights_bytes, "
        "weights_sha256, metrics, details, findings, options, device, seed, source, relations, train_rows, "
        "validation_rows, epochs, snapshot, lsn, data_fingerprint, library_version, extension_version, "
        "server_version, trained_by, started_at, seconds, digest, score_us_single, score_us_batched, "
        "reference, explainer) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::pg_catalog.numeric, $16, "
        "$17, "
        "$18, $19, $20, $21::pg_catalog.pg_snapshot, $22::pg_catalog.pg_lsn, $23, $24, "
        "(SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'dlent'), "
        "pg_catalog.current_setting('server_version'), $25::pg_catalog.name, $26, $27, $28, $29, $30, $31, "
        "$32) "
        "RETURNING id",
        parameters);
    return DatumGetInt64(Result(0, 1));
}

void InsertWeights(const StoreRequest& request, int64_t version_id) {
    MemoryContext chunk_context =
        AllocSetContextCreate(CurrentMemoryContext, "dlent weight chunk", ALLOCSET_DEFAULT_SIZES);
    MemoryContext previous = MemoryContextSwitchTo(chunk_context);
    int sequence = 0;
    for (size_t offset = 0; offset < request.weights_bytes; offset += kChunkBytes, ++sequence) {
        const size_t size = std::min(kChunkBytes, request.weights_bytes - offset);
        const Parameter parameters[] = {Int8(version_id), Int4(sequence),
                                        Bytes(request.weights + offset, size)};
        Execute("INSERT INTO dlent.weight_chunk (version_id, sequence, data) VALUES ($1, $2, $3)",
                parameters);
        MemoryContextReset(chunk_context);
    }
    MemoryContextSwitchTo(previous);
    MemoryContextDelete(chunk_context);
}

template <typename Value>
Parameter Column(const StoreRequest& request, Oid array_type, Oid type, bool by_value, Value value) {
    auto* elements = static_cast<Datum*>(palloc(sizeof(Datum) * request.log_count));
    auto* nulls = static_cast<bool*>(palloc0(sizeof(bool) * request.log_count));
    for (size_t i = 0; i < request.log_count; ++i)
        elements[i] = value(request.log[i], &nulls[i]);
    int dimension = static_cast<int>(request.log_count);
    int lower = 1;
    return Of(array_type, PointerGetDatum(construct_md_array(
                              elements, nulls, 1, &dimension, &lower, type, type == INT4OID ? 4 : 8, by_value,
                              type == INT4OID ? TYPALIGN_INT : TYPALIGN_DOUBLE)));
}

void InsertLog(const StoreRequest& request, int64_t version_id) {
    if (request.log_count == 0)
        return;
    const auto integers = [&](auto member) {
        return Column(request, INT4ARRAYOID, INT4OID, true,
                      [member](const EpochRecord& record, bool*) { return Int32GetDatum(record.*member); });
    };
    const auto floats = [&](auto member) {
        return Column(request, FLOAT8ARRAYOID, FLOAT8OID, FLOAT8PASSBYVAL,
                      [member](const EpochRecord& record, bool* is_null) {
                          *is_null = std::isnan(record.*member);
                          return Float8GetDatum(record.*member);
                      });
    };
    const Parameter parameters[] = {Int8(version_id),
                                    integers(&EpochRecord::member),
                                    integers(&EpochRecord::epoch),
                                    floats(&EpochRecord::train_loss),
                                    floats(&EpochRecord::validation_loss),
                                    floats(&EpochRecord::learning_rate),
                                    floats(&EpochRecord::seconds)};
    Execute(
        "INSERT INTO dlent.training_epoch (version_id, member, epoch, train_loss, validation_loss, "
        "learning_rate, seconds, step) "
        "SELECT $1, r.* FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), "
        "pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7)) WITH ORDINALITY AS r",
        parameters);
}

void Store(const StoreRequest& request, StoredVersion* stored) {
    // The source is the user's: its names are looked up as the user, before anything is done as the owner.
    Query* contract = AnalyseContract(request.source, request.relation, request.inputs);
    const char* caller_name = GetUserNameFromId(GetUserId(), false);

    CatalogWrite write;
    BeginCatalogWrite("dlent_train()", &write);
    AdoptContracts();
    FoundModel model;
    stored->version = TakeNumber(request, write.caller, &model);
    stored->model_id = model.id;
    if (!MayWrite(write.caller, model))
        RaiseDenied(request.model);

    stored->version_id = InsertVersion(request, model.id, stored->version, caller_name);
    InsertWeights(request, stored->version_id);
    InsertLog(request, stored->version_id);
    CreateContract(model.id, stored->version, request.model, model.owner, contract);

    stored->champion = request.promote || model.champion == 0;
    const int64_t ended =
        stored->champion ? SetChampion(model, stored->version, "another version was trained") : 0;
    RecordEvent({.action = "train",
                 .model_id = model.id,
                 .model = request.model,
                 .version = stored->version,
                 .champion = stored->champion ? stored->version : 0,
                 .replaced = stored->champion ? model.champion : 0,
                 .role = caller_name,
                 .details = NumberDetail("rollout", ended)});
    EndCatalogWrite(write);
}

Json FindingsJson(const std::vector<Finding>& findings) {
    Json list = Json::array();
    for (const Finding& finding : findings) {
        Json entry = {{"severity", finding.severity == Finding::Severity::kWarning ? "warning" : "notice"},
                      {"code", finding.code},
                      {"message", finding.message}};
        if (!finding.column.empty())
            entry["column"] = finding.column;
        if (!finding.hint.empty())
            entry["hint"] = finding.hint;
        list.push_back(std::move(entry));
    }
    return list;
}

}  // namespace

StoredVersion StoreVersion(const NewVersion& version) {
    const TrainedModel& trained = *version.trained;
    const Model& model = trained.model;
    ParseModelName(version.model);

    const std::string weights = model.WeightsBytes();
    Sha256 hash;
    hash.Update(weights);
    const std::array<uint8_t, 32> digest = hash.Finish();

    std::vector<std::string> input_names;
    for (const PipelineInput& input : model.pipeline.inputs())
        input_names.push_back(FromUtf8(input.name));
    std::vector<const char*> inputs;
    for (const std::string& name : input_names)
        inputs.push_back(name.c_str());
    const std::string target = FromUtf8(model.target.column());
    const std::string seed = std::to_string(version.seed);

    const StoreRequest request = {
        .model = version.model.c_str(),
        .kind = model.kind.c_str(),
        .task = TaskName(model.target.task()),
        .target = target.empty() ? nullptr : target.c_str(),
        .specification = JsonbDatum(model.SpecificationJson()),
        .pipeline = JsonbDatum(model.PipelineJson()),
        .weights = weights.data(),
        .weights_bytes = weights.size(),
        .weights_sha256 = digest.data(),
        .metrics = JsonbDatum(trained.metrics),
        .details = JsonbDatum(trained.details),
        .findings = JsonbDatum(FindingsJson(trained.findings)),
        .reference = JsonbDatum(trained.reference.is_null() ? Json::object() : trained.reference),
        .options = JsonbDatum(version.options.is_null() ? Json::object() : version.options),
        .device = version.device.c_str(),
        .seed = seed.c_str(),
        .source = version.source.c_str(),
        .relation = version.relation,
        .relations = version.relations.data(),
        .relation_count = static_cast<int>(version.relations.size()),
        .train_rows = static_cast<int64_t>(trained.train_rows),
        .validation_rows = static_cast<int64_t>(trained.validation_rows),
        .epochs = trained.epochs,
        .snapshot = version.snapshot.c_str(),
        .lsn = version.lsn.empty() ? nullptr : version.lsn.c_str(),
        .data_fingerprint = trained.data_fingerprint.c_str(),
        .started_at = version.started_at,
        .seconds = trained.seconds,
        .score_cost = trained.score_cost,
        .explainer = JsonbDatum(trained.explainer.ToJson()),
        .promote = version.promote,
        .log = trained.log.data(),
        .log_count = trained.log.size(),
        .inputs = {inputs.data(), static_cast<int>(inputs.size())},
    };
    StoredVersion stored;
    CallPostgres([&] { Store(request, &stored); });
    return stored;
}

}  // namespace dlent::pg
