// The process that works on a job: a background worker connected as the job's owner.
//
// It locks the job, takes a worker slot, takes the job, runs its action and writes how that went. Errors end
// the attempt, not the process: they are caught here, as PostgreSQL's main loop catches a session's.

#include "pg/bridge/postgres.h"

#include "pg/workers/job_worker.h"

#include <csignal>

#include "pg/bridge/text.h"
#include "pg/workers/database_worker.h"
#include "pg/workers/extension_lock.h"
#include "pg/workers/job_action.h"
#include "pg/workers/job_session.h"
#include "pg/workers/scheduler_memory.h"

extern "C" {
#include "commands/dbcommands.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/timeout.h"
#include "utils/wait_event.h"
}

namespace dlent::pg {
namespace {

/// What the process is started with, in bgw_extra.
struct WorkerArguments {
    Oid database;
    Oid owner;
    Oid extension;
    int64_t job;
};
static_assert(sizeof(WorkerArguments) <= BGW_EXTRALEN && std::is_trivially_copyable_v<WorkerArguments>);

constexpr double kSecondsBetweenReports = 2.0;
/// A worker without a scheduler waits itself for retries that come so soon.
constexpr int64_t kLongestOwnWait = 3600 * USECS_PER_SEC;

// ---- limits of time, looked after by a timer ----

constexpr int kTickMilliseconds = 200;
constexpr int64_t kGrace = 3 * USECS_PER_SEC;

enum class Limit { kNone, kRun, kIdle };

struct Limits {
    volatile TimestampTz run_until = 0;  ///< 0: no limit
    volatile int64_t idle = 0;
    volatile TimestampTz progress_at = 0;
    volatile TimestampTz reached_at = 0;
    volatile sig_atomic_t reached = static_cast<int>(Limit::kNone);
};
Limits limits;

/// Cancels what goes on when a limit is reached, and ends the process when that does not help.
void OnTick() {
    const TimestampTz now = GetCurrentTimestamp();
    if (limits.reached == static_cast<int>(Limit::kNone)) {
        if (limits.run_until != 0 && now >= limits.run_until)
            limits.reached = static_cast<int>(Limit::kRun);
        else if (limits.idle != 0 && now >= limits.progress_at + limits.idle)
            limits.reached = static_cast<int>(Limit::kIdle);
        if (limits.reached == static_cast<int>(Limit::kNone))
            return;
        limits.reached_at = now;
        QueryCancelPending = 1;
        InterruptPending = 1;
        SetLatch(MyLatch);
    } else if (now >= limits.reached_at + kGrace) {
        ProcDiePending = 1;
        InterruptPending = 1;
        SetLatch(MyLatch);
    }
}

void StartLimits(const JobPolicy& policy) {
    const TimestampTz now = GetCurrentTimestamp();
    limits.reached = static_cast<int>(Limit::kNone);
    limits.progress_at = now;
    limits.run_until = policy.run_limit ? now + static_cast<int64_t>(*policy.run_limit * USECS_PER_SEC) : 0;
    limits.idle = policy.idle_limit ? static_cast<int64_t>(*policy.idle_limit * USECS_PER_SEC) : 0;
    if (limits.run_until == 0 && limits.idle == 0)
        return;
    static bool registered = false;
    static TimeoutId timeout;
    if (!registered) {
        timeout = CallPostgres([] { return RegisterTimeout(USER_TIMEOUT, OnTick); });
        registered = true;
    }
    enable_timeout_every(timeout, TimestampTzPlusMilliseconds(now, kTickMilliseconds), kTickMilliseconds);
}

void StopLimits() {
    disable_all_timeouts(false);
    limits.run_until = 0;
    limits.idle = 0;
}

// ---- transactions ----

void BeginTransaction() {
    CallPostgres([] {
        SetCurrentStatementStartTimestamp();
        StartTransactionCommand();
        PushActiveSnapshot(GetTransactionSnapshot());
    });
}

void CommitTransaction() {
    CallPostgres([] {
        if (ActiveSnapshotSet())
            PopActiveSnapshot();
        CommitTransactionCommand();
        pgstat_report_stat(true);
    });
}

/// Runs `function` in a transaction of its own; false when the extension is gone, and with it the job.
template <typename Function>
bool InTransaction(const WorkerArguments& arguments, MemoryContext context, Function function) {
    BeginTransaction();
    const bool there = CallPostgres([&] { return LockExtension() == arguments.extension; });
    if (there) {
        MemoryContextSwitchTo(context);
        function();
    }
    CommitTransaction();
    MemoryContextSwitchTo(context);
    return there;
}

// ---- an attempt ----

struct Attempt {
    RunEnd end = RunEnd::kFailed;
    JobError error;
};

JobError ErrorOf(const ErrorReport& report) {
    const auto text = [](const char* value) { return std::string(value == nullptr ? "" : value); };
    if (report.postgres == nullptr)
        return {unpack_sql_state(report.sqlstate), report.message, report.detail, report.hint, {}};
    const ErrorData& error = *report.postgres;
    return {unpack_sql_state(error.sqlerrcode), text(error.message), text(error.detail), text(error.hint),
            text(error.context)};
}

/// A cancel is somebody's wish, unless a limit was reached: then it is a failure.
Attempt Judge(JobError error, const JobPolicy& policy) {
    Attempt attempt;
    attempt.error = std::move(error);
    if (attempt.error.sqlstate != unpack_sql_state(ERRCODE_QUERY_CANCELED))
        return attempt;
    switch (static_cast<Limit>(limits.reached)) {
        case Limit::kNone:
            attempt.end = RunEnd::kCanceled;
            attempt.error.message = "canceled on request";
            break;
        case Limit::kRun:
            attempt.error.message = "the job took longer than its run_limit of " +
                                    std::to_string(static_cast<int64_t>(*policy.run_limit)) + " s";
            break;
        case Limit::kIdle:
            attempt.error.message = "the job made no progress within its idle_limit of " +
                                    std::to_string(static_cast<int64_t>(*policy.idle_limit)) + " s";
            break;
    }
    return attempt;
}

/// What is left of an attempt is undone; the process is as after its start.
void CleanUp(MemoryContext context) {
    StopLimits();
    QueryCancelPending = 0;
    CallPostgres([] { AbortOutOfAnyTransaction(); });
    MemoryContextSwitchTo(context);
}

/// Runs the action of a running job and writes the end of the attempt; false when the extension is gone.
bool RunAttempt(const WorkerArguments& arguments, MemoryContext context, Job* job) {
    ErrorReport report;
    bool failed = false;
    try {
        ApplySettings(job->settings);
        StartLimits(job->policy);
        BeginTransaction();
        MemoryContextSwitchTo(context);
        if (CallPostgres([] { return LockExtension(); }) != arguments.extension)
            return false;
        JobContext job_context(*job, arguments.extension);
        const Json result = FindAction(job->action).run(job_context);
        EndRun(job, RunEnd::kSucceeded, {}, result);
        CommitTransaction();
    } catch (...) {
        report.Capture();
        failed = true;
    }
    const Attempt attempt = failed ? Judge(ErrorOf(report), job->policy) : Attempt{};
    CleanUp(context);
    if (!failed)
        return true;
    // a second cancel must not keep the first from being written
    HOLD_CANCEL_INTERRUPTS();
    const bool there = InTransaction(arguments, context, [&] {
        // what the attempt itself wrote is undone, and nobody else changes a job that runs
        std::optional<Job> current = LockJob(job->id);
        if (!current)
            return;
        *job = std::move(*current);
        EndRun(job, attempt.end, attempt.error, nullptr);
    });
    RESUME_CANCEL_INTERRUPTS();
    return there;
}

/// Takes a job that waits, or whose worker is gone; false when there is nothing to do now.
bool TakeJob(const WorkerArguments& arguments, MemoryContext context, Job* job) {
    bool taken = false;
    InTransaction(arguments, context, [&] {
        std::optional<Job> locked = LockJob(arguments.job);
        if (!locked || HasEnded(locked->state) || locked->owner != arguments.owner)
            return;
        if (locked->state == JobState::kRunning)
            EndOrphanedRun(&*locked);
        *job = std::move(*locked);
        if (job->state == JobState::kQueued && FailIfTooLate(job))
            return;
        if (job->state != JobState::kQueued || job->next_start > GetCurrentTimestamp())
            return;
        BeginRun(job);
        taken = true;
    });
    return taken;
}

/// Sleeps until a time, or a cancel: somebody has changed the job.
void SleepUntil(TimestampTz time) {
    for (TimestampTz now = GetCurrentTimestamp(); now < time && QueryCancelPending == 0;
         now = GetCurrentTimestamp()) {
        const long milliseconds = TimestampDifferenceMilliseconds(now, time);
        CallPostgres([milliseconds] {
            (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds + 1,
                            PG_WAIT_EXTENSION);
            ResetLatch(MyLatch);
            HOLD_CANCEL_INTERRUPTS();
            CHECK_FOR_INTERRUPTS();
            RESUME_CANCEL_INTERRUPTS();
        });
    }
    QueryCancelPending = 0;
}

/// Where no scheduler looks after what waits, each worker that ends starts what it can.
void StartOthers(const WorkerArguments& arguments, MemoryContext context) {
    InTransaction(arguments, context, [&arguments] {
        PruneJobs();
        const int free = CallPostgres([] { return FreeWorkerSlots(); });
        if (free <= 0)
            return;
        for (const JobToStart& job : JobsToStart(free)) {
            if (!StartJobWorker({job.owner, arguments.extension, job.id}, nullptr))
                return;
        }
    });
}

void Work(const WorkerArguments& arguments) {
    const MemoryContext context = CallPostgres(
        [] { return AllocSetContextCreate(TopMemoryContext, "dlent job", ALLOCSET_DEFAULT_SIZES); });
    MemoryContextSwitchTo(context);
    bool locked = false;
    bool working = InTransaction(arguments, context, [&] {
        locked = CallPostgres([&] { return TryLockForSession(kJobLock, arguments.job); });
    });
    while (working && locked) {
        const int slot = CallPostgres([] { return TakeWorkerSlot(); });
        if (slot < 0)
            return;  // whoever holds one, or the scheduler, comes back to the job
        Job job;
        if (TakeJob(arguments, context, &job)) {
            const std::string activity =
                "job " + std::to_string(job.id) + ": " + job.action + " " + job.model;
            CallPostgres([&activity] { pgstat_report_activity(STATE_RUNNING, activity.c_str()); });
            if (!RunAttempt(arguments, context, &job))
                return;
            CallPostgres([] { pgstat_report_activity(STATE_IDLE, nullptr); });
        }
        CallPostgres([slot] { UnlockForSession(kWorkerSlotLock, slot); });
        if (SchedulerIsAlive()) {
            WakeScheduler();
            return;
        }
        StartOthers(arguments, context);
        const bool again = job.id != 0 && job.state == JobState::kQueued &&
                           job.next_start <= GetCurrentTimestamp() + kLongestOwnWait;
        if (!again)
            return;
        SleepUntil(job.next_start);
        CallPostgres([context] { MemoryContextReset(context); });
    }
}

}  // namespace

bool StartJobWorker(const JobStart& start, BackgroundWorkerHandle** handle) {
    BackgroundWorker worker = DescribeWorker("dlent_job_worker_main", "dlent job");
    std::snprintf(worker.bgw_name, BGW_MAXLEN, "dlent job %lld", static_cast<long long>(start.job));
    worker.bgw_notify_pid = MyProcPid;
    const WorkerArguments arguments{MyDatabaseId, start.owner, start.extension, start.job};
    std::memcpy(worker.bgw_extra, &arguments, sizeof(arguments));
    return RegisterDynamicBackgroundWorker(&worker, handle);
}

void JobContext::Commit() {
    const MemoryContext context = CurrentMemoryContext;
    CommitTransaction();
    MemoryContextSwitchTo(context);
    in_transaction_ = false;
}

void JobContext::Begin() {
    const MemoryContext context = CurrentMemoryContext;
    BeginTransaction();
    MemoryContextSwitchTo(context);
    in_transaction_ = true;
}

void JobContext::Restart() {
    CallPostgres([] { AbortOutOfAnyTransaction(); });
    // not the context that the error left: it may have gone with the transaction
    MemoryContextSwitchTo(memory_);
    Begin();
}

void JobContext::Report(const Json& progress) {
    const TimestampTz now = GetCurrentTimestamp();
    limits.progress_at = now;
    const bool phase_changed =
        !unwritten_.is_object() || unwritten_.value("phase", "") != progress.value("phase", "");
    unwritten_ = progress;
    if (in_transaction_) {
        if (phase_changed)
            WriteProgress(job_, progress);
        return;
    }
    if (!phase_changed && now < written_at_ + static_cast<int64_t>(kSecondsBetweenReports * USECS_PER_SEC))
        return;
    written_at_ = now;
    Begin();
    if (CallPostgres([] { return LockExtension(); }) != extension_)
        throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the extension was dropped");
    WriteProgress(job_, progress);
    Commit();
}

}  // namespace dlent::pg

extern "C" __attribute__((visibility("default"))) void dlent_job_worker_main(Datum);

void dlent_job_worker_main(Datum) {
    using namespace dlent::pg;
    pqsignal(SIGTERM, die);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    WorkerArguments arguments;
    std::memcpy(&arguments, MyBgworkerEntry->bgw_extra, sizeof(arguments));
    RegisterJobWorker(arguments.database);
    BackgroundWorkerInitializeConnectionByOid(arguments.database, arguments.owner, 0);
    PrepareJobSession(MyBgworkerEntry->bgw_name);
    GuardCallback([&arguments] {
        Work(arguments);
        return true;
    });
    proc_exit(0);
}
