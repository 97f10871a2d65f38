#include "pg/bridge/postgres.h"

#include "pg/workers/database_worker.h"

#include "pg/bridge/error.h"
#include "pg/workers/extension_lock.h"

extern "C" {
#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"
}

namespace dlent::pg {

BackgroundWorker DescribeWorker(const char* function, const char* type) {
    BackgroundWorker worker{};
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    strlcpy(worker.bgw_library_name, "$libdir/dlent", BGW_MAXLEN);
    strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
    strlcpy(worker.bgw_type, type, BGW_MAXLEN);
    strlcpy(worker.bgw_name, type, BGW_MAXLEN);
    return worker;
}

bool StartDatabaseWorker(const char* function, const char* type, Oid database,
                         BackgroundWorkerHandle** handle) {
    BackgroundWorker worker = DescribeWorker(function, type);
    std::snprintf(worker.bgw_name, BGW_MAXLEN, "%s for database %u", type, database);
    worker.bgw_main_arg = ObjectIdGetDatum(database);
    worker.bgw_notify_pid = MyProcPid;
    return RegisterDynamicBackgroundWorker(&worker, handle);
}

bool IsAloneWith(LockClass lock_class) {
    return CallPostgres([lock_class] {
        StartTransactionCommand();
        const bool locked = TryLockForSession(lock_class, 0);
        CommitTransactionCommand();
        return locked;
    });
}

Oid BeginWorkerTransaction(MemoryContext context) {
    MemoryContextReset(context);
    CallPostgres([] {
        SetCurrentStatementStartTimestamp();
        StartTransactionCommand();
        PushActiveSnapshot(GetTransactionSnapshot());
    });
    MemoryContextSwitchTo(context);
    return CallPostgres([] { return LockExtension(); });
}

void EndWorkerTransaction(MemoryContext context) {
    CallPostgres([] {
        if (ActiveSnapshotSet())
            PopActiveSnapshot();
        CommitTransactionCommand();
    });
    MemoryContextSwitchTo(context);
}

void AbortWorkerTransaction(MemoryContext context) {
    CallPostgres([] { AbortOutOfAnyTransaction(); });
    MemoryContextSwitchTo(context);
    CallPostgres([] { CHECK_FOR_INTERRUPTS(); });
}

void SleepUntilWoken(long milliseconds) {
    CallPostgres([milliseconds] {
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = 0;
            ProcessConfigFile(PGC_SIGHUP);
        }
    });
}

}  // namespace dlent::pg
