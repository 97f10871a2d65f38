#pragma once

#include "pg/workers/job_lock.h"

extern "C" {
#include "postmaster/bgworker.h"
}

namespace dlent::pg {

// What the launcher, schedulers, prediction writers and job workers have in common: processes that run
// statements, one transaction after another, and sleep in between.

/// Its registration; `type` is what pg_stat_activity calls it, and its name until another is set. It starts
/// where the server can write, and not again when it has ended.
BackgroundWorker DescribeWorker(const char* function, const char* type);

/// Starts the worker of a database, which gets the OID as its argument. False when no background worker is
/// free. Allocates the handle in the current memory context.
bool StartDatabaseWorker(const char* function, const char* type, Oid database,
                         BackgroundWorkerHandle** handle);

// The functions below are for C++ frames.

/// Whether this process is the only one of its kind in the database, from now until it exits.
bool IsAloneWith(LockClass lock_class);

/// Begins a transaction with a snapshot and a context that was reset, and keeps the extension from being
/// dropped until it ends; InvalidOid when it is gone.
Oid BeginWorkerTransaction(MemoryContext context);
/// Commits; the context stays the current one.
void EndWorkerTransaction(MemoryContext context);
/// What there is to do after an error, whatever transactions were open.
void AbortWorkerTransaction(MemoryContext context);

/// Sleeps until it is woken, or for so long; then sees to interrupts and to a configuration to be read again.
void SleepUntilWoken(long milliseconds);

}  // namespace dlent::pg
