// dlent.probe_files(): what view dlent.probe_cache shows.

#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/cache/session_cache.h"
#include "pg/cache/version_file.h"

extern "C" {
#include "utils/tuplestore.h"
}

namespace dlent::pg {
namespace {

enum Column { kDigest, kProbeId, kBytes, kCreatedAt, kMapped, kPrivateBytes, kColumnCount };

void PutRow(ReturnSetInfo* result, const VersionDigest& version, const VersionDigest& probe,
            const VersionFileStatus* file, const CachedObject* cached) {
    Datum values[kColumnCount] = {};
    bool nulls[kColumnCount] = {};
    values[kDigest] = UuidOfDigest(version);
    values[kProbeId] = UuidOfDigest(probe);
    nulls[kBytes] = nulls[kCreatedAt] = file == nullptr;
    if (file != nullptr) {
        values[kBytes] = Int64GetDatum(file->bytes);
        values[kCreatedAt] = TimestampTzGetDatum(file->created_at);
    }
    values[kMapped] = BoolGetDatum(cached != nullptr && cached->mapped);
    nulls[kPrivateBytes] = cached == nullptr;
    if (cached != nullptr)
        values[kPrivateBytes] = Int64GetDatum(static_cast<int64_t>(cached->private_bytes()));
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_probe_files) {
    using namespace dlent::pg;
    return Entry(fcinfo, [fcinfo] {
        CallPostgres([fcinfo] {
            InitMaterializedSRF(fcinfo, 0);
            auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
            int count = 0;
            const ProbeFile* files = ListProbeFiles(&count);
            for (int i = 0; i < count; ++i)
                PutRow(result, files[i].version, files[i].probe, &files[i].status,
                       TheSessionCache().Find(CachedKind::kProbe, files[i].version, files[i].probe));
            for (const CachedObject& object : TheSessionCache().objects()) {
                bool listed = object.kind != CachedKind::kProbe;
                for (int i = 0; i < count && !listed; ++i)
                    listed = files[i].version == object.version && files[i].probe == object.part;
                if (!listed)
                    PutRow(result, object.version, object.part, nullptr, &object);
            }
        });
        return Datum{0};
    });
}
