#include "pg/bridge/postgres.h"

#include "pg/observe/prediction_store.h"

#include <cmath>

#include "pg/bridge/error.h"
#include "pg/catalog/writer.h"
#include "pg/observe/settings.h"

extern "C" {
#include "utils/array.h"
}

namespace dlent::pg {
namespace {

/// Predictions that one transaction deletes.
constexpr int kPrunedAtOnce = 5000;

struct Element {
    Datum value;
    bool is_null;
};

Element TextElement(std::string_view text) {
    if (text.data() == nullptr)
        return {0, true};
    return {PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size()))), false};
}

/// An array of one element a row.
template <typename ElementOf>
Parameter Column(Oid array_type, Oid type, std::span<const PredictionRow> rows, ElementOf element_of) {
    const int count = static_cast<int>(rows.size());
    auto* const values = static_cast<Datum*>(palloc(sizeof(Datum) * rows.size()));
    auto* const nulls = static_cast<bool*>(palloc(sizeof(bool) * rows.size()));
    for (int i = 0; i < count; ++i) {
        const Element element = element_of(rows[i]);
        values[i] = element.value;
        nulls[i] = element.is_null;
    }
    int16 length = 0;
    bool by_value = false;
    char align = 0;
    get_typlenbyvalalign(type, &length, &by_value, &align);
    int dimensions[] = {count};
    int bounds[] = {1};
    ArrayType* const array =
        construct_md_array(values, nulls, 1, dimensions, bounds, type, length, by_value, align);
    return {array_type, PointerGetDatum(array), false};
}

}  // namespace

PredictionRow PredictionRow::Of(const PredictionRecord& record, int64_t model_id, int version) {
    return {.request = record.request,
            .predicted_at = record.time,
            .model_id = model_id,
            .version = version,
            .rollout_id = record.rollout_id,
            .arm = record.arm,
            .shadow = record.shadow,
            .unit = record.unit,
            .key = record.key,
            .input_digest = record.digest,
            .score = record.score,
            .latency = record.latency,
            .error = record.error};
}

void InsertPredictions(std::span<const PredictionRow> rows, bool number) {
    if (rows.empty())
        return;
    using Row = const PredictionRow&;
    const auto big = [](int64_t value) { return Element{Int64GetDatum(value), value == 0}; };
    const Parameter parameters[] = {
        Column(INT8ARRAYOID, INT8OID, rows, [&](Row row) { return big(row.request); }),
        Column(TIMESTAMPTZARRAYOID, TIMESTAMPTZOID, rows,
               [](Row row) {
                   return Element{TimestampTzGetDatum(row.predicted_at), false};
               }),
        Column(INT8ARRAYOID, INT8OID, rows, [&](Row row) { return big(row.model_id); }),
        Column(INT4ARRAYOID, INT4OID, rows,
               [](Row row) {
                   return Element{Int32GetDatum(row.version), false};
               }),
        Column(INT8ARRAYOID, INT8OID, rows, [&](Row row) { return big(row.rollout_id); }),
        Column(INT4ARRAYOID, INT4OID, rows,
               [](Row row) {
                   return Element{Int32GetDatum(row.arm), row.arm < 0};
               }),
        Column(BOOLARRAYOID, BOOLOID, rows,
               [](Row row) {
                   return Element{BoolGetDatum(row.shadow), false};
               }),
        Column(TEXTARRAYOID, TEXTOID, rows, [](Row row) { return TextElement(row.unit); }),
        Column(TEXTARRAYOID, TEXTOID, rows, [](Row row) { return TextElement(row.key); }),
        Column(INT8ARRAYOID, INT8OID, rows,
               [](Row row) {
                   return Element{Int64GetDatum(static_cast<int64>(row.input_digest)), row.input_digest == 0};
               }),
        Column(JSONBARRAYOID, JSONBOID, rows,
               [](Row row) {
                   return Element{row.features, row.features == 0};
               }),
        Column(FLOAT8ARRAYOID, FLOAT8OID, rows,
               [](Row row) {
                   return Element{Float8GetDatum(row.score), std::isnan(row.score)};
               }),
        Column(TEXTARRAYOID, TEXTOID, rows, [](Row row) { return TextElement(row.label); }),
        Column(FLOAT4ARRAYOID, FLOAT4OID, rows,
               [](Row row) {
                   return Element{Float4GetDatum(row.latency), std::isnan(row.latency)};
               }),
        Column(TEXTARRAYOID, TEXTOID, rows, [](Row row) { return TextElement(row.error); }),
        Column(JSONBARRAYOID, JSONBOID, rows, [](Row row) {
            return Element{row.probabilities, row.probabilities == 0};
        })};
    constexpr const char* kInsert =
        "INSERT INTO dlent.prediction (request, predicted_at, model_id, version, rollout_id, arm, shadow, "
        "unit, key, input_digest, features, score, label, latency_us, error, probabilities) "
        "SELECT %s, r.predicted_at, r.model_id, r.version, r.rollout_id, r.arm, "
        "r.shadow, r.unit, r.key, r.input_digest, r.features, r.score, r.label, r.latency_us, r.error, "
        "r.probabilities "
        "FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), "
        "pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7), "
        "pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11), "
        "pg_catalog.unnest($12), pg_catalog.unnest($13), pg_catalog.unnest($14), pg_catalog.unnest($15), "
        "pg_catalog.unnest($16)) AS r "
        "(request, predicted_at, model_id, version, rollout_id, arm, shadow, unit, key, input_digest, "
        "features, score, label, latency_us, error, probabilities)%s";
    Execute(number ? psprintf(kInsert, "n.request",
                              " JOIN (SELECT o.request AS old, "
                              "pg_catalog.nextval('dlent.prediction_id_seq') AS request "
                              "FROM (SELECT DISTINCT pg_catalog.unnest($1) AS request) AS o) AS n "
                              "ON n.old = r.request")
                   : psprintf(kInsert, "r.request", ""),
            parameters);
}

void InsertSketch(const SketchRow& row) {
    const Parameter parameters[] = {
        Int8(row.version_id), Of(TIMESTAMPTZOID, TimestampTzGetDatum(row.window_start)),
        Of(TIMESTAMPTZOID, TimestampTzGetDatum(row.window_end)), Int8(row.rows), Of(JSONBOID, row.sketch)};
    Execute(
        "INSERT INTO dlent.sketch (version_id, window_start, window_end, rows, sketch) "
        "VALUES ($1, $2, $3, $4, $5)",
        parameters);
}

int PrunePredictions(int most) {
    const Parameter parameters[] = {
        Int4(most), Of(TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp() - PredictionRetention()))};
    Execute("DELETE FROM dlent.sketch WHERE window_end < $1", parameters + 1, 1);
    // numbers rise with time, nearly: the oldest are the first
    return static_cast<int>(
        Execute("DELETE FROM dlent.prediction WHERE id = ANY (ARRAY(SELECT o.id FROM "
                "(SELECT p.id, p.predicted_at FROM dlent.prediction AS p ORDER BY p.id LIMIT $1) AS o "
                "WHERE o.predicted_at < $2))",
                parameters));
}

bool PruneOldPredictions() {
    return CallPostgres([] {
        CatalogWrite write;
        BeginCatalogWrite("deleting old predictions", &write);
        const bool more = PrunePredictions(kPrunedAtOnce) == kPrunedAtOnce;
        EndCatalogWrite(write, false);
        return more;
    });
}

bool FindRecordedVersion(int64_t version_id, RecordedVersionRow* version) {
    const MemoryContext context = CurrentMemoryContext;
    CatalogWrite read;
    BeginCatalogRead(&read);
    const Parameter parameters[] = {Int8(version_id)};
    const bool found = ExecuteReadOnly(
                           "SELECT v.model_id, v.number, v.digest, m.owner, m.name FROM dlent.version AS v "
                           "JOIN dlent.model AS m ON m.id = v.model_id WHERE v.id = $1",
                           parameters) > 0;
    if (found)
        *version = {DatumGetInt64(Result(0, 1)), DatumGetInt32(Result(0, 2)), DigestOfUuid(Result(0, 3)),
                    DatumGetObjectId(Result(0, 4)),
                    MemoryContextStrdup(context, TextDatumGetCString(Result(0, 5)))};
    EndCatalogRead(read);
    return found;
}

}  // namespace dlent::pg
