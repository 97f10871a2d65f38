#include "pg/bridge/postgres.h"

#include "pg/observe/live_counts.h"

#include <algorithm>

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/relations.h"
#include "pg/catalog/writer.h"
#include "pg/observe/sketch_counting.h"
#include "pg/observe/sketch_memory.h"

namespace dlent::pg {
namespace {

struct StoredSketch {
    TimestampTz window_start;
    Datum sketch;
};

struct StoredSketches {
    StoredSketch* list;
    uint64_t count;
};

/// In the current memory context. Raises PostgreSQL errors.
StoredSketches ReadStored(int64_t version_id, TimestampTz since) {
    const MemoryContext context = CurrentMemoryContext;
    CatalogWrite read;
    BeginCatalogRead(&read);
    const Parameter parameters[] = {Int8(version_id), Of(TIMESTAMPTZOID, TimestampTzGetDatum(since))};
    StoredSketches stored{};
    stored.count = ExecuteReadOnly(
        "SELECT window_start, sketch FROM dlent.sketch WHERE version_id = $1 AND window_end > $2",
        parameters);
    const MemoryContext previous = MemoryContextSwitchTo(context);
    stored.list = static_cast<StoredSketch*>(palloc(sizeof(StoredSketch) * (stored.count + 1)));
    for (uint64_t i = 0; i < stored.count; ++i)
        stored.list[i] = {DatumGetTimestampTz(Result(i, 1)),
                          PointerGetDatum(PG_DETOAST_DATUM_COPY(Result(i, 2)))};
    MemoryContextSwitchTo(previous);
    EndCatalogRead(read);
    return stored;
}

}  // namespace

std::optional<LiveCounts> ReadLiveCounts(const VersionIdentity& version, const Model& model, int64_t span) {
    const Oid extension = CallPostgres([] { return GetCatalogRelations().extension; });
    const std::shared_ptr<const LiveSketch> layout = LiveSketchOf(extension, version.version_id, model);
    if (layout == nullptr)
        return std::nullopt;
    const TimestampTz now = GetCurrentTimestamp();
    std::vector<uint64_t> counters(layout->counter_count());
    TimestampTz first = now;
    const StoredSketches stored = CallPostgres([&] { return ReadStored(version.version_id, now - span); });
    for (uint64_t i = 0; i < stored.count; ++i) {
        ThrowIfError(layout->AddJson(JsonFromDatum(stored.list[i].sketch), counters));
        first = std::min(first, stored.list[i].window_start);
    }
    for (const CountedSketch& sketch : LiveSketches(MyDatabaseId, now)) {
        if (sketch.extension != extension || sketch.version_id != version.version_id)
            continue;
        for (size_t i = 0; i < counters.size() && i < sketch.counters.size(); ++i)
            counters[i] += sketch.counters[i];
        first = std::min(first, sketch.since);
    }
    if (LiveSketch::Rows(counters) == 0)
        return std::nullopt;
    return LiveCounts{layout->ToSamples(counters), UtcText(first)};
}

}  // namespace dlent::pg
