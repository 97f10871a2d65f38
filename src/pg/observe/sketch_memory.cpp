#include "pg/bridge/postgres.h"

#include "pg/observe/sketch_memory.h"

#include <algorithm>

#include "core/drift/live_sketch.h"
#include "pg/bridge/shared_memory.h"
#include "pg/observe/settings.h"

extern "C" {
#include "access/xlog.h"
#include "storage/shmem.h"
#include "storage/spin.h"
}

namespace dlent::pg {

/// Whose counters are where. Read and changed under the lock.
struct SketchLayout {
    Oid database;  ///< InvalidOid: free
    Oid extension;
    int64_t version_id;
    uint32_t first_page;
    uint32_t pages;
    uint32_t stripe_counters;  ///< of one set, a whole number of cache lines
    uint32_t stripes;
};

/// A version's place.
struct SketchEntry {
    std::atomic<uint64_t> generation;  ///< grows when the place is given to another version
    SketchLayout layout;
    std::atomic<TimestampTz> used_at;
    std::atomic<TimestampTz> since;
};

namespace {

constexpr int kMaxSketches = 256;
constexpr size_t kPageBytes = 8192;
constexpr size_t kCountersOfPage = kPageBytes / sizeof(uint64_t);
constexpr size_t kCountersOfLine = 64 / sizeof(uint64_t);
constexpr uint32_t kMostStripes = 8;
/// Nobody pauses for so long between asking for its counters and adding to them.
constexpr int64_t kIdle = 60 * USECS_PER_SEC;
/// What is taken so soon behind the end of a window is that window's.
constexpr int64_t kPunctual = 5 * USECS_PER_SEC;

struct SketchMemory {
    slock_t lock;  ///< of giving and freeing places
    uint32_t pages;
    SketchEntry entries[kMaxSketches];
    /// Which place a page belongs to, from 1; 0: none.
    uint16_t owners[FLEXIBLE_ARRAY_MEMBER];
};

SketchMemory* sketch_memory = nullptr;
std::atomic<uint64_t>* counters = nullptr;

uint32_t Pages() {
    return static_cast<uint32_t>(SketchMemoryBytes() / kPageBytes);
}

Size SketchHeadBytes() {
    return TYPEALIGN(kPageBytes, offsetof(SketchMemory, owners) + Pages() * sizeof(uint16_t));
}

Size SketchMemorySize() {
    return SketchHeadBytes() + kPageBytes + Pages() * kPageBytes;
}

void AttachSketchMemory(void* address, bool made) {
    char* const aligned =
        reinterpret_cast<char*>(TYPEALIGN(kPageBytes, reinterpret_cast<uintptr_t>(address)));
    sketch_memory = reinterpret_cast<SketchMemory*>(aligned);
    counters = reinterpret_cast<std::atomic<uint64_t>*>(aligned + SketchHeadBytes());
    if (made) {
        SpinLockInit(&sketch_memory->lock);
        sketch_memory->pages = Pages();
    }
}

std::atomic<uint64_t>* CountersOf(const SketchLayout& layout, uint32_t stripe) {
    return counters + layout.first_page * kCountersOfPage + size_t{stripe} * layout.stripe_counters;
}

bool IsEmpty(const SketchLayout& layout) {
    for (uint32_t stripe = 0; stripe < layout.stripes; ++stripe) {
        if (CountersOf(layout, stripe)[0].load(std::memory_order_relaxed) != 0)
            return false;
    }
    return true;
}

// ---- under the lock ----

void Free(SketchEntry* entry) {
    entry->generation.fetch_add(1);
    for (uint32_t page = 0; page < entry->layout.pages; ++page)
        sketch_memory->owners[entry->layout.first_page + page] = 0;
    entry->layout = {};
}

SketchEntry* Find(Oid extension, int64_t version_id) {
    for (SketchEntry& entry : sketch_memory->entries) {
        if (entry.layout.database == MyDatabaseId && entry.layout.extension == extension &&
            entry.layout.version_id == version_id)
            return &entry;
    }
    return nullptr;
}

SketchEntry* FindFree() {
    for (SketchEntry& entry : sketch_memory->entries) {
        if (entry.layout.database == InvalidOid)
            return &entry;
    }
    return nullptr;
}

/// The first of `pages` free pages in a row; sketch_memory->pages when there are none.
uint32_t FindPages(uint32_t pages) {
    uint32_t row = 0;
    for (uint32_t page = 0; page < sketch_memory->pages; ++page) {
        row = sketch_memory->owners[page] == 0 ? row + 1 : 0;
        if (row == pages)
            return page + 1 - pages;
    }
    return sketch_memory->pages;
}

/// Frees the place that was not used for the longest time, if any is idle. On a primary what was counted
/// there is stored first.
bool FreeIdle(TimestampTz now, bool standby) {
    SketchEntry* idlest = nullptr;
    for (SketchEntry& entry : sketch_memory->entries) {
        if (entry.layout.database == InvalidOid || entry.used_at > now - kIdle ||
            (!standby && !IsEmpty(entry.layout)))
            continue;
        if (idlest == nullptr || entry.used_at < idlest->used_at)
            idlest = &entry;
    }
    if (idlest != nullptr)
        Free(idlest);
    return idlest != nullptr;
}

SketchEntry* Make(Oid extension, int64_t version_id, size_t count, TimestampTz now, bool standby) {
    const size_t stripe = (count + kCountersOfLine - 1) / kCountersOfLine * kCountersOfLine;
    for (;;) {
        SketchEntry* const entry = FindFree();
        for (uint32_t stripes = entry == nullptr ? 0 : kMostStripes; stripes > 0; stripes /= 2) {
            const auto pages =
                static_cast<uint32_t>((stripe * stripes + kCountersOfPage - 1) / kCountersOfPage);
            const uint32_t first = FindPages(pages);
            if (first == sketch_memory->pages)
                continue;
            for (uint32_t page = 0; page < pages; ++page)
                sketch_memory->owners[first + page] =
                    static_cast<uint16_t>(entry - sketch_memory->entries + 1);
            entry->layout = {MyDatabaseId, extension, version_id, first, pages, static_cast<uint32_t>(stripe),
                             stripes};
            entry->used_at = now;
            entry->since = now;
            for (size_t i = 0; i < pages * kCountersOfPage; ++i)
                CountersOf(entry->layout, 0)[i].store(0, std::memory_order_relaxed);
            return entry;
        }
        if (!FreeIdle(now, standby))
            return nullptr;
    }
}

// ----

/// A place as it was at one time: its counters lie within the memory, whosever they are by now.
struct Place {
    SketchEntry* entry;
    SketchLayout layout;
};
struct Places {
    Place list[kMaxSketches];
    int count;
};

/// Those of a database.
Places PlacesOf(Oid database) {
    Places places;
    places.count = 0;
    if (sketch_memory == nullptr)
        return places;
    SpinLockAcquire(&sketch_memory->lock);
    for (SketchEntry& entry : sketch_memory->entries) {
        if (entry.layout.database == database)
            places.list[places.count++] = {&entry, entry.layout};
    }
    SpinLockRelease(&sketch_memory->lock);
    return places;
}

CountedSketch Describe(const Place& place, TimestampTz until) {
    return {static_cast<int>(place.entry - sketch_memory->entries),
            place.layout.database,
            place.layout.extension,
            place.layout.version_id,
            place.entry->since.load(),
            until,
            std::vector<uint64_t>(place.layout.stripe_counters)};
}

/// When what is counted is stored that was begun `since`.
TimestampTz EndOfWindow(TimestampTz since, int64_t window) {
    return (since / window + 1) * window;
}

}  // namespace

void RequestSketchMemory() {
    if (Pages() > 0)
        RegisterSharedMemory({"dlent sketches", SketchMemorySize, AttachSketchMemory});
}

SketchCounters::SketchCounters(Oid extension, int64_t version_id, size_t count, TimestampTz now) {
    if (sketch_memory == nullptr)
        return;
    const bool standby = RecoveryInProgress();
    SpinLockAcquire(&sketch_memory->lock);
    entry_ = Find(extension, version_id);
    if (entry_ == nullptr)
        entry_ = Make(extension, version_id, count, now, standby);
    if (entry_ != nullptr && entry_->layout.stripe_counters >= count) {
        generation_ = entry_->generation;
        counters_ =
            CountersOf(entry_->layout, static_cast<uint32_t>(BackendNumber()) % entry_->layout.stripes);
    }
    SpinLockRelease(&sketch_memory->lock);
}

std::atomic<uint64_t>* SketchCounters::Use(TimestampTz now) {
    if (counters_ == nullptr)
        return nullptr;
    entry_->used_at.store(now, std::memory_order_relaxed);
    if (entry_->generation.load(std::memory_order_acquire) != generation_)
        counters_ = nullptr;
    return counters_;
}

std::vector<CountedSketch> LiveSketches(Oid database, TimestampTz now) {
    std::vector<CountedSketch> sketches;
    const Places places = PlacesOf(database);
    for (int i = 0; i < places.count; ++i) {
        const SketchLayout& layout = places.list[i].layout;
        if (IsEmpty(layout))
            continue;
        CountedSketch sketch = Describe(places.list[i], now);
        for (uint32_t stripe = 0; stripe < layout.stripes; ++stripe) {
            for (uint32_t k = 0; k < layout.stripe_counters; ++k)
                sketch.counters[k] += CountersOf(layout, stripe)[k].load(std::memory_order_relaxed);
        }
        sketches.push_back(std::move(sketch));
    }
    return sketches;
}

std::vector<CountedSketch> TakeSketches(Oid database, TimestampTz now, int64_t window, bool all) {
    std::vector<CountedSketch> sketches;
    const Places places = PlacesOf(database);
    for (int i = 0; i < places.count; ++i) {
        const Place& place = places.list[i];
        const TimestampTz end = EndOfWindow(place.entry->since, window);
        if (now < end && !all)
            continue;
        const TimestampTz until = now > end && now < end + kPunctual ? end : now;
        // who has counts keeps the place
        if (!IsEmpty(place.layout)) {
            CountedSketch sketch = Describe(place, until);
            for (uint32_t stripe = 0; stripe < place.layout.stripes; ++stripe) {
                for (uint32_t k = 0; k < place.layout.stripe_counters; ++k)
                    sketch.counters[k] +=
                        CountersOf(place.layout, stripe)[k].exchange(0, std::memory_order_relaxed);
            }
            sketches.push_back(std::move(sketch));
        }
        place.entry->since = until;
    }
    return sketches;
}

void ReturnSketch(const CountedSketch& sketch) {
    SketchEntry& entry = sketch_memory->entries[sketch.entry];
    SpinLockAcquire(&sketch_memory->lock);
    if (entry.layout.database == sketch.database && entry.layout.extension == sketch.extension &&
        entry.layout.version_id == sketch.version_id) {
        for (size_t k = 0; k < sketch.counters.size(); ++k)
            CountersOf(entry.layout, 0)[k].fetch_add(sketch.counters[k], std::memory_order_relaxed);
        entry.since = sketch.since;
    }
    SpinLockRelease(&sketch_memory->lock);
}

bool SketchesWait(Oid database) {
    const Places places = PlacesOf(database);
    for (int i = 0; i < places.count; ++i) {
        if (!IsEmpty(places.list[i].layout))
            return true;
    }
    return false;
}

void ForgetSketches(Oid database) {
    if (sketch_memory == nullptr)
        return;
    SpinLockAcquire(&sketch_memory->lock);
    for (SketchEntry& entry : sketch_memory->entries) {
        if (entry.layout.database == database)
            Free(&entry);
    }
    SpinLockRelease(&sketch_memory->lock);
}

void ForgetSketches(bool (*exists)(Oid database, void* argument), void* argument) {
    for (int i = 0; sketch_memory != nullptr && i < kMaxSketches; ++i) {
        SpinLockAcquire(&sketch_memory->lock);
        const Oid database = sketch_memory->entries[i].layout.database;
        SpinLockRelease(&sketch_memory->lock);
        if (database != InvalidOid && !exists(database, argument))
            ForgetSketches(database);
    }
}

}  // namespace dlent::pg
