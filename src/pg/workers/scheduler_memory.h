#pragma once

#include "pg/bridge/postgres.h"

namespace dlent::pg {

// What launcher, schedulers and sessions know of each other: a table of databases in shared memory. It is
// there only when the library was preloaded; without it the functions below do nothing and answer "no". None
// raises an error, so they may be called when a transaction has been committed.

/// Reserves it. To be called from _PG_init(); without effect unless the library is being preloaded.
void RequestSchedulerMemory();
bool SchedulerMemoryExists();

/// Whether this database has a scheduler that will see what is due.
bool SchedulerIsAlive();
/// Has it look now; where there is none, has the launcher look whether there should be one.
void WakeScheduler();
/// Has the scheduler of another database look, if it has one.
void WakeSchedulerOf(Oid database);
/// Has the launcher look at once whether something is to be started.
void WakeLauncher();

// ---- of the scheduler and the launcher ----

/// This process is the scheduler of its database until it exits.
void RegisterScheduler();
/// What the scheduler says before it exits because the extension is not there.
void ReportExtensionAbsent();
void RegisterLauncher();

enum class DatabaseState {
    kUnknown,  ///< nobody has looked, or has to look again
    kAbsent,   ///< without the extension
    kAlive,    ///< with a scheduler
};
DatabaseState StateOfDatabase(Oid database);
/// Forgets databases for which `exists` says no.
void ForgetDatabases(bool (*exists)(Oid database, void* argument), void* argument);

// ---- of DROP DATABASE ----

/// Has the scheduler of a database leave it, and keeps others from coming, until ReleaseDatabase() or the end
/// of this process.
void HoldDatabase(Oid database);
void ReleaseDatabase(Oid database);
/// Whether somebody wants it; no without the memory.
bool IsHeld(Oid database);

}  // namespace dlent::pg
