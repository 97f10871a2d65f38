// Starting jobs when the transaction that asks for them commits.

#include "pg/bridge/postgres.h"

#include "pg/workers/job_worker.h"
#include "pg/workers/scheduler_memory.h"
#include "pg/workers/worker_places.h"

extern "C" {
#include "access/xact.h"
}

namespace dlent::pg {
namespace {

/// Lives as long as the process: the library has no destructors to run at exit.
std::vector<JobStart>& Pending() {
    static auto* const pending = new std::vector<JobStart>();
    return *pending;
}

bool wakes_scheduler = false;

/// The transaction is committed, so nothing here may fail.
void StartPending() {
    if (SchedulerIsAlive()) {
        WakeScheduler();
        return;
    }
    for (const JobStart& start : Pending()) {
        if (!StartJobWorker(start, kNoPlace, nullptr))
            ereport(
                WARNING,
                (errmsg("job %lld waits: no background worker is free", static_cast<long long>(start.job)),
                 errhint("Raise max_worker_processes. dlent_wait() starts the job as soon as it can.")));
    }
    WakeScheduler();
}

void OnTransactionEnd(XactEvent event, void*) {
    switch (event) {
        case XACT_EVENT_COMMIT:
            if (!Pending().empty())
                StartPending();
            else if (wakes_scheduler)
                WakeScheduler();
            Pending().clear();
            wakes_scheduler = false;
            break;
        case XACT_EVENT_ABORT:
        case XACT_EVENT_PREPARE:  // whoever commits it knows nothing of them; dlent_wait() and others start
                                  // them
            Pending().clear();
            wakes_scheduler = false;
            break;
        default:
            break;
    }
}

}  // namespace

void StartJobAtCommit(const JobStart& start) {
    Pending().push_back(start);
}

void WakeSchedulerAtCommit() {
    wakes_scheduler = true;
}

bool StartsAtCommit(int64_t job) {
    for (const JobStart& start : Pending()) {
        if (start.job == job)
            return true;
    }
    return false;
}

void RegisterJobCallbacks() {
    RegisterXactCallback(OnTransactionEnd, nullptr);
}

}  // namespace dlent::pg
