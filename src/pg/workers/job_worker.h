#pragma once

#include "pg/bridge/postgres.h"

struct BackgroundWorkerHandle;

namespace dlent::pg {

/// Whom a worker works for.
struct JobStart {
    Oid owner = InvalidOid;
    Oid extension = InvalidOid;  ///< that the job belongs to
    int64_t job = 0;
};

/// Asks for a worker that works on a job of this database, and then on others of the owner; false when no
/// background worker is free. It finds out by itself whether there is anything to do, so one too many does no
/// harm. `place` is one that was reserved for it, or kNoPlace (worker_places.h). Raises no error; `handle`,
/// when wanted, lies in the current memory context.
bool StartJobWorker(const JobStart& start, int place, BackgroundWorkerHandle** handle);

/// Sees to it that a job starts once this transaction has been committed: by this database's scheduler where
/// there is one, else by a worker of its own. For C++ frames.
void StartJobAtCommit(const JobStart& start);
/// Whether this transaction has asked for the job.
bool StartsAtCommit(int64_t job);

/// Has the scheduler of this database look at what has changed once this transaction has been committed.
void WakeSchedulerAtCommit();

/// To be called once, from _PG_init().
void RegisterJobCallbacks();

}  // namespace dlent::pg
