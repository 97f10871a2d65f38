// The process that works on jobs: a background worker connected as their owner.
//
// It takes a worker slot, locks and takes the job that it was started for, runs its action and writes how
// that went; then it goes on with the next job of the same owner that waits, in a session that is as new,
// until there is none, others wait for the slot, or it has lived long enough. Errors end the attempt, not the
// process: they are caught here, as PostgreSQL's main loop catches a session's.

#include "pg/bridge/postgres.h"

#include "pg/workers/job_worker.h"

#include "pg/bridge/text.h"
#include "pg/catalog/report_retention.h"
#include "pg/workers/database_worker.h"
#include "pg/workers/extension_lock.h"
#include "pg/workers/job_action.h"
#include "pg/workers/job_limits.h"
#include "pg/workers/job_session.h"
#include "pg/workers/job_settings.h"
#include "pg/workers/scheduler_memory.h"
#include "pg/workers/session_reuse.h"
#include "pg/workers/worker_places.h"

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
#include "utils/ps_status.h"
#include "utils/wait_event.h"
}

namespace dlent::pg {
namespace {

/// What the process is started with, in bgw_extra.
struct WorkerArguments {
    Oid database;
    Oid owner;
    Oid extension;
    int place;  ///< ReservePlace()
    int64_t job;
};
static_assert(sizeof(WorkerArguments) <= BGW_EXTRALEN && std::is_trivially_copyable_v<WorkerArguments>);

constexpr double kSecondsBetweenReports = 2.0;
/// A worker without a scheduler waits itself for retries that come so soon.
constexpr int64_t kLongestOwnWait = 3600 * USECS_PER_SEC;

/// What one process does at most before a new one takes its place: what user code left behind in it (memory,
/// libraries, the globals of a procedural language) lives no longer.
constexpr int kMostJobs = 100;
constexpr int64_t kLongestLife = 60 * USECS_PER_SEC;
/// A process that had its slot for so long makes room for others that wait.
constexpr int64_t kTurn = USECS_PER_SEC / 2;
/// How far down the queue a process looks for a job of its owner.
constexpr int kMostLookedAt = 256;

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
    switch (ReachedLimit()) {
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
    CallPostgres([] {
        AbortOutOfAnyTransaction();
        MakeSessionWritable();
    });
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
}

// ---- one job after another ----

void PrepareSessionFor(int64_t job) {
    char name[NAMEDATALEN];
    snprintf(name, sizeof(name), "dlent job %lld", static_cast<long long>(job));
    PrepareJobSession(name);
}

class Worker {
 public:
    Worker(const WorkerArguments& arguments, MemoryContext context)
        : arguments_(arguments), context_(context), started_at_(GetCurrentTimestamp()) {}

    void Work() {
        bool has_job = TakeFirst();
        SettleInPlace();
        while (has_job || GoOn()) {
            has_job = false;
            if (!Run())
                return;
            ++jobs_;
            if (job_.state != JobState::kQueued)
                continue;
            if (SchedulerIsAlive())
                WakeScheduler();  // which starts the next attempt in its time
            else if (job_.next_start <= GetCurrentTimestamp() + kLongestOwnWait)
                has_job = AwaitNextAttempt();
        }
        GiveUpSlot();
        if (SchedulerIsAlive())
            WakeScheduler();
        else
            StartOthers();
    }

 private:
    /// Runs `function` in a transaction of its own, in which no cancel arrives: outside an attempt there is
    /// nothing to be cancelled. False when the extension is gone.
    template <typename Function>
    bool Undisturbed(Function function) {
        CallPostgres([this] { MemoryContextReset(context_); });
        HOLD_CANCEL_INTERRUPTS();
        const bool there = InTransaction(arguments_, context_, function);
        RESUME_CANCEL_INTERRUPTS();
        return there;
    }

    bool TakeFirst() {
        if (IsHeld(MyDatabaseId))
            return false;
        bool taken = false;
        Undisturbed([&] {
            origin_ = CallPostgres([this] { return SessionOrigin(arguments_.owner); });
            taken = TakeSlot() && Take(arguments_.job);
        });
        return taken;
    }

    bool TakeSlot() {
        if (slot_ < 0)
            slot_ = CallPostgres([] { return TakeWorkerSlot(); });
        if (slot_ >= 0)
            NoteHasSlot(true);
        return slot_ >= 0;
    }

    void GiveUpSlot() {
        if (slot_ >= 0)
            CallPostgres([this] { UnlockForSession(kWorkerSlotLock, slot_); });
        slot_ = -1;
        NoteHasSlot(false);
    }

    /// Takes a job that waits, or whose worker is gone: it is locked, and running. False when there is
    /// nothing to do about it now, or somebody else has its row locked. In a transaction. Whoever cancels a
    /// job has its row locked while it looks for the job's worker; so one that is taken here is told of no
    /// cancel but its own.
    bool Take(int64_t id) {
        std::optional<Job> locked = LockJobIfFree(id);
        if (!locked || HasEnded(locked->state) || locked->owner != arguments_.owner)
            return false;
        if (!CallPostgres([id] { return TryLockForSession(kJobLock, id); }))
            return false;
        if (locked->state == JobState::kRunning)
            EndOrphanedRun(&*locked);
        if (locked->state != JobState::kQueued || FailIfTooLate(&*locked) ||
            locked->next_start > GetCurrentTimestamp()) {
            CallPostgres([id] { UnlockForSession(kJobLock, id); });
            return false;
        }
        job_ = std::move(*locked);
        BeginRun(&job_);
        QueryCancelPending = 0;
        return true;
    }

    bool Run() {
        const std::string activity = "job " + std::to_string(job_.id) + ": " + job_.action + " " + job_.model;
        CallPostgres([&activity] {
            set_ps_display(activity.c_str());
            pgstat_report_activity(STATE_RUNNING, activity.c_str());
        });
        const bool there = RunAttempt(arguments_, context_, &job_);
        CallPostgres([] {
            set_ps_display("idle");
            pgstat_report_activity(STATE_IDLE, nullptr);
        });
        return there;
    }

    /// Whether this process may take another job, for its own sake and for that of others that wait.
    bool MayGoOn() const {
        const TimestampTz now = GetCurrentTimestamp();
        return jobs_ < kMostJobs && now < started_at_ + kLongestLife && !ConfigReloadPending &&
               !IsHeld(MyDatabaseId) && !MustMakeRoom(TurnIsOver());
    }
    bool TurnIsOver() const { return GetCurrentTimestamp() > started_at_ + kTurn; }

    /// Goes on with the next job of the same owner, in a session that is as new; false when there is none, or
    /// a new process is better.
    bool GoOn() {
        if (!MayGoOn())
            return false;
        if (!BeginAnew())
            return false;
        const bool may_be_cancelled = jobs_ > 0 && job_.state == JobState::kQueued;
        bool taken = false;
        Undisturbed([&] {
            // who is about to cancel the last job, because its next attempt waits, has its row locked and may
            // have found us: the signal would reach another job
            if (may_be_cancelled && !LockJobIfFree(job_.id))
                return;
            taken = TakeNext();
            if (taken)
                CallPostgres([this] { NameSession(); });
        });
        if (taken && !SchedulerIsAlive())
            StartOthers();
        return taken;
    }

    /// Makes the session as it was; false when a new one would be another, or there is no slot. In a
    /// transaction of its own, because what the last job has set is what that one begins with.
    bool BeginAnew() {
        bool same = false;
        Undisturbed([&] {
            same = CallPostgres([this] { return SessionOrigin(arguments_.owner); }) == origin_;
            if (!same)
                return;
            CallPostgres([this] {
                ResetSession();
                NameSession();
            });
            slot_ = -1;  // with all advisory locks
            same = TakeSlot();
        });
        return same;
    }

    bool TakeNext() {
        for (const JobToStart& next : JobsToStart(kMostLookedAt)) {
            if (next.owner == arguments_.owner) {
                if (Take(next.id))
                    return true;
            } else if (TurnIsOver() && CallPostgres([] { return FreeWorkerSlots(); }) == 0) {
                return false;  // it was due before
            }
        }
        return false;
    }

    void NameSession() const { PrepareSessionFor(job_.id != 0 ? job_.id : arguments_.job); }

    /// Where there is no scheduler, waits for the time of the next attempt, without a slot but as the job's
    /// worker, and makes it.
    bool AwaitNextAttempt() {
        GiveUpSlot();
        StartOthers();
        for (;;) {
            SleepUntil(job_.next_start);
            bool waits = false;
            bool taken = false;
            Undisturbed([&] {
                const std::optional<Job> locked = LockJob(job_.id);
                waits = locked && locked->state == JobState::kQueued &&
                        locked->next_start > GetCurrentTimestamp();
                if (waits) {
                    job_.next_start = locked->next_start;
                    return;
                }
                CallPostgres([this] { UnlockForSession(kJobLock, job_.id); });
                taken = TakeSlot() && Take(job_.id);
            });
            if (!waits)
                return taken;
            QueryCancelPending = 0;
        }
    }

    /// Where no scheduler looks after what waits, workers start what they can.
    void StartOthers() {
        Undisturbed([this] {
            PruneJobs();
            PruneReports(GetCurrentTimestamp() - ReportRetention());
            const int free = CallPostgres([] { return FreeWorkerSlots(); });
            if (free <= 0)
                return;
            for (const JobToStart& job : JobsToStart(free)) {
                if (!StartJobWorker({job.owner, arguments_.extension, job.id}, kNoPlace, nullptr))
                    return;
            }
        });
    }

    const WorkerArguments arguments_;
    const MemoryContext context_;
    const TimestampTz started_at_;
    uint64_t origin_ = 0;
    int slot_ = -1;
    int jobs_ = 0;
    Job job_;
};

void RunWorker(const WorkerArguments& arguments) {
    const MemoryContext context = CallPostgres(
        [] { return AllocSetContextCreate(TopMemoryContext, "dlent job", ALLOCSET_DEFAULT_SIZES); });
    MemoryContextSwitchTo(context);
    Worker worker(arguments, context);
    worker.Work();
}

}  // namespace

bool StartJobWorker(const JobStart& start, int place, BackgroundWorkerHandle** handle) {
    BackgroundWorker worker = DescribeWorker("dlent_job_worker_main", "dlent job");
    std::snprintf(worker.bgw_name, BGW_MAXLEN, "dlent job worker for database %u", MyDatabaseId);
    worker.bgw_notify_pid = MyProcPid;
    const WorkerArguments arguments{MyDatabaseId, start.owner, start.extension, place, start.job};
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
    NoteProgress();
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
    ComeToPlace(arguments.place, arguments.database);
    BackgroundWorkerInitializeConnectionByOid(arguments.database, arguments.owner, 0);
    PrepareSessionFor(arguments.job);
    GuardCallback([&arguments] {
        RunWorker(arguments);
        return true;
    });
    proc_exit(0);
}
