#include "pg/bridge/postgres.h"

#include "pg/catalog/drift_reports.h"

#include <cmath>

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/writer.h"

namespace dlent::pg {
namespace {

/// A finding in PostgreSQL's terms.
struct ReportRow {
    const char* feature;
    const char* kind;
    const char* statistic;
    Parameter value;
    Parameter threshold;
    Parameter p_value;
    Parameter drifted;
    Datum details;
};

Parameter NumberOrNull(const std::optional<double>& number) {
    if (!number || std::isnan(*number))
        return {FLOAT8OID, 0, true};
    return CallPostgres([&number] { return Float8(*number); });
}

int64_t Insert(const VersionIdentity& identity, const char* source, const char* profile,
               const ReportRow* rows, size_t count) {
    const char* const role = GetUserNameFromId(GetUserId(), false);
    CatalogWrite write;
    BeginCatalogWrite("dlent_drift()", &write);
    Execute("SELECT pg_catalog.nextval('dlent.drift_report_id_seq')", nullptr, 0);
    const int64_t report = DatumGetInt64(Result(0, 1));
    for (size_t i = 0; i < count; ++i) {
        const ReportRow& row = rows[i];
        const Parameter parameters[] = {Int8(report),
                                        Int4(static_cast<int>(i) + 1),
                                        Int8(identity.model_id),
                                        Int8(identity.version_id),
                                        Int4(identity.version),
                                        Text(source),
                                        Text(profile),
                                        Text(row.feature),
                                        Text(row.kind),
                                        Text(row.statistic),
                                        row.value,
                                        row.threshold,
                                        row.p_value,
                                        row.drifted,
                                        Of(JSONBOID, row.details),
                                        Text(role)};
        Execute(
            "INSERT INTO dlent.drift_report (report, line, model_id, version_id, version, source, profile, "
            "feature, "
            "kind, statistic, value, threshold, p_value, drifted, details, role) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16::pg_catalog.name)",
            parameters);
    }
    EndCatalogWrite(write, false);
    return report;
}

}  // namespace

StoredReference ReadStoredReference(int64_t version_id) {
    const Datum stored = CallPostgres([version_id]() -> Datum {
        const MemoryContext caller = CurrentMemoryContext;
        CatalogWrite read;
        BeginCatalogRead(&read);
        const Parameter parameters[] = {Int8(version_id)};
        Datum reference = 0;
        if (ExecuteReadOnly("SELECT reference FROM dlent.version WHERE id = $1", parameters) == 1) {
            if (const Datum value = Result(0, 1)) {
                const MemoryContext previous = MemoryContextSwitchTo(caller);
                reference = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
                MemoryContextSwitchTo(previous);
            }
        }
        EndCatalogRead(read);
        return reference;
    });
    return {stored == 0 ? Json::object() : JsonFromDatum(stored)};
}

int64_t StoreDriftReport(const VersionIdentity& identity, const std::string& source,
                         const std::string& profile, const std::vector<DriftFinding>& findings) {
    std::vector<std::string> features;
    features.reserve(findings.size());
    std::vector<ReportRow> rows;
    for (const DriftFinding& finding : findings) {
        features.push_back(FromUtf8(finding.feature));
        rows.push_back({features.back().c_str(), finding.kind.c_str(), finding.statistic.c_str(),
                        NumberOrNull(finding.value), NumberOrNull(finding.threshold),
                        NumberOrNull(finding.p_value),
                        Parameter{BOOLOID, BoolGetDatum(finding.drifted.value_or(false)), !finding.drifted},
                        JsonbDatum(finding.details)});
    }
    return CallPostgres(
        [&] { return Insert(identity, source.c_str(), profile.c_str(), rows.data(), rows.size()); });
}

}  // namespace dlent::pg
