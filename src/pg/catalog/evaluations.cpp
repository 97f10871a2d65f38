#include "pg/bridge/postgres.h"

#include "pg/catalog/evaluations.h"

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/catalog/writer.h"

namespace dlent::pg {
namespace {

int64_t Insert(const VersionIdentity& identity, const char* source, Datum metrics, Datum details,
               Datum options) {
    const char* const role = GetUserNameFromId(GetUserId(), false);
    CatalogWrite write;
    BeginCatalogWrite("dlent_evaluate()", &write);
    const Parameter parameters[] = {
        Int8(identity.model_id), Int8(identity.version_id), Int4(identity.version), Text(source),
        Of(JSONBOID, metrics),   Of(JSONBOID, details),     Of(JSONBOID, options),  Text(role)};
    Execute(
        "INSERT INTO dlent.evaluation (model_id, version_id, version, source, metrics, details, options, "
        "role) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8::pg_catalog.name) RETURNING id",
        parameters);
    const int64_t evaluation = DatumGetInt64(Result(0, 1));
    EndCatalogWrite(write, false);
    return evaluation;
}

}  // namespace

int64_t StoreEvaluation(const VersionIdentity& identity, const std::string& source, const Json& report,
                        const Json& options) {
    Json metrics = Json::object();
    Json details = Json::object();
    for (const auto& [name, value] : report.items())
        (value.is_number() ? metrics : details)[name] = value;
    // columns of their own
    metrics.erase("version");
    details.erase("model");
    const Datum numbers = JsonbDatum(metrics);
    const Datum rest = JsonbDatum(details);
    const Datum asked = JsonbDatum(options);
    return CallPostgres([&] { return Insert(identity, source.c_str(), numbers, rest, asked); });
}

}  // namespace dlent::pg
