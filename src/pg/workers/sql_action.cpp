// Actions that are calls of the extension's own SQL functions.

#include "pg/bridge/postgres.h"

#include "pg/workers/sql_action.h"

#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/extension_schema.h"
#include "pg/catalog/writer.h"

extern "C" {
#include "executor/spi.h"
}

namespace dlent::pg {
namespace {

constexpr int kMaxArguments = 8;

}  // namespace

Json CheckSqlArguments(const Json& arguments, const SqlArgument* known, int count) {
    RequireObject(arguments, "the arguments of the action");
    Json left = arguments;
    std::string names;
    for (int i = 0; i < count; ++i) {
        const SqlArgument& argument = known[i];
        names += (i > 0 ? ", " : "") + std::string(argument.name);
        const auto found = left.find(argument.name);
        if (found == left.end()) {
            if (argument.required)
                throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                               std::string("argument \"") + argument.name + "\" of the action is missing");
            continue;
        }
        if (argument.type == SqlArgument::Type::kText ? !found->is_string() : !found->is_object())
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                           std::string("argument \"") + argument.name + "\" of the action must be " +
                               (argument.type == SqlArgument::Type::kText ? "a text" : "an object"));
        left.erase(argument.name);
    }
    RefuseUnknownKeys(left, "argument", names);
    return arguments;
}

Json CallSqlFunction(JobContext& context, const char* function, const SqlArgument* known, int count) {
    const Json& arguments = context.job().arguments;
    const std::string schema = CallPostgres([] { return ExtensionSchema(); });
    std::string statement = "SELECT pg_catalog.to_jsonb(f) FROM " + schema + "." + function + "(model => $1";
    struct Call {
        Oid types[kMaxArguments];
        Datum values[kMaxArguments];
        int count;
    } call{};
    call.types[0] = TEXTOID;
    call.values[0] = TextDatum(context.job().model);
    call.count = 1;
    for (int i = 0; i < count; ++i) {
        const auto found = arguments.find(known[i].name);
        if (found == arguments.end())
            continue;
        const bool text = known[i].type == SqlArgument::Type::kText;
        call.types[call.count] = text ? TEXTOID : JSONBOID;
        call.values[call.count] = text ? TextDatum(FromUtf8(found->get<std::string>())) : JsonbDatum(*found);
        ++call.count;
        statement += std::string(", ") + known[i].name + " => $" + std::to_string(call.count);
    }
    statement += ") AS f";
    const Datum result = CallPostgres([&] {
        const MemoryContext outer = CurrentMemoryContext;
        if (SPI_connect() != SPI_OK_CONNECT)
            elog(ERROR, "SPI_connect failed");
        if (SPI_execute_with_args(statement.c_str(), call.count, call.types, call.values, nullptr, false,
                                  0) != SPI_OK_SELECT)
            elog(ERROR, "unexpected result of \"%s\"", statement.c_str());
        Datum value = SPI_processed > 0 ? Result(0, 1) : Datum{0};
        if (value != 0) {
            const MemoryContext previous = MemoryContextSwitchTo(outer);
            value = PointerGetDatum(DatumGetJsonbPCopy(value));
            MemoryContextSwitchTo(previous);
        }
        if (SPI_finish() != SPI_OK_FINISH)
            elog(ERROR, "SPI_finish failed");
        return value;
    });
    return result == 0 ? Json(nullptr) : JsonFromDatum(result);
}

}  // namespace dlent::pg
