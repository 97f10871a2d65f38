// dlent_forget_predictions: erasure by key and by age.

#include "pg/bridge/postgres.h"

#include "core/observe/prediction_record.h"
#include "pg/bridge/error.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/models.h"
#include "pg/catalog/writer.h"
#include "pg/functions/arguments.h"

namespace dlent::pg {
namespace {

int64_t Forget(const char* name, const char* key, const char* recorded_key, Datum older_than, bool has_age) {
    CatalogWrite write;
    FoundModel model;
    BeginCatalogWrite("dlent_forget_predictions()", &write);
    const Parameter named[] = {Text(name)};
    if (Execute("SELECT id, owner FROM dlent.model WHERE name = $1", named) == 0)
        RaiseNoModel(name);
    model.id = DatumGetInt64(Result(0, 1));
    model.owner = DatumGetObjectId(Result(0, 2));
    if (!MayWrite(write.caller, model))
        RaiseDenied(name);
    const Parameter parameters[] = {Int8(model.id), Text(recorded_key), {INTERVALOID, older_than, !has_age}};
    const uint64_t count = Execute(
        "DELETE FROM dlent.prediction WHERE model_id = $1 AND ($2 IS NULL OR key = $2) "
        "AND ($3 IS NULL OR predicted_at < pg_catalog.now() - $3)",
        parameters);
    uint64_t outcomes = 0;
    if (key != nullptr) {
        const Parameter of_key[] = {Int8(model.id), Text(key), {INTERVALOID, older_than, !has_age}};
        outcomes = Execute(
            "DELETE FROM dlent.outcome WHERE model_id = $1 AND key = $2 "
            "AND ($3 IS NULL OR occurred_at < pg_catalog.now() - $3)",
            of_key);
    }
    if (count + outcomes > 0) {
        // the trail says how many, never whose
        const Parameter facts[] = {Int8(static_cast<int64_t>(count)), Int8(static_cast<int64_t>(outcomes)),
                                   Text(key != nullptr ? "key"
                                        : has_age      ? "age"
                                                       : "model")};
        Execute("SELECT pg_catalog.jsonb_build_object('predictions', $1, 'outcomes', $2, 'by', $3)", facts);
        RecordEvent({.action = "forget_predictions",
                     .model_id = model.id,
                     .model = name,
                     .role = GetUserNameFromId(write.caller, false),
                     .details = Result(0, 1)});
    }
    EndCatalogWrite(write, false);
    return static_cast<int64_t>(count);
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_forget_predictions) {
    using namespace dlent::pg;
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        const std::string key = PG_ARGISNULL(1) ? std::string() : TextOf(PG_GETARG_DATUM(1));
        const std::string recorded = dlent::RecordedText(key);
        const bool has_key = !PG_ARGISNULL(1);
        return Int64GetDatum(CallPostgres([&] {
            return Forget(model.c_str(), has_key ? key.c_str() : nullptr,
                          has_key ? recorded.c_str() : nullptr, PG_GETARG_DATUM(2), !PG_ARGISNULL(2));
        }));
    });
}
