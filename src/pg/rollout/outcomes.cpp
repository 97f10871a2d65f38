// dlent_record_outcome, dlent_record_outcomes, dlent_forget_outcomes: what turned out to be true, by key.
//
// Outcomes decide which version is promoted, so recording them takes privilege manage. The rows of a source
// are read as the caller into a tuplestore, and stored from there by one fixed statement.

#include "pg/bridge/postgres.h"

#include <cmath>

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/option_reader.h"
#include "pg/bridge/text.h"
#include "pg/catalog/model_change.h"
#include "pg/catalog/models.h"
#include "pg/functions/arguments.h"
#include "pg/rollout/rollout_numbers.h"
#include "pg/source/source.h"

extern "C" {
#include "miscadmin.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
}

namespace dlent::pg {
namespace {

constexpr const char* kDefaultMetric = "outcome";
constexpr const char* kRows = "dlent_outcome_rows";

/// Where the rows of a source have what.
struct OutcomeColumns {
    int key = -1;
    int value = -1;
    int metric = -1;       ///< −1: all are of one
    int occurred_at = -1;  ///< −1: now
    std::string one_metric = kDefaultMetric;
    bool labels = false;  ///< values are texts: labels of a model of several classes
    Oid key_output = InvalidOid;
    Oid value_type = InvalidOid;
    Oid time_type = InvalidOid;
};

std::string MetricName(std::string name) {
    if (name.empty() || name.size() >= NAMEDATALEN)
        throw SqlError(ERRCODE_INVALID_NAME,
                       "the name of a metric must have 1 to " + std::to_string(NAMEDATALEN - 1) + " bytes");
    return name;
}

OutcomeColumns FindColumns(const std::string& model, const Source& source, const Json& options) {
    constexpr const char* kColumn = "the name of a column";
    const OptionReader reader(options, {"key", "value", "metric", "occurred_at"});
    const std::string key = reader.Text("key", "key", kColumn);
    const std::string value = reader.Text("value", "value", kColumn);
    const std::string occurred_at = reader.Text("occurred_at", "occurred_at", kColumn);
    std::string metric;
    if (reader.Find("metric") != nullptr)
        metric = MetricName(reader.Text("metric", "", "the name of a metric"));
    OutcomeColumns columns;
    columns.key = source.Require(key, "option key");
    columns.value = source.Require(value, "option value");
    if (metric.empty())
        columns.metric = source.Find("metric");
    else
        columns.one_metric = metric;
    columns.occurred_at = reader.Find("occurred_at") != nullptr
                              ? source.Require(occurred_at, "option occurred_at")
                              : source.Find(occurred_at);

    const auto column = [&source](int place) -> const SourceColumn& {
        return source.columns()[static_cast<size_t>(place)];
    };
    columns.value_type = column(columns.value).type;
    switch (columns.value_type) {
        case BOOLOID:
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case FLOAT4OID:
        case FLOAT8OID:
        case NUMERICOID:
            break;
        case TEXTOID:
        case VARCHAROID:
            columns.labels = ChampionTask(model) == Task::kMulticlass;
            [[fallthrough]];
        default:
            if (!columns.labels)
                throw SqlError(ERRCODE_DATATYPE_MISMATCH,
                               "column \"" + value + "\" of type " + column(columns.value).type_name +
                                   " has no outcomes",
                               {},
                               "An outcome is a number or a boolean, or, of a model of several classes, the "
                               "text of a label.");
    }
    if (columns.metric >= 0 && column(columns.metric).type != TEXTOID &&
        column(columns.metric).type != VARCHAROID)
        throw SqlError(
            ERRCODE_DATATYPE_MISMATCH,
            "column \"metric\" of type " + column(columns.metric).type_name + " has no names of metrics", {},
            "Cast it to text.");
    if (columns.occurred_at >= 0) {
        columns.time_type = column(columns.occurred_at).type;
        if (columns.time_type != TIMESTAMPTZOID && columns.time_type != TIMESTAMPOID &&
            columns.time_type != DATEOID)
            throw SqlError(ERRCODE_DATATYPE_MISMATCH,
                           "column \"" + occurred_at + "\" of type " + column(columns.occurred_at).type_name +
                               " has no times",
                           {}, "Option occurred_at needs a timestamp or a date.");
    }
    columns.key_output = CallPostgres([&] {
        Oid output;
        bool is_varlena;
        getTypeOutputInfo(column(columns.key).type, &output, &is_varlena);
        return output;
    });
    return columns;
}

// ---- what runs under the guard: no destructors below ----

double NumberOf(Datum value, Oid type) {
    switch (type) {
        case BOOLOID:
            return DatumGetBool(value) ? 1.0 : 0.0;
        case INT2OID:
            return DatumGetInt16(value);
        case INT4OID:
            return DatumGetInt32(value);
        case INT8OID:
            return static_cast<double>(DatumGetInt64(value));
        case FLOAT4OID:
            return static_cast<double>(DatumGetFloat4(value));
        case NUMERICOID:
            return DatumGetFloat8(DirectFunctionCall1(numeric_float8, value));
        default:
            return DatumGetFloat8(value);
    }
}

Datum TimeOf(Datum time, Oid type) {
    if (type == TIMESTAMPOID)
        return DirectFunctionCall1(timestamp_timestamptz, time);
    return type == DATEOID ? DirectFunctionCall1(date_timestamptz, time) : time;
}

void CheckOutcome(const char* key, const char* metric, double value) {
    if (!std::isfinite(value))
        ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("the outcome is not finite"),
                        errdetail("Key \"%s\", metric \"%s\".", key, metric)));
    if (*metric == '\0' || std::strlen(metric) >= NAMEDATALEN)
        ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
                        errmsg("the name of a metric must have 1 to %d bytes", NAMEDATALEN - 1)));
}

/// What a source's rows become on their way to the catalog.
struct OutcomeRows {
    Tuplestorestate* store;
    TupleDesc columns;
    MemoryContext row_context;
    TimestampTz now;
    int64_t count;
};
constexpr int kStoredColumns = 6;  // key, metric, value, label, occurred_at, position

void PutRow(OutcomeRows* rows, const OutcomeColumns& columns, const char* one_metric, TupleTableSlot* slot) {
    slot_getallattrs(slot);
    if (slot->tts_isnull[columns.key] || slot->tts_isnull[columns.value] ||
        (columns.metric >= 0 && slot->tts_isnull[columns.metric]))
        return;  // not known yet
    const MemoryContext outer = MemoryContextSwitchTo(rows->row_context);
    const char* const key = OidOutputFunctionCall(columns.key_output, slot->tts_values[columns.key]);
    const char* const metric =
        columns.metric >= 0 ? TextDatumGetCString(slot->tts_values[columns.metric]) : one_metric;
    const Datum given = slot->tts_values[columns.value];
    const double value = columns.labels ? 0.0 : NumberOf(given, columns.value_type);
    CheckOutcome(key, metric, value);
    const bool timed = columns.occurred_at >= 0 && !slot->tts_isnull[columns.occurred_at];
    Datum values[kStoredColumns] = {CStringGetTextDatum(key),
                                    CStringGetTextDatum(metric),
                                    Float8GetDatum(value),
                                    columns.labels ? given : Datum{0},
                                    timed ? TimeOf(slot->tts_values[columns.occurred_at], columns.time_type)
                                          : TimestampTzGetDatum(rows->now),
                                    Int64GetDatum(rows->count)};
    bool nulls[kStoredColumns] = {false, false, columns.labels, !columns.labels, false, false};
    tuplestore_putvalues(rows->store, rows->columns, values, nulls);
    ++rows->count;
    MemoryContextSwitchTo(outer);
    MemoryContextReset(rows->row_context);
}

OutcomeRows MakeRows() {
    constexpr struct {
        const char* name;
        Oid type;
    } kColumns[kStoredColumns] = {{"key", TEXTOID},
                                  {"metric", TEXTOID},
                                  {"value", FLOAT8OID},
                                  {"label", TEXTOID},
                                  {"occurred_at", TIMESTAMPTZOID},
                                  {"position", INT8OID}};
    OutcomeRows rows{};
    rows.store = tuplestore_begin_heap(false, false, work_mem);
    rows.columns = CreateTemplateTupleDesc(kStoredColumns);
    for (int i = 0; i < kStoredColumns; ++i)
        TupleDescInitEntry(rows.columns, static_cast<AttrNumber>(i + 1), kColumns[i].name, kColumns[i].type,
                           -1, 0);
    rows.row_context =
        AllocSetContextCreate(CurrentMemoryContext, "row of a dlent outcome source", ALLOCSET_DEFAULT_SIZES);
    rows.now = GetCurrentTransactionStartTimestamp();
    return rows;
}

/// Finds the model and keeps it from being dropped meanwhile, as a foreign key would; 42704, 42501.
int64_t KeepModel(const char* name, const CatalogWrite& write) {
    FoundModel model;
    FindManagedModel(name, write, RowLock::kKeyShare, &model);
    return model.id;
}

/// Inserts what `rows` selects: model, key, metric, value, label, time, role.
const char* InsertOutcomes(const char* rows) {
    return psprintf(
        "INSERT INTO dlent.outcome (model_id, key, metric, value, label, occurred_at, recorded_by) %s "
        "ON CONFLICT (model_id, key, metric) DO UPDATE SET value = excluded.value, label = excluded.label, "
        "occurred_at = excluded.occurred_at, recorded_at = excluded.recorded_at, "
        "recorded_by = excluded.recorded_by",
        rows);
}

void RecordOne(const char* name, const char* key, const char* metric, double value, Datum occurred_at) {
    CheckOutcome(key, metric, value);
    CatalogWrite write;
    BeginCatalogWrite("dlent_record_outcome()", &write);
    const Parameter parameters[] = {Int8(KeepModel(name, write)),
                                    Text(key),
                                    Text(metric),
                                    Float8(value),
                                    Of(TIMESTAMPTZOID, occurred_at),
                                    Text(GetUserNameFromId(write.caller, false))};
    Execute(InsertOutcomes("VALUES ($1, $2, $3, $4, NULL, $5, $6::pg_catalog.name)"), parameters);
    EndCatalogWrite(write, false);
}

int64_t RecordRows(const char* name, const OutcomeRows& rows) {
    CatalogWrite write;
    BeginCatalogWrite("dlent_record_outcomes()", &write);
    const int64_t model_id = KeepModel(name, write);
    if (SPI_register_relation(RelationOfRows(kRows, rows.store, rows.columns, rows.count)) !=
        SPI_OK_REL_REGISTER)
        elog(ERROR, "SPI_register_relation failed");
    const Parameter parameters[] = {Int8(model_id), Text(GetUserNameFromId(write.caller, false))};
    const auto recorded = static_cast<int64_t>(
        Execute(InsertOutcomes("SELECT DISTINCT ON (r.key COLLATE \"C\", r.metric COLLATE \"C\") "
                               "$1, r.key, r.metric, r.value, r.label, r.occurred_at, $2::pg_catalog.name "
                               "FROM dlent_outcome_rows AS r "
                               "ORDER BY r.key COLLATE \"C\", r.metric COLLATE \"C\", r.\"position\" DESC"),
                parameters));
    SPI_unregister_relation(kRows);
    EndCatalogWrite(write, false);
    return recorded;
}

int64_t Forget(const char* name, const char* key, Datum older_than, bool has_age) {
    CatalogWrite write;
    BeginCatalogWrite("dlent_forget_outcomes()", &write);
    FoundModel model;
    FindManagedModel(name, write, RowLock::kKeyShare, &model);
    const Parameter parameters[] = {Int8(model.id), Text(key), {INTERVALOID, older_than, !has_age}};
    const auto count = static_cast<int64_t>(
        Execute("DELETE FROM dlent.outcome WHERE model_id = $1 AND ($2 IS NULL OR key = $2) "
                "AND ($3 IS NULL OR occurred_at < pg_catalog.now() - $3)",
                parameters));
    RecordErasure(write, model, name, "outcomes", count, key != nullptr ? "key" : has_age ? "age" : "model");
    EndCatalogWrite(write, false);
    return count;
}

// ---- C++ ----

class OutcomeSink final : public RowSink {
 public:
    OutcomeSink(OutcomeRows* rows, const OutcomeColumns& columns) : rows_(rows), columns_(columns) {}
    void Receive(TupleTableSlot* slot) override {
        PutRow(rows_, columns_, columns_.one_metric.c_str(), slot);
    }

 private:
    OutcomeRows* const rows_;
    const OutcomeColumns& columns_;
};

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_record_outcome) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        const std::string key = RequiredText(fcinfo, 1, "key");
        if (PG_ARGISNULL(2))
            throw SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "value must not be NULL", {},
                           "An outcome is recorded when it is known.");
        const std::string metric = RequiredText(fcinfo, 3, "metric");
        if (PG_ARGISNULL(4))
            throw SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "occurred_at must not be NULL");
        CallPostgres([&] {
            RecordOne(model.c_str(), key.c_str(), metric.c_str(), PG_GETARG_FLOAT8(2), PG_GETARG_DATUM(4));
        });
        return Datum{0};
    });
}

DLENT_FUNCTION(dlent_record_outcomes) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        const std::string query = RequiredText(fcinfo, 1, "source");
        const dlent::Json options =
            PG_ARGISNULL(2) ? dlent::Json::object() : JsonFromDatum(PG_GETARG_DATUM(2));
        Source source = Source::Open(query);
        const OutcomeColumns columns = FindColumns(model, source, options);
        OutcomeRows rows = CallPostgres([] { return MakeRows(); });
        OutcomeSink sink(&rows, columns);
        source.Read(&sink);
        return Int64GetDatum(CallPostgres([&] {
            const int64_t recorded = RecordRows(model.c_str(), rows);
            tuplestore_end(rows.store);
            return recorded;
        }));
    });
}

DLENT_FUNCTION(dlent_forget_outcomes) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        const std::string key = PG_ARGISNULL(1) ? std::string() : TextOf(PG_GETARG_DATUM(1));
        const char* wanted = PG_ARGISNULL(1) ? nullptr : key.c_str();
        return Int64GetDatum(CallPostgres(
            [&] { return Forget(model.c_str(), wanted, PG_GETARG_DATUM(2), !PG_ARGISNULL(2)); }));
    });
}
