#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "pg/bridge/postgres.h"

namespace dlent::pg {

// Counters of live distributions (core/drift/live_sketch.h) in shared memory, of some versions at once. Each
// version has several sets of counters, so that sessions that count beside each other share no cache lines.
// There are none unless the library was preloaded. Nothing here raises an error or waits for more than a spin
// lock.

/// Reserves the memory. To be called from _PG_init(); without effect unless the library is being preloaded.
void RequestSketchMemory();

/// A version's counters, as one session sees them.
class SketchCounters {
 public:
    SketchCounters() = default;
    /// Of a version of the extension `extension` in this database, which needs `count` counters. Where the
    /// memory is full, versions that nobody has used for a while give way. Without counters when there is no
    /// room.
    SketchCounters(Oid extension, int64_t version_id, size_t count, TimestampTz now);

    bool exist() const { return counters_ != nullptr; }
    /// The counters to add to now; null when they were given to another version meanwhile. `now` keeps them
    /// from being given away.
    std::atomic<uint64_t>* Use(TimestampTz now);

 private:
    struct SketchEntry* entry_ = nullptr;
    std::atomic<uint64_t>* counters_ = nullptr;
    uint64_t generation_ = 0;
};

/// What was counted of a version from `since` to `until`.
struct CountedSketch {
    int entry = 0;
    Oid database = InvalidOid;
    Oid extension = InvalidOid;
    int64_t version_id = 0;
    TimestampTz since = 0;
    TimestampTz until = 0;
    std::vector<uint64_t> counters;
};
/// Of a database, as it stands `now`: versions of which nothing was counted are left out.
std::vector<CountedSketch> LiveSketches(Oid database, TimestampTz now);
/// The same, of those whose window has ended (or all, when `all`): their counters begin anew. Windows end at
/// multiples of `window` microseconds. To be called by one process alone.
std::vector<CountedSketch> TakeSketches(Oid database, TimestampTz now, int64_t window, bool all);
/// Adds what was taken and not stored.
void ReturnSketch(const CountedSketch& sketch);

/// Whether something was counted in a database and waits to be stored.
bool SketchesWait(Oid database);
/// Frees the counters of a database's versions.
void ForgetSketches(Oid database);
/// The same of databases for which `exists` says no.
void ForgetSketches(bool (*exists)(Oid database, void* argument), void* argument);

}  // namespace dlent::pg
