#pragma once

#include "pg/bridge/postgres.h"

namespace dlent::pg {

// Who has a place among the dlent.max_job_workers of the whole cluster, and which database waits for one. It
// is a table in shared memory, and so only there when the library was preloaded; what really keeps the number
// is the worker slots (job_lock.h). The table is what makes starting workers fair, exact and quick: no worker
// is started for nothing, a database that waits gets its turn, and is woken when it can have it. None of the
// functions raises an error.

/// Reserves the memory. To be called from _PG_init(); without effect unless the library is being preloaded.
void RequestWorkerPlaces();

constexpr int kNoPlace = -1;

// ---- of who starts workers, for its own database ----

/// A place for a worker that is about to be asked for; kNoPlace when the database has to wait, because those
/// that are free are for others, which wait with fewer workers, or longer. It is then woken when its turn
/// comes.
int ReservePlace();
/// Whether the worker of a place is there and has dealt with the job that it was started for.
bool HasSettled(int place);
/// This process looks after the place no more: its worker has settled, has ended, or was never started.
void GiveUpPlace(int place);
void StopWaitingForPlace();

// ---- of workers ----

/// This process is the worker for which `place` was reserved, or one that nobody reserved a place for, until
/// it exits.
void ComeToPlace(int place, Oid database);
/// It has dealt with the job that it was started for, be it that it found nothing to do.
void SettleInPlace();
/// Whether it holds a worker slot from now on. When it does not, who waits is woken.
void NoteHasSlot(bool has_slot);
/// Whether it is to give up its slot after this job, for a database that has fewer; one that has had its
/// turn, also for one that has fewer by one.
bool MustMakeRoom(bool turn_is_over);

/// SIGTERM to all workers in `database`.
void TerminateJobWorkers(Oid database);

}  // namespace dlent::pg
