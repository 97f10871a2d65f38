#include "pg/catalog/writer.h"

#include "pg/catalog/relations.h"

extern "C" {
#include "utils/guc.h"
}

namespace dlent::pg {
namespace {

constexpr int kMaxParameters = 40;

uint64_t Run(const char* statement, const Parameter* parameters, int count, bool read_only) {
    Oid types[kMaxParameters] = {};
    Datum values[kMaxParameters] = {};
    char nulls[kMaxParameters] = {};
    Assert(count <= kMaxParameters);
    for (int i = 0; i < count; ++i) {
        types[i] = parameters[i].type;
        values[i] = parameters[i].value;
        nulls[i] = parameters[i].is_null ? 'n' : ' ';
    }
    const int outcome = SPI_execute_with_args(statement, count, types, values, nulls, read_only, 0);
    if (outcome < 0)
        elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(outcome));
    return SPI_processed;
}

}  // namespace

void BeginCatalogRead(CatalogWrite* write) {
    const CatalogRelations& catalog = GetCatalogRelations();
    GetUserIdAndSecContext(&write->caller, &write->security_context);
    SetUserIdAndSecContext(catalog.owner, write->security_context | SECURITY_LOCAL_USERID_CHANGE |
                                              SECURITY_RESTRICTED_OPERATION);
    write->guc_level = NewGUCNestLevel();
    (void)set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
                            true, 0, false);
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
}

void BeginCatalogWrite(const char* command, CatalogWrite* write) {
    PreventCommandIfReadOnly(command);
    PreventCommandIfParallelMode(command);
    BeginCatalogRead(write);
}

void EndCatalogRead(const CatalogWrite& write) {
    if (SPI_finish() != SPI_OK_FINISH)
        elog(ERROR, "SPI_finish failed");
    AtEOXact_GUC(false, write.guc_level);
    SetUserIdAndSecContext(write.caller, write.security_context);
}

void EndCatalogWrite(const CatalogWrite& write, bool models_changed) {
    if (models_changed)
        InvalidateCatalog();
    EndCatalogRead(write);
    CommandCounterIncrement();
}

Parameter Int4(int value) {
    return {INT4OID, Int32GetDatum(value), false};
}

Parameter Int8(int64_t value) {
    return {INT8OID, Int64GetDatum(value), false};
}

Parameter Float8(double value) {
    return {FLOAT8OID, Float8GetDatum(value), false};
}

Parameter Text(const char* value) {
    return {TEXTOID, value == nullptr ? Datum{0} : CStringGetTextDatum(value), value == nullptr};
}

Parameter Of(Oid type, Datum value) {
    return {type, value, false};
}

uint64_t Execute(const char* statement, const Parameter* parameters, int count) {
    return Run(statement, parameters, count, false);
}

uint64_t ExecuteReadOnly(const char* statement, const Parameter* parameters, int count) {
    return Run(statement, parameters, count, true);
}

Datum Result(uint64_t row, int column, Datum when_null) {
    bool is_null = false;
    const Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);
    return is_null ? when_null : value;
}

void RecordEvent(const CatalogEvent& event) {
    const auto positive = [](int value) { return Parameter{INT4OID, Int32GetDatum(value), value == 0}; };
    const Parameter parameters[] = {Text(event.action),
                                    Int8(event.model_id),
                                    Text(event.model),
                                    positive(event.version),
                                    positive(event.champion),
                                    positive(event.replaced),
                                    Text(event.role),
                                    Text(event.reason),
                                    Parameter{JSONBOID, event.details, event.details == 0}};
    Execute(
        "INSERT INTO dlent.event (action, model_id, model, version, champion, replaced, role, reason, "
        "details) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7::pg_catalog.name, $8, COALESCE($9, '{}'))",
        parameters);
}

}  // namespace dlent::pg
