#include "pg/bridge/postgres.h"

#include "pg/observe/sketch_counting.h"

#include <algorithm>
#include <list>

#include "pg/bridge/error.h"
#include "pg/catalog/drift_reports.h"
#include "pg/observe/prediction_ring.h"
#include "pg/observe/settings.h"

extern "C" {
#include "access/xlog.h"
#include "common/pg_prng.h"
}

namespace dlent::pg {
namespace {

/// So many rows of a statement are all counted; the stretches of which one row is grow by one with every so
/// many rows. Each part of a statement that is as long as all before it then tells about as much.
constexpr uint64_t kWholeRows = 64;
constexpr size_t kMostCached = 32;

/// After it found no room for counters, a session asks again.
constexpr int64_t kBetweenAttempts = 10 * USECS_PER_SEC;

struct CachedSketch {
    Oid extension;
    int64_t version_id;
    std::shared_ptr<const LiveSketch> sketch;
    SketchCounters counters;   ///< once they were used
    TimestampTz asked_at = 0;  ///< for them, in vain or not
};

/// Versions never change; the most recently used first.
std::list<CachedSketch>& Cache() {
    static auto* const cache = new std::list<CachedSketch>;
    return *cache;
}

std::shared_ptr<const LiveSketch> MakeSketch(int64_t version_id, const Model& model) {
    const StoredReference stored = ReadStoredReference(version_id);
    if (!stored.json.is_object() || stored.json.empty())
        return nullptr;
    const Expected<DriftReference> reference = DriftReference::FromJson(stored.json);
    if (!reference.ok())
        return nullptr;
    Expected<LiveSketch> sketch = LiveSketch::Create(*reference, model.pipeline, model.target);
    return sketch.ok() ? std::make_shared<const LiveSketch>(std::move(*sketch)) : nullptr;
}

CachedSketch& Find(Oid extension, int64_t version_id, const Model& model) {
    std::list<CachedSketch>& cache = Cache();
    for (auto entry = cache.begin(); entry != cache.end(); ++entry) {
        if (entry->extension == extension && entry->version_id == version_id) {
            cache.splice(cache.begin(), cache, entry);
            return cache.front();
        }
    }
    cache.push_front({extension, version_id, MakeSketch(version_id, model), {}});
    if (cache.size() > kMostCached)
        cache.pop_back();
    return cache.front();
}

/// Its counters; none where nothing can be stored, or there is no room.
SketchCounters CountersOf(CachedSketch* cached, TimestampTz now) {
    if (cached->counters.Use(now) != nullptr)
        return cached->counters;
    const bool lately = now >= cached->asked_at && now < cached->asked_at + kBetweenAttempts;
    if (cached->sketch == nullptr || lately ||
        (!RecoveryInProgress() && PredictionRing::OfThisDatabase() == nullptr))
        return {};
    cached->asked_at = now;
    cached->counters =
        SketchCounters(cached->extension, cached->version_id, cached->sketch->counter_count(), now);
    return cached->counters;
}

}  // namespace

std::shared_ptr<const LiveSketch> LiveSketchOf(Oid extension, int64_t version_id, const Model& model) {
    return Find(extension, version_id, model).sketch;
}

void SketchCounting::Count(Oid extension, int64_t version_id, const Scorer& scorer, int rows,
                           const Cell* cells, const float* outputs) {
    const uint64_t end = rows_seen_ + static_cast<uint64_t>(rows);
    if (next_row_ >= end || (opened_ && !counters_.exist())) {
        rows_seen_ = end;
        return;
    }
    const TimestampTz now = GetCurrentTimestamp();
    if (!opened_) {
        opened_ = true;
        CachedSketch& cached = Find(extension, version_id, scorer.model());
        sketch_ = cached.sketch;
        counters_ = CountersOf(&cached, now);
    }
    std::atomic<uint64_t>* const counters = counters_.Use(now);
    const size_t cell_count = static_cast<size_t>(scorer.cell_count());
    const size_t output_count = static_cast<size_t>(scorer.output_count());
    while (next_row_ < end && counters != nullptr) {
        const size_t row = next_row_ - rows_seen_;
        sketch_->Add(cells + row * cell_count, outputs + row * output_count, stretch_, counters);
        stretch_begin_ += stretch_;
        stretch_ =
            std::min<uint64_t>(1 + stretch_begin_ / kWholeRows, static_cast<uint64_t>(SketchInterval()));
        next_row_ = stretch_begin_;
        if (stretch_ > 1)
            next_row_ += pg_prng_uint64(&pg_global_prng_state) % stretch_;
    }
    rows_seen_ = end;
}

}  // namespace dlent::pg
