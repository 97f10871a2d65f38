// dlent_forget_predictions: erasure by key and by age.

#include "pg/bridge/postgres.h"

#include "core/observe/prediction_record.h"
#include "pg/bridge/error.h"
#include "pg/catalog/model_change.h"
#include "pg/catalog/models.h"
#include "pg/functions/arguments.h"

namespace dlent::pg {
namespace {

int64_t Forget(const char* name, const char* key, Datum older_than, bool has_age) {
    CatalogWrite write;
    FoundModel model;
    BeginCatalogWrite("dlent_forget_predictions()", &write);
    FindManagedModel(name, write, RowLock::kNone, &model);
    const Parameter parameters[] = {Int8(model.id), Text(key), {INTERVALOID, older_than, !has_age}};
    const auto count = static_cast<int64_t>(
        Execute("DELETE FROM dlent.prediction WHERE model_id = $1 AND ($2 IS NULL OR key = $2) "
                "AND ($3 IS NULL OR predicted_at < pg_catalog.now() - $3)",
                parameters));
    RecordErasure(write, model, name, "predictions", count,
                  key != nullptr ? "key"
                  : has_age      ? "age"
                                 : "model");
    EndCatalogWrite(write, false);
    return count;
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_forget_predictions) {
    using namespace dlent::pg;
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        // as it was recorded
        const std::string key =
            PG_ARGISNULL(1) ? std::string() : dlent::RecordedText(TextOf(PG_GETARG_DATUM(1)));
        const char* wanted = PG_ARGISNULL(1) ? nullptr : key.c_str();
        return Int64GetDatum(CallPostgres(
            [&] { return Forget(model.c_str(), wanted, PG_GETARG_DATUM(2), !PG_ARGISNULL(2)); }));
    });
}
