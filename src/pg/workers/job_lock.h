#pragma once

#include <cstdint>

#include "pg/bridge/postgres.h"

namespace dlent::pg {

// Who does what is told by locks of PostgreSQL's lock manager, which no crash leaves behind and which need no
// shared memory of ours. They are advisory locks of classes that pg_advisory_lock() cannot reach; pg_locks
// shows them with objsubid kJobLock and so on. The functions raise PostgreSQL errors.

/// Session locks. `database` is this one but for slots, which are counted over the whole cluster.
enum LockClass : uint16_t {
    kJobLock = 209,  ///< number: the job. Held by the worker from before it takes the job until it exits
    kWorkerSlotLock = 210,        ///< number: from 0 to dlent.max_job_workers − 1
    kSchedulerLock = 211,         ///< number: 0. Held by the database's scheduler
    kPredictionWriterLock = 212,  ///< number: 0. Held by the database's writer of predictions
    kMonitorLock = 214,           ///< number: the model. Held by who runs its monitor
};

/// Takes a session lock unless somebody else has it.
bool TryLockForSession(LockClass lock_class, int64_t number);
void UnlockForSession(LockClass lock_class, int64_t number);
/// Takes it until the transaction ends, unless somebody else has it.
bool TryLockForTransaction(LockClass lock_class, int64_t number);

/// The process that holds a lock; 0: none.
int LockHolder(LockClass lock_class, int64_t number);

/// A worker slot for this session; −1: all are taken.
int TakeWorkerSlot();
/// Slots that nobody holds now.
int FreeWorkerSlots();

/// Which life of the server this is: when its postmaster started, and on which timeline it writes.
struct ServerEpoch {
    TimestampTz started_at = 0;
    int64_t timeline = 0;
};
ServerEpoch CurrentEpoch();

}  // namespace dlent::pg
