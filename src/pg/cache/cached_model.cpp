// dlent.cached_model(): what view dlent.model_cache shows of a version.

#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/cache/session_cache.h"
#include "pg/cache/version_file.h"

extern "C" {
#include "funcapi.h"
}

namespace dlent::pg {
namespace {

enum Column { kBytes, kCreatedAt, kMapped, kPrivateBytes, kColumnCount };

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_cached_model) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] {
        const VersionDigest digest = DigestOfUuid(PG_GETARG_DATUM(0));
        const std::optional<VersionFileStatus> file = StatVersionFile({.version = digest});
        const CachedObject* cached = TheSessionCache().Find(CachedKind::kScorer, digest);
        Datum values[kColumnCount] = {};
        bool nulls[kColumnCount] = {!file, !file, false, cached == nullptr};
        if (file.has_value()) {
            values[kBytes] = Int64GetDatum(file->bytes);
            values[kCreatedAt] = TimestampTzGetDatum(file->created_at);
        }
        values[kMapped] = BoolGetDatum(cached != nullptr && cached->mapped);
        if (cached != nullptr)
            values[kPrivateBytes] = Int64GetDatum(static_cast<int64_t>(cached->private_bytes()));
        return CallPostgres([&] {
            TupleDesc columns = nullptr;
            if (get_call_result_type(fcinfo, nullptr, &columns) != TYPEFUNC_COMPOSITE)
                elog(ERROR, "return type must be a row type");
            return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls));
        });
    });
}
