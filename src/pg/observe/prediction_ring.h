#pragma once

#include <vector>

#include "core/observe/record_ring.h"
#include "pg/bridge/postgres.h"

namespace dlent::pg {

// The rings of records in shared memory, one for each database that records answers, so that none takes
// another's room. There are none unless the library was preloaded. Nothing here raises an error or waits for
// more than a spin lock.

/// Reserves the memory. To be called from _PG_init(); without effect unless the library is being preloaded.
void RequestPredictionMemory();
bool PredictionMemoryExists();

/// The ring of this database.
class PredictionRing {
 public:
    /// Null: there is no memory, or other databases have it all.
    static PredictionRing* OfThisDatabase();

    RecordRing& records() { return records_; }
    /// Numbers for `count` requests, never used before in this database; the first of them.
    int64_t TakeRequests(int count);
    /// To be called after records were pushed: has the writer look when they are many, and has one started
    /// where there is none. `now`: the time, nearly.
    void CallWriter(TimestampTz now);
    /// This process is the database's writer until it exits.
    void RegisterWriter();

 private:
    PredictionRing() = default;

    struct RingEntry* entry_ = nullptr;
    RecordRing records_;
};

/// Whether a database has a ring, or may take one.
bool HasPredictionRing(Oid database);
/// Whether records of a database wait.
bool PredictionsWait(Oid database);
bool PredictionWriterIsAlive(Oid database);
/// Counts records for which no database's ring is left.
void CountRefusedPredictions(uint64_t count);
/// Frees the rings of databases for which `exists` says no.
void ForgetPredictionRings(bool (*exists)(Oid database, void* argument), void* argument);

struct PredictionRingStatus {
    Oid database = InvalidOid;  ///< InvalidOid: what was refused for want of a ring
    int writer_pid = 0;
    uint64_t bytes = 0;
    uint64_t written = 0;
    uint64_t dropped = 0;
    uint64_t waiting = 0;
};
std::vector<PredictionRingStatus> PredictionRings();

}  // namespace dlent::pg
