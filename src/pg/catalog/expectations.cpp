#include "pg/bridge/postgres.h"

#include "pg/catalog/expectations.h"

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/catalog/model_change.h"

namespace dlent::pg {
namespace {

/// An expectation in PostgreSQL's terms.
struct Row {
    const char* name;
    const char* predicate;
    const char* severity;
    double tolerance;
    bool nulls_pass;
    const char* description;
    const char* search_path;
    const char* author;
};

Parameter Bool(bool value) {
    return {BOOLOID, BoolGetDatum(value), false};
}

void Store(const char* model, const Row& row) {
    CatalogWrite write;
    BeginCatalogWrite("dlent_expect()", &write);
    const Parameter make[] = {Text(model), Of(OIDOID, ObjectIdGetDatum(write.caller))};
    const bool made =
        Execute("INSERT INTO dlent.model (name, owner) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
                make) == 1;
    FoundModel found;
    FindManagedModel(model, write, RowLock::kUpdate, &found);
    const Parameter parameters[] = {Int8(found.id),        Text(row.name),        Text(row.predicate),
                                    Text(row.severity),    Float8(row.tolerance), Bool(row.nulls_pass),
                                    Text(row.description), Text(row.search_path), Text(row.author)};
    Execute(
        "INSERT INTO dlent.expectation (model_id, name, predicate, severity, tolerance, nulls_pass, "
        "description, "
        "search_path, author) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::pg_catalog.name) "
        "ON CONFLICT (model_id, name) DO UPDATE SET predicate = excluded.predicate, severity = "
        "excluded.severity, "
        "tolerance = excluded.tolerance, nulls_pass = excluded.nulls_pass, description = "
        "excluded.description, "
        "search_path = excluded.search_path, author = excluded.author, created_at = excluded.created_at",
        parameters);
    EndCatalogWrite(write, made);
}

bool Drop(const char* model, const char* name) {
    CatalogWrite write;
    BeginCatalogWrite("dlent_drop_expectation()", &write);
    FoundModel found;
    FindManagedModel(model, write, RowLock::kUpdate, &found);
    const Parameter parameters[] = {Int8(found.id), Text(name)};
    const bool dropped =
        Execute("DELETE FROM dlent.expectation WHERE model_id = $1 AND name = $2", parameters) > 0;
    EndCatalogWrite(write, false);
    return dropped;
}

struct Rows {
    Row* rows;
    int count;
};

Rows Read(const char* model) {
    const MemoryContext caller = CurrentMemoryContext;
    CatalogWrite read;
    BeginCatalogRead(&read);
    const Parameter parameters[] = {Text(model)};
    Rows found{};
    const auto count = static_cast<int>(ExecuteReadOnly(
        "SELECT e.name, e.predicate, e.severity, e.tolerance, e.nulls_pass, e.description, e.search_path, "
        "e.author::pg_catalog.text FROM dlent.expectation AS e JOIN dlent.model AS m ON m.id = e.model_id "
        "WHERE m.name = $1 ORDER BY e.name",
        parameters));
    if (count > 0) {
        const MemoryContext previous = MemoryContextSwitchTo(caller);
        found.rows = static_cast<Row*>(palloc(sizeof(Row) * count));
        const auto copied = [](int row, int column) {
            const Datum value = Result(row, column);
            return value == 0 ? "" : const_cast<const char*>(TextDatumGetCString(value));
        };
        for (int i = 0; i < count; ++i)
            found.rows[i] = {copied(i, 1),
                             copied(i, 2),
                             copied(i, 3),
                             DatumGetFloat8(Result(i, 4)),
                             DatumGetBool(Result(i, 5)),
                             copied(i, 6),
                             copied(i, 7),
                             copied(i, 8)};
        found.count = count;
        MemoryContextSwitchTo(previous);
    }
    EndCatalogRead(read);
    return found;
}

struct ResultRow {
    const char* name;
    const char* status;
    const char* severity;
    int64_t rows;
    int64_t failing;
    double tolerance;
    const char* predicate;
    const char* message;
};

int64_t StoreResults(const char* model, int version, const char* source, const ResultRow* rows,
                     size_t count) {
    const char* const role = GetUserNameFromId(GetUserId(), false);
    CatalogWrite write;
    BeginCatalogWrite("dlent_check()", &write);
    FoundModel found;
    if (!FindModel(model, &found))
        RaiseNoModel(model);
    Execute("SELECT pg_catalog.nextval('dlent.expectation_result_id_seq')", nullptr, 0);
    const int64_t check = DatumGetInt64(Result(0, 1));
    for (size_t i = 0; i < count; ++i) {
        const ResultRow& row = rows[i];
        const Parameter parameters[] = {Int8(check),
                                        Int8(found.id),
                                        Parameter{INT4OID, Int32GetDatum(version), version == 0},
                                        Text(source),
                                        Text(row.name),
                                        Text(row.predicate),
                                        Text(row.status),
                                        Text(row.severity),
                                        Int8(row.rows),
                                        Parameter{INT8OID, Int64GetDatum(row.failing), row.failing < 0},
                                        Float8(row.tolerance),
                                        Text(*row.message == '\0' ? nullptr : row.message),
                                        Text(role)};
        Execute(
            "INSERT INTO dlent.expectation_result (\"check\", model_id, version, source, name, predicate, "
            "status, "
            "severity, rows, failing, tolerance, message, role) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::pg_catalog.name)",
            parameters);
    }
    EndCatalogWrite(write, false);
    return check;
}

}  // namespace

void StoreExpectation(const std::string& model, const Expectation& expectation) {
    const Row row{expectation.name.c_str(),
                  expectation.predicate.c_str(),
                  expectation.severity.c_str(),
                  expectation.tolerance,
                  expectation.nulls_pass,
                  expectation.description.empty() ? nullptr : expectation.description.c_str(),
                  expectation.search_path.c_str(),
                  expectation.author.c_str()};
    CallPostgres([&] { Store(model.c_str(), row); });
}

bool DropExpectation(const std::string& model, const std::string& name) {
    return CallPostgres([&] { return Drop(model.c_str(), name.c_str()); });
}

std::vector<Expectation> ReadExpectations(const std::string& model) {
    const Rows found = CallPostgres([&model] { return Read(model.c_str()); });
    std::vector<Expectation> expectations;
    for (int i = 0; i < found.count; ++i) {
        const Row& row = found.rows[i];
        Expectation expectation;
        expectation.name = row.name;
        expectation.predicate = row.predicate;
        expectation.severity = row.severity;
        expectation.tolerance = row.tolerance;
        expectation.nulls_pass = row.nulls_pass;
        expectation.description = row.description;
        expectation.search_path = row.search_path;
        expectation.author = row.author;
        expectations.push_back(std::move(expectation));
    }
    return expectations;
}

int64_t StoreExpectationResults(const std::string& model, int version, const std::string& source,
                                const std::vector<ExpectationResult>& results) {
    std::vector<ResultRow> rows;
    for (const ExpectationResult& result : results)
        rows.push_back({result.name.c_str(), result.status.c_str(), result.severity.c_str(), result.rows,
                        result.failing, result.tolerance, result.predicate.c_str(), result.message.c_str()});
    return CallPostgres(
        [&] { return StoreResults(model.c_str(), version, source.c_str(), rows.data(), rows.size()); });
}

}  // namespace dlent::pg
