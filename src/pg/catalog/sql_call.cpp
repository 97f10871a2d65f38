#include "pg/bridge/postgres.h"

#include "pg/catalog/sql_call.h"

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/extension_schema.h"
#include "pg/observe/settings.h"

namespace dlent::pg {
namespace {

/// The first value of the last statement's first row, copied to `context`; 0 when there is none.
Datum FirstJsonb(MemoryContext context) {
    const Datum value = SPI_processed > 0 ? Result(0, 1) : Datum{0};
    if (value == 0)
        return 0;
    const MemoryContext previous = MemoryContextSwitchTo(context);
    const Datum copy = PointerGetDatum(DatumGetJsonbPCopy(value));
    MemoryContextSwitchTo(previous);
    return copy;
}

Json JsonOrNull(Datum jsonb) {
    return jsonb == 0 ? Json(nullptr) : JsonFromDatum(jsonb);
}

}  // namespace

Parameter TextParameter(const std::string& text) {
    return {TEXTOID, TextDatum(text), false};
}

Parameter JsonParameter(const Json& json) {
    return {JSONBOID, JsonbDatum(json), false};
}

Json QueryAsUser(const std::string& statement, const std::vector<Parameter>& parameters) {
    return JsonOrNull(CallPostgres([&] {
        const MemoryContext context = CurrentMemoryContext;
        if (SPI_connect() != SPI_OK_CONNECT)
            elog(ERROR, "SPI_connect failed");
        const int nest_level = NewGUCNestLevel();
        SuspendPredictionLog();
        ExecuteReadOnly(statement.c_str(), parameters.data(), static_cast<int>(parameters.size()));
        const Datum value = FirstJsonb(context);
        AtEOXact_GUC(true, nest_level);
        if (SPI_finish() != SPI_OK_FINISH)
            elog(ERROR, "SPI_finish failed");
        return value;
    }));
}

Json QueryCatalog(const char* statement, const std::vector<Parameter>& parameters) {
    return JsonOrNull(CallPostgres([&] {
        const MemoryContext context = CurrentMemoryContext;
        CatalogWrite read;
        BeginCatalogRead(&read);
        Execute(statement, parameters.data(), static_cast<int>(parameters.size()));
        const Datum value = FirstJsonb(context);
        EndCatalogRead(read);
        return value;
    }));
}

std::string FunctionName(const char* function) {
    return std::string(CallPostgres([] { return ExtensionSchema(); })) + "." + function;
}

std::string QuoteLiteral(const std::string& text) {
    return CallPostgres([&text] { return static_cast<const char*>(quote_literal_cstr(text.c_str())); });
}

}  // namespace dlent::pg
