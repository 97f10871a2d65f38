#include "pg/bridge/postgres.h"

#include "pg/explain/global_store.h"

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/catalog/writer.h"

namespace dlent::pg {

void StoreGlobalExplanation(const VersionIdentity& identity, const std::string* source, size_t rows,
                            const Json& method, const Json& importances) {
    const Datum method_datum = JsonbDatum(method);
    const Datum importances_datum = JsonbDatum(importances);
    const char* const source_text = source != nullptr ? source->c_str() : nullptr;
    CallPostgres([&identity, source_text, rows, method_datum, importances_datum] {
        const char* const role = GetUserNameFromId(GetUserId(), false);
        CatalogWrite write;
        BeginCatalogWrite("dlent_explain_global()", &write);
        // one writer at a time, so that two do not leave both their rows
        const Parameter model[] = {Int8(identity.model_id)};
        Execute("SELECT FROM dlent.model WHERE id = $1 FOR UPDATE", model);
        const Parameter version[] = {Int8(identity.version_id)};
        Execute("DELETE FROM dlent.explanation_global WHERE version_id = $1", version);
        const Parameter parameters[] = {Int8(identity.version_id),  Of(JSONBOID, importances_datum),
                                        Text(source_text),          Int8(static_cast<int64_t>(rows)),
                                        Of(JSONBOID, method_datum), Text(role)};
        Execute(
            "INSERT INTO dlent.explanation_global (version_id, class, feature, mean_abs, std_error, rank, "
            "source, rows, "
            "method, by) "
            "SELECT $1, r.class, r.feature, r.mean_abs, r.std_error, r.rank, $3, $4, $5, $6::pg_catalog.name "
            "FROM pg_catalog.jsonb_to_recordset($2) AS r (class text, feature text, mean_abs float8, "
            "std_error float8, "
            "rank int)",
            parameters);
        EndCatalogWrite(write, false);
    });
}

}  // namespace dlent::pg
