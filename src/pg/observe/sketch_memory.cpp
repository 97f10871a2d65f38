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

/// A version's place; free ones have no database.
struct SketchEntry {
    std::atomic<uint64_t> generation;  ///< grows when the place is given to another version
    std::atomic<Oid> database;
    Oid extension;
    int64_t version_id;
    uint32_t first_page;
    uint32_t pages;
    uint32_t stripe_counters;  ///< of one set, a whole number of cache lines
    uint32_t stripes;
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

struct Memory {
    slock_t lock;  ///< of giving and freeing places
    uint32_t pages;
    SketchEntry entries[kMaxSketches];
    /// Which place a page belongs to, from 1; 0: none.
    uint16_t owners[FLEXIBLE_ARRAY_MEMBER];
};

Memory* memory = nullptr;
std::atomic<uint64_t>* counters = nullptr;

uint32_t Pages() {
    return static_cast<uint32_t>(SketchMemoryBytes() / kPageBytes);
}

Size HeadBytes() {
    return TYPEALIGN(kPageBytes, offsetof(Memory, owners) + Pages() * sizeof(uint16_t));
}

Size MemorySize() {
    return HeadBytes() + kPageBytes + Pages() * kPageBytes;
}

void AttachMemory(void* address, bool made) {
    char* const aligned =
        reinterpret_cast<char*>(TYPEALIGN(kPageBytes, reinterpret_cast<uintptr_t>(address)));
    memory = reinterpret_cast<Memory*>(aligned);
    counters = reinterpret_cast<std::atomic<uint64_t>*>(aligned + HeadBytes());
    if (made) {
        SpinLockInit(&memory->lock);
        memory->pages = Pages();
    }
}

std::atomic<uint64_t>* CountersOf(const SketchEntry& entry, uint32_t stripe) {
    return counters + entry.first_page * kCountersOfPage + size_t{stripe} * entry.stripe_counters;
}

bool IsUsed(const SketchEntry& entry, Oid database) {
    return entry.database.load(std::memory_order_acquire) == database;
}

bool IsEmpty(const SketchEntry& entry) {
    for (uint32_t stripe = 0; stripe < entry.stripes; ++stripe) {
        if (CountersOf(entry, stripe)[0].load(std::memory_order_relaxed) != 0)
            return false;
    }
    return true;
}

// ---- under the lock ----

void Free(SketchEntry* entry) {
    entry->generation.fetch_add(1);
    entry->database.store(InvalidOid, std::memory_order_release);
    for (uint32_t page = 0; page < entry->pages; ++page)
        memory->owners[entry->first_page + page] = 0;
}

SketchEntry* Find(Oid extension, int64_t version_id) {
    for (SketchEntry& entry : memory->entries) {
        if (IsUsed(entry, MyDatabaseId) && entry.extension == extension && entry.version_id == version_id)
            return &entry;
    }
    return nullptr;
}

SketchEntry* FindFree() {
    for (SketchEntry& entry : memory->entries) {
        if (IsUsed(entry, InvalidOid))
            return &entry;
    }
    return nullptr;
}

/// The first of `pages` free pages in a row; memory->pages when there are none.
uint32_t FindPages(uint32_t pages) {
    uint32_t row = 0;
    for (uint32_t page = 0; page < memory->pages; ++page) {
        row = memory->owners[page] == 0 ? row + 1 : 0;
        if (row == pages)
            return page + 1 - pages;
    }
    return memory->pages;
}

/// Frees the place that was not used for the longest time, if any is idle. On a primary what was counted
/// there is stored first.
bool FreeIdle(TimestampTz now, bool standby) {
    SketchEntry* idlest = nullptr;
    for (SketchEntry& entry : memory->entries) {
        if (IsUsed(entry, InvalidOid) || entry.used_at > now - kIdle || (!standby && !IsEmpty(entry)))
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
            if (first == memory->pages)
                continue;
            for (uint32_t page = 0; page < pages; ++page)
                memory->owners[first + page] = static_cast<uint16_t>(entry - memory->entries + 1);
            entry->extension = extension;
            entry->version_id = version_id;
            entry->first_page = first;
            entry->pages = pages;
            entry->stripe_counters = static_cast<uint32_t>(stripe);
            entry->stripes = stripes;
            entry->used_at = now;
            entry->since = now;
            for (size_t i = 0; i < pages * kCountersOfPage; ++i)
                CountersOf(*entry, 0)[i].store(0, std::memory_order_relaxed);
            entry->database.store(MyDatabaseId, std::memory_order_release);
            return entry;
        }
        if (!FreeIdle(now, standby))
            return nullptr;
    }
}

// ----

CountedSketch Describe(const SketchEntry& entry, TimestampTz until) {
    return {static_cast<int>(&entry - memory->entries),
            entry.database.load(),
            entry.extension,
            entry.version_id,
            entry.since.load(),
            until,
            std::vector<uint64_t>(entry.stripe_counters)};
}

/// When what is counted is stored that was begun `since`.
TimestampTz EndOfWindow(TimestampTz since, int64_t window) {
    return (since / window + 1) * window;
}

}  // namespace

void RequestSketchMemory() {
    if (Pages() > 0)
        RegisterSharedMemory({"dlent sketches", MemorySize, AttachMemory});
}

SketchCounters::SketchCounters(Oid extension, int64_t version_id, size_t count, TimestampTz now) {
    if (memory == nullptr)
        return;
    const bool standby = RecoveryInProgress();
    SpinLockAcquire(&memory->lock);
    entry_ = Find(extension, version_id);
    if (entry_ == nullptr)
        entry_ = Make(extension, version_id, count, now, standby);
    if (entry_ != nullptr)
        generation_ = entry_->generation;
    SpinLockRelease(&memory->lock);
    if (entry_ != nullptr && entry_->stripe_counters >= count)
        counters_ = CountersOf(*entry_, static_cast<uint32_t>(BackendNumber()) % entry_->stripes);
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
    for (int i = 0; memory != nullptr && i < kMaxSketches; ++i) {
        const SketchEntry& entry = memory->entries[i];
        if (!IsUsed(entry, database) || IsEmpty(entry))
            continue;
        CountedSketch sketch = Describe(entry, now);
        for (uint32_t stripe = 0; stripe < entry.stripes; ++stripe) {
            for (uint32_t k = 0; k < entry.stripe_counters; ++k)
                sketch.counters[k] += CountersOf(entry, stripe)[k].load(std::memory_order_relaxed);
        }
        sketches.push_back(std::move(sketch));
    }
    return sketches;
}

std::vector<CountedSketch> TakeSketches(Oid database, TimestampTz now, int64_t window, bool all) {
    std::vector<CountedSketch> sketches;
    for (int i = 0; memory != nullptr && i < kMaxSketches; ++i) {
        SketchEntry& entry = memory->entries[i];
        if (!IsUsed(entry, database))
            continue;
        const TimestampTz end = EndOfWindow(entry.since, window);
        if (now < end && !all)
            continue;
        const TimestampTz until = now > end && now < end + kPunctual ? end : now;
        if (!IsEmpty(entry)) {
            CountedSketch sketch = Describe(entry, until);
            for (uint32_t stripe = 0; stripe < entry.stripes; ++stripe) {
                for (uint32_t k = 0; k < entry.stripe_counters; ++k)
                    sketch.counters[k] += CountersOf(entry, stripe)[k].exchange(0, std::memory_order_relaxed);
            }
            sketches.push_back(std::move(sketch));
        }
        entry.since = until;
    }
    return sketches;
}

void ReturnSketch(const CountedSketch& sketch) {
    SketchEntry& entry = memory->entries[sketch.entry];
    if (!IsUsed(entry, sketch.database) || entry.version_id != sketch.version_id)
        return;
    for (size_t k = 0; k < sketch.counters.size(); ++k)
        CountersOf(entry, 0)[k].fetch_add(sketch.counters[k], std::memory_order_relaxed);
    entry.since = sketch.since;
}

bool SketchesWait(Oid database) {
    for (int i = 0; memory != nullptr && i < kMaxSketches; ++i) {
        if (IsUsed(memory->entries[i], database) && !IsEmpty(memory->entries[i]))
            return true;
    }
    return false;
}

void ForgetSketches(Oid database) {
    if (memory == nullptr)
        return;
    SpinLockAcquire(&memory->lock);
    for (SketchEntry& entry : memory->entries) {
        if (IsUsed(entry, database))
            Free(&entry);
    }
    SpinLockRelease(&memory->lock);
}

void ForgetSketches(bool (*exists)(Oid database, void* argument), void* argument) {
    for (int i = 0; memory != nullptr && i < kMaxSketches; ++i) {
        const Oid database = memory->entries[i].database;
        if (database != InvalidOid && !exists(database, argument))
            ForgetSketches(database);
    }
}

}  // namespace dlent::pg
