#include "pg/bridge/postgres.h"

#include "pg/catalog/report_retention.h"

#include <array>

#include "pg/bridge/error.h"
#include "pg/catalog/writer.h"

namespace dlent::pg {
namespace {

/// Reports, of a row for each question, and results that one transaction deletes.
constexpr int kReportsAtOnce = 100;
constexpr int kResultsAtOnce = 5000;

}  // namespace

bool PruneReports(TimestampTz before) {
    return CallPostgres([before] {
        CatalogWrite write;
        BeginCatalogWrite("deleting old reports", &write);
        const auto parameters = [before](int most) {
            return std::array<Parameter, 2>{Of(TIMESTAMPTZOID, TimestampTzGetDatum(before)), Int4(most)};
        };
        Execute(
            "WITH old AS (SELECT o.report FROM dlent.drift_report AS o WHERE o.line = 1 AND o.created_at < "
            "$1 "
            "AND EXISTS (SELECT FROM dlent.drift_report AS n WHERE n.model_id = o.model_id AND n.report > "
            "o.report) ORDER BY o.created_at LIMIT $2), "
            "gone AS (DELETE FROM dlent.drift_report AS r USING old WHERE r.report = old.report) "
            "SELECT pg_catalog.count(*) FROM old",
            parameters(kReportsAtOnce).data(), 2);
        const int64_t reports = DatumGetInt64(Result(0, 1));
        const uint64_t results = Execute(
            "DELETE FROM dlent.expectation_result AS r USING (SELECT o.\"check\", o.name FROM "
            "dlent.expectation_result AS o WHERE o.created_at < $1 AND EXISTS (SELECT FROM "
            "dlent.expectation_result AS n WHERE n.model_id = o.model_id AND n.name = o.name AND n.\"check\" "
            "> "
            "o.\"check\") ORDER BY o.created_at LIMIT $2) AS old "
            "WHERE r.\"check\" = old.\"check\" AND r.name = old.name",
            parameters(kResultsAtOnce).data(), 2);
        EndCatalogWrite(write, false);
        return reports >= kReportsAtOnce || results >= kResultsAtOnce;
    });
}

}  // namespace dlent::pg
