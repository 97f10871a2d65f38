// dlent_forget_explanations: erasure by key, by age, and of what has expired.

#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/catalog/model_change.h"
#include "pg/catalog/models.h"
#include "pg/functions/arguments.h"

extern "C" {
#include "utils/acl.h"
}

namespace dlent::pg {
namespace {

/// The model that explanations are to be erased of. One that was dropped has nobody who manages it but those
/// that manage the extension's tables.
void FindForgetful(const char* name, const CatalogWrite& write, FoundModel* model) {
    if (FindManagedModelIfAny(name, write, RowLock::kNone, model))
        return;
    const Parameter parameters[] = {Text(name)};
    if (Execute("SELECT max(model_id) FROM dlent.explanation WHERE model = $1", parameters) == 0 ||
        Result(0, 1) == 0)
        RaiseNoModel(name);
    if (!has_privs_of_role(write.caller, GetUserId()))
        RaiseDenied(name);
}

int64_t Forget(const char* name, const char* key, Datum older_than, bool has_age) {
    CatalogWrite write;
    FoundModel model;
    BeginCatalogWrite("dlent_forget_explanations()", &write);
    FindForgetful(name, write, &model);
    const Parameter parameters[] = {
        Int8(model.id), Text(name), Text(key), {INTERVALOID, older_than, !has_age}};
    Execute(
        "WITH gone AS (DELETE FROM dlent.explanation AS e "
        "    WHERE CASE WHEN $1 = 0 THEN e.model = $2 "
        "              AND NOT EXISTS (SELECT FROM dlent.model AS m WHERE m.id = e.model_id) "
        "          ELSE e.model_id = $1 END "
        "        AND CASE WHEN $3 IS NULL AND $4 IS NULL THEN e.expires_at <= pg_catalog.now() "
        "            ELSE ($3 IS NULL OR e.entity_key = $3) "
        "                AND ($4 IS NULL OR e.at < pg_catalog.now() - $4) END "
        "    RETURNING e.id), "
        "features AS (DELETE FROM dlent.explanation_feature AS f USING gone WHERE f.id = gone.id), "
        "counterfactuals AS (DELETE FROM dlent.explanation_counterfactual AS c USING gone WHERE c.id = "
        "gone.id) "
        "SELECT pg_catalog.count(*) FROM gone",
        parameters);
    const int64_t count = DatumGetInt64(Result(0, 1));
    RecordErasure(write, model, name, "explanations", count,
                  key != nullptr ? "key"
                  : has_age      ? "age"
                                 : "retention");
    EndCatalogWrite(write, false);
    return count;
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_forget_explanations) {
    using namespace dlent::pg;
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        const std::string key = PG_ARGISNULL(1) ? std::string() : TextOf(PG_GETARG_DATUM(1));
        const char* wanted = PG_ARGISNULL(1) ? nullptr : key.c_str();
        return Int64GetDatum(CallPostgres(
            [&] { return Forget(model.c_str(), wanted, PG_GETARG_DATUM(2), !PG_ARGISNULL(2)); }));
    });
}
