// The launcher: sees to it that every database with the extension has its scheduler, and one with recorded
// answers their writer. It is connected to no database, so it finds out by starting a scheduler, which looks
// and goes when there is nothing.

#include "pg/bridge/postgres.h"

#include <csignal>
#include <map>
#include <set>

#include "pg/bridge/error.h"
#include "pg/observe/prediction_ring.h"
#include "pg/observe/prediction_writer.h"
#include "pg/observe/sketch_memory.h"
#include "pg/workers/database_worker.h"
#include "pg/workers/job_settings.h"
#include "pg/workers/scheduler.h"
#include "pg/workers/scheduler_memory.h"

extern "C" {
#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
}

namespace dlent::pg {
namespace {

constexpr long kLongestSleep = 10 * 1000;
constexpr int64_t kBetweenStarts = 3 * USECS_PER_SEC;
constexpr int kRestartSeconds = 5;

struct Databases {
    Oid* oids;
    int count;
};

/// Databases that can be connected to. Raises PostgreSQL errors.
Databases ListDatabases() {
    const MemoryContext context = CurrentMemoryContext;
    StartTransactionCommand();
    (void)GetTransactionSnapshot();
    Relation relation = table_open(DatabaseRelationId, AccessShareLock);
    TableScanDesc scan = table_beginscan_catalog(relation, 0, nullptr);
    List* found = NIL;
    for (HeapTuple tuple = heap_getnext(scan, ForwardScanDirection); HeapTupleIsValid(tuple);
         tuple = heap_getnext(scan, ForwardScanDirection)) {
        const auto* const database = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
        if (database->datallowconn && !database->datistemplate && database->datconnlimit != -2) {
            const MemoryContext previous = MemoryContextSwitchTo(context);
            found = lappend_oid(found, database->oid);
            MemoryContextSwitchTo(previous);
        }
    }
    table_endscan(scan);
    table_close(relation, AccessShareLock);
    CommitTransactionCommand();
    MemoryContextSwitchTo(context);
    Databases databases{static_cast<Oid*>(palloc(sizeof(Oid) * (list_length(found) + 1))),
                        list_length(found)};
    for (int i = 0; i < databases.count; ++i)
        databases.oids[i] = list_nth_oid(found, i);
    return databases;
}

struct Launched {
    BackgroundWorkerHandle* handle = nullptr;
    TimestampTz at = 0;
};

class Launcher {
 public:
    void Tick(MemoryContext context) {
        MemoryContextReset(context);
        MemoryContextSwitchTo(context);
        const Databases listed = CallPostgres([] { return ListDatabases(); });
        std::set<Oid> databases(listed.oids, listed.oids + listed.count);
        const auto is_listed = [](Oid database, void* known) {
            return static_cast<std::set<Oid>*>(known)->contains(database);
        };
        ForgetDatabases(is_listed, &databases);
        ForgetPredictionRings(is_listed, &databases);
        ForgetSketches(is_listed, &databases);
        for (auto* const launched : {&schedulers_, &writers_})
            std::erase_if(*launched, [&](const auto& entry) { return !databases.contains(entry.first); });
        bool refused = false;
        again_ = false;
        for (const Oid database : databases) {
            if (IsHeld(database))
                continue;
            if (SchedulerEnabled() && StateOfDatabase(database) == DatabaseState::kUnknown)
                refused = !Launch(&schedulers_[database], database, StartScheduler) || refused;
            if (WantsPredictionWriter(database))
                refused = !Launch(&writers_[database], database, StartPredictionWriter) || refused;
        }
        if (refused && !refusal_logged_)
            CallPostgres([] {
                ereport(
                    LOG,
                    (errmsg("dlent: no background worker is free for a scheduler or a prediction writer"),
                     errhint("Raise max_worker_processes: each database with the extension needs one, and "
                             "another where answers are recorded.")));
            });
        refusal_logged_ = refused;
    }

    /// Whether something is to be looked at again soon.
    bool again() const { return again_; }

 private:
    bool Launch(Launched* launched, Oid database, bool (*start)(Oid, BackgroundWorkerHandle**)) {
        const TimestampTz now = GetCurrentTimestamp();
        pid_t pid = 0;
        if (launched->handle != nullptr) {
            const BgwHandleStatus status = GetBackgroundWorkerPid(launched->handle, &pid);
            if (status == BGWH_STARTED || status == BGWH_NOT_YET_STARTED)
                return true;
            pfree(launched->handle);
            launched->handle = nullptr;
        }
        again_ = true;
        if (now < launched->at + kBetweenStarts && launched->at <= now)
            return true;
        launched->at = now;
        const MemoryContext previous = MemoryContextSwitchTo(TopMemoryContext);
        const bool started = start(database, &launched->handle);
        MemoryContextSwitchTo(previous);
        return started;
    }

    std::map<Oid, Launched> schedulers_;
    std::map<Oid, Launched> writers_;
    bool refusal_logged_ = false;
    bool again_ = false;
};

void RunLauncher() {
    const MemoryContext context = CallPostgres(
        [] { return AllocSetContextCreate(TopMemoryContext, "dlent launcher", ALLOCSET_DEFAULT_SIZES); });
    RegisterLauncher();
    Launcher launcher;
    while (ShutdownRequestPending == 0) {
        launcher.Tick(context);
        SleepUntilWoken(launcher.again() ? kBetweenStarts / 1000 : kLongestSleep);
    }
}

}  // namespace

void RegisterLauncherWorker() {
    if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
        return;
    BackgroundWorker worker = DescribeWorker("dlent_launcher_main", "dlent launcher");
    worker.bgw_restart_time = kRestartSeconds;
    RegisterBackgroundWorker(&worker);
}

}  // namespace dlent::pg

extern "C" __attribute__((visibility("default"))) void dlent_launcher_main(Datum);

void dlent_launcher_main(Datum) {
    using namespace dlent::pg;
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    GuardCallback([] {
        RunLauncher();
        return true;
    });
    proc_exit(1);  // the postmaster starts it again, unless it shuts down
}
