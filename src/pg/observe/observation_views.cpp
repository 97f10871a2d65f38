// dlent.prediction_log_entries, dlent.live_sketches: what is in shared memory.

#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/relations.h"
#include "pg/observe/prediction_ring.h"
#include "pg/observe/prediction_store.h"
#include "pg/observe/sketch_counting.h"
#include "pg/observe/sketch_memory.h"

extern "C" {
#include "catalog/pg_authid.h"
#include "utils/acl.h"
#include "utils/tuplestore.h"
}

namespace dlent::pg {
namespace {

void PutRing(FunctionCallInfo fcinfo, const PredictionRingStatus& ring) {
    CallPostgres([&] {
        auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        const Datum values[] = {ObjectIdGetDatum(ring.database),
                                Int32GetDatum(ring.writer_pid),
                                Int64GetDatum(static_cast<int64>(ring.bytes)),
                                Int64GetDatum(static_cast<int64>(ring.written)),
                                Int64GetDatum(static_cast<int64>(ring.dropped)),
                                Int64GetDatum(static_cast<int64>(ring.waiting))};
        const bool nulls[] = {!OidIsValid(ring.database), ring.writer_pid == 0, false, false, false, false};
        tuplestore_putvalues(result->setResult, result->setDesc, const_cast<Datum*>(values),
                             const_cast<bool*>(nulls));
    });
}

/// Whether the current user may see a model's distributions: as dlent.visible_model has it.
bool MaySee(const RecordedVersionRow& version) {
    const FoundModel model{.id = version.model_id, .owner = version.owner};
    return HasPrivilege(model, Privilege::kPredict) || HasPrivilege(model, Privilege::kExplain) ||
           has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_DATA);
}

void PutSketch(FunctionCallInfo fcinfo, Oid extension, const CountedSketch& sketch) {
    struct Found {
        bool there;
        RecordedVersionRow version;
    };
    const Found found = CallPostgres([&sketch] {
        Found result{};
        result.there = FindRecordedVersion(sketch.version_id, &result.version) && MaySee(result.version);
        return result;
    });
    if (sketch.extension != extension || !found.there)
        return;
    const VersionIdentity identity{found.version.model_id, sketch.version_id,    found.version.number,
                                   found.version.owner,    found.version.digest, found.version.model};
    const std::shared_ptr<const LiveSketch> layout =
        LiveSketchOf(extension, sketch.version_id, AcquireScorer(identity)->model());
    if (layout == nullptr)
        return;
    const Datum json = JsonbDatum(layout->ToJson(sketch.counters));
    const auto rows = static_cast<int64>(LiveSketch::Rows(sketch.counters));
    CallPostgres([&] {
        auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        const Datum values[] = {Int64GetDatum(sketch.version_id), TimestampTzGetDatum(sketch.since),
                                TimestampTzGetDatum(sketch.until), Int64GetDatum(rows), json};
        const bool nulls[] = {false, false, false, false, false};
        tuplestore_putvalues(result->setResult, result->setDesc, const_cast<Datum*>(values),
                             const_cast<bool*>(nulls));
    });
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_prediction_log_entries) {
    return Entry(fcinfo, [fcinfo] {
        CallPostgres([fcinfo] { InitMaterializedSRF(fcinfo, 0); });
        for (const PredictionRingStatus& ring : PredictionRings())
            PutRing(fcinfo, ring);
        return Datum{0};
    });
}

DLENT_FUNCTION(dlent_live_sketches) {
    return Entry(fcinfo, [fcinfo] {
        const Oid extension = CallPostgres([fcinfo] {
            InitMaterializedSRF(fcinfo, 0);
            return GetCatalogRelations().extension;
        });
        for (const CountedSketch& sketch : LiveSketches(MyDatabaseId, GetCurrentTimestamp()))
            PutSketch(fcinfo, extension, sketch);
        return Datum{0};
    });
}
