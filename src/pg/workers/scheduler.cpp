// The scheduler of a database: asks for the jobs that schedules are due for, starts workers, and notices
// attempts whose workers are gone. It runs nothing but fixed statements; user code runs in workers.

#include "pg/bridge/postgres.h"

#include <algorithm>
#include <csignal>
#include <ctime>
#include <map>

#include "pg/catalog/report_retention.h"
#include "pg/observe/prediction_store.h"
#include "pg/workers/database_worker.h"
#include "pg/workers/extension_lock.h"
#include "pg/workers/job_session.h"
#include "pg/workers/job_settings.h"
#include "pg/workers/job_worker.h"
#include "pg/workers/schedule_rule.h"
#include "pg/workers/schedule_store.h"
#include "pg/workers/scheduler.h"
#include "pg/workers/scheduler_memory.h"
#include "pg/workers/worker_places.h"

extern "C" {
#include "access/xlog.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
}

namespace dlent::pg {
namespace {

/// The longest sleep: clocks may be set, workers may die.
constexpr int64_t kLongestSleep = 10 * USECS_PER_SEC;
/// While jobs wait for a place, for which their database is woken in its turn.
constexpr int64_t kPlacePoll = USECS_PER_SEC;
/// While they wait for one of max_worker_processes, of which nobody tells when it is free again.
constexpr int64_t kProcessPoll = USECS_PER_SEC / 20;
/// Before what could not be done for the server's sake is tried again.
constexpr int64_t kRetry = USECS_PER_SEC;
/// A clock that was set back by more than this makes all times anew.
constexpr int64_t kClockJump = 30 * USECS_PER_SEC;
constexpr int64_t kBetweenPrunings = 60 * USECS_PER_SEC;
/// Transactions of each kind that delete what is old, before anything else is looked at.
constexpr int kMostPrunings = 4;
/// Jobs that wait for a worker no longer than this are not worth a line in the log.
constexpr int64_t kCrowd = 10 * USECS_PER_SEC;
constexpr int kMostDeaths = 3;

int64_t Monotonic() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * USECS_PER_SEC + now.tv_nsec / 1000;
}

/// A worker that was asked for and has not dealt with its job yet.
struct Starting {
    BackgroundWorkerHandle* handle;
    int place;
    int64_t job;
};

class Scheduler {
 public:
    explicit Scheduler(MemoryContext context)
        : context_(context), wall_(ScheduleClock()), monotonic_(Monotonic()) {}

    /// Does what is due; false when there is no extension any more.
    bool Tick() {
        const bool set_back = ClockWasSetBack();
        if (!InTransaction([] { return true; }))
            return false;
        RecoverOrphans();
        if (set_back)
            ComputeTimesAnew();
        AskForDueJobs();
        StartWaitingJobs();
        Prune();
        return InTransaction([this] { return PlanSleep(); });
    }

    /// How long nothing is to be done, in milliseconds.
    long sleep() const { return sleep_; }

 private:
    /// Runs `function` in a transaction; false when the extension is gone. Throws.
    template <typename Function>
    bool InTransaction(Function function) {
        const bool there = OidIsValid(BeginWorkerTransaction(context_));
        if (there)
            function();
        EndWorkerTransaction(context_);
        return there;
    }

    /// The same for one of many things, whose failure must not be in the way of the others; false when it
    /// failed, and `message` says why, `sqlstate` of what kind it was.
    template <typename Function>
    bool Try(Function function, std::string* message, int* sqlstate = nullptr) {
        ErrorReport report;
        bool failed = false;
        try {
            InTransaction(function);
        } catch (...) {
            report.Capture();
            failed = true;
        }
        if (!failed)
            return true;
        *message = report.Message();
        if (sqlstate != nullptr)
            *sqlstate = report.SqlState();
        AbortWorkerTransaction(context_);
        return false;
    }

    bool ClockWasSetBack() {
        const TimestampTz wall = ScheduleClock();
        const int64_t monotonic = Monotonic();
        const bool back = (wall - wall_) - (monotonic - monotonic_) < -kClockJump;
        wall_ = wall;
        monotonic_ = monotonic;
        return back;
    }

    void RecoverOrphans() {
        std::vector<JobToStart> orphans;
        InTransaction([&] { orphans = OrphanedJobs(); });
        for (const JobToStart& orphan : orphans) {
            std::string message;
            const bool done = Try(
                [&] {
                    if (!CallPostgres([&] { return TryLockForTransaction(kJobLock, orphan.id); }))
                        return;
                    std::optional<Job> job = LockJobIfFree(orphan.id);
                    if (job && job->state == JobState::kRunning)
                        EndOrphanedRun(&*job);
                },
                &message);
            if (!done)
                LogOnce("job " + std::to_string(orphan.id) + " could not be recovered: " + message);
        }
    }

    /// What was due later than the clock now says is due again when it says so.
    void ComputeTimesAnew() {
        std::vector<int64_t> ids;
        InTransaction([&] {
            ids = RunningSchedules();
            RestartWaits();
        });
        for (const int64_t id : ids) {
            std::string message;
            Try(
                [id] {
                    const std::optional<Schedule> schedule = LockScheduleIfFree(id);
                    if (!schedule || schedule->paused)
                        return;
                    const std::optional<TimestampTz> next =
                        ScheduleRule::Parse(schedule->expression, schedule->time_zone, schedule->created_at)
                            .Next(ScheduleClock());
                    if (next && *next < schedule->next_run)
                        ResumeSchedule(id, *next);
                },
                &message);
        }
    }

    void AskForDueJobs() {
        std::vector<int64_t> due;
        InTransaction([&] { due = DueSchedules(ScheduleClock()); });
        overdue_ = false;
        for (const int64_t id : due) {
            std::string message;
            int sqlstate = 0;
            if (Try([this, id] { AskForJob(id); }, &message, &sqlstate))
                continue;
            const std::string schedule = "schedule " + std::to_string(id);
            const std::string why = message;
            if (IsTheServers(sqlstate)) {
                LogOnce("the job of " + schedule + " cannot be asked for yet: " + why);
                overdue_ = true;
                continue;
            }
            LogOnce(schedule + " is paused: " + why);
            if (!Try([id, &why] { PauseSchedule(id, why); }, &message))
                overdue_ = true;
        }
    }

    /// Whether an error will be gone when the server is well again (a disk that is full, a lock that is
    /// held), so that it says nothing of the schedule.
    static bool IsTheServers(int sqlstate) {
        const int category = ERRCODE_TO_CATEGORY(sqlstate);
        return category == ERRCODE_INSUFFICIENT_RESOURCES || category == ERRCODE_TRANSACTION_ROLLBACK ||
               category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_SYSTEM_ERROR ||
               sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;
    }

    void AskForJob(int64_t id) {
        const std::optional<Schedule> schedule = LockScheduleIfFree(id);
        const TimestampTz now = ScheduleClock();
        overdue_ = overdue_ || !schedule;
        if (!schedule || schedule->paused || schedule->next_run > now)
            return;
        const TimestampTz next =
            ScheduleRule::Parse(schedule->expression, schedule->time_zone, schedule->created_at)
                .Next(now)
                .value_or(0);
        if (const char* why = CallPostgres([&] { return WhyNotConnect(schedule->job.owner); });
            why != nullptr) {
            PauseSchedule(id, std::string("its owner can have no sessions: ") + why);
            return;
        }
        if (now - schedule->next_run >
            static_cast<int64_t>(schedule->catch_up * USECS_PER_SEC) + kLongestSleep) {
            NoteDue(id, Due::kMissed, next);
            return;
        }
        const OpenJobs open = OpenJobsOf(id);
        const bool wait = schedule->overlap == "queue" && open.queued == 0;
        if (open.queued + open.running > 0 && !wait) {
            NoteDue(id, Due::kSkipped, next);
            return;
        }
        NewJob job = schedule->job;
        job.scheduled_for = schedule->next_run;
        NoteDue(id, InsertJob(job) != 0 ? Due::kAsked : Due::kSkipped, next);
    }

    void StartWaitingJobs() {
        std::vector<JobToStart> jobs;
        Oid extension = InvalidOid;
        constexpr int kMostAtOnce = 256;
        InTransaction([&] {
            jobs = JobsToStart(kMostAtOnce);
            extension = CallPostgres([] { return LockExtension(); });
        });
        LookAfterStarting();
        std::erase_if(deaths_, [&jobs](const auto& death) {
            return std::none_of(jobs.begin(), jobs.end(),
                                [&death](const JobToStart& job) { return job.id == death.first; });
        });
        waits_ = Waits::kNot;
        for (const JobToStart& job : jobs) {
            const bool starting = std::any_of(starting_.begin(), starting_.end(),
                                              [&job](const Starting& other) { return other.job == job.id; });
            const auto deaths = deaths_.find(job.id);
            const bool pauses =
                deaths != deaths_.end() && Monotonic() < deaths->second.last + deaths->second.count * kRetry;
            if (starting || pauses)
                continue;
            waits_ = Start(job, extension);
            if (waits_ != Waits::kNot)
                break;
        }
        if (waits_ == Waits::kNot)
            StopWaitingForPlace();
        NoteWaiting();
    }

    /// Workers that ended before they dealt with the job that they were started for.
    struct Deaths {
        int count = 0;
        int64_t last = 0;
    };

    /// Lets go of workers that have dealt with their job, and counts those that ended before they did.
    void LookAfterStarting() {
        std::erase_if(starting_, [this](const Starting& starting) {
            pid_t pid = 0;
            const bool ended = GetBackgroundWorkerPid(starting.handle, &pid) == BGWH_STOPPED;
            const bool settled = HasSettled(starting.place);
            if (!ended && !settled)
                return false;
            if (!settled) {
                Deaths& deaths = deaths_[starting.job];
                ++deaths.count;
                deaths.last = Monotonic();
            }
            GiveUpPlace(starting.place);
            pfree(starting.handle);
            return true;
        });
    }

    /// Whether a job that waits is to be started; ends it when it cannot be.
    bool CanStart(const JobToStart& job) {
        std::string message;
        bool can = false;
        const bool looked = Try(
            [&] {
                std::optional<Job> locked = LockJobIfFree(job.id);
                if (!locked || locked->state != JobState::kQueued || FailIfTooLate(&*locked))
                    return;
                const char* why = CallPostgres([&] { return WhyNotConnect(job.owner); });
                const auto deaths = deaths_.find(job.id);
                if (why == nullptr && deaths != deaths_.end() && deaths->second.count >= kMostDeaths)
                    why = "Its workers end before they take it; the server's log says why.";
                can = why == nullptr;
                if (can)
                    return;
                EndQueuedJob(&*locked, JobState::kFailed,
                             {unpack_sql_state(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
                              "the job cannot be started",
                              why,
                              {},
                              {}});
            },
            &message);
        return looked && can;
    }

    /// What a job waits for, if its database has to wait for a worker.
    enum class Waits { kNot, kPlace, kProcess };

    /// Starts a worker for a job that waits, or ends the job when it cannot be started.
    Waits Start(const JobToStart& job, Oid extension) {
        const int place = ReservePlace();
        if (place == kNoPlace) {
            // not to be locked without need: a worker that goes on may be about to take it
            if (IsTooLate(job))
                (void)CanStart(job);
            return Waits::kPlace;
        }
        if (!CanStart(job)) {
            GiveUpPlace(place);
            return Waits::kNot;
        }
        const MemoryContext previous = MemoryContextSwitchTo(TopMemoryContext);
        Starting starting{nullptr, place, job.id};
        const bool started = StartJobWorker({job.owner, extension, job.id}, place, &starting.handle);
        MemoryContextSwitchTo(previous);
        if (started)
            starting_.push_back(starting);
        else
            GiveUpPlace(place);
        return started ? Waits::kNot : Waits::kProcess;
    }

    bool IsTooLate(const JobToStart& job) {
        std::string message;
        bool late = false;
        (void)Try(
            [&] {
                const std::optional<Job> read = ReadJob(job.id);
                late = read && read->IsTooLate();
            },
            &message);
        return late;
    }

    /// Says once that jobs find no worker, when it is more than a moment's crowd.
    void NoteWaiting() {
        const int64_t now = Monotonic();
        if (waits_ == Waits::kNot) {
            waiting_since_ = 0;
            logged_.erase(kNoWorker);
        } else if (waiting_since_ == 0) {
            waiting_since_ = now;
        } else if (now > waiting_since_ + kCrowd) {
            LogOnce(kNoWorker);
        }
    }

    void Prune() {
        const int64_t now = Monotonic();
        if (pruned_at_ != 0 && now < pruned_at_ + kBetweenPrunings)
            return;
        pruned_at_ = now;
        std::string message;
        if (!Try([] { PruneJobs(); }, &message))
            LogOnce("old jobs cannot be deleted: " + message);
        PruneSome(PruneOldPredictions, "predictions");
        PruneSome([] { return PruneReports(GetCurrentTimestamp() - ReportRetention()); }, "reports");
    }

    /// Deletes in bounded transactions, a bounded number of them.
    void PruneSome(bool (*prune)(), const char* what) {
        bool more = true;
        for (int i = 0; i < kMostPrunings && more; ++i) {
            std::string message;
            more = false;
            if (!Try([&more, prune] { more = prune(); }, &message))
                LogOnce(std::string("old ") + what + " cannot be deleted: " + message);
        }
    }

    void PlanSleep() {
        const NextTimes times = FindNextTimes();
        int64_t left = waits_ == Waits::kNot     ? kLongestSleep
                       : waits_ == Waits::kPlace ? kPlacePoll
                                                 : kProcessPoll;
        if (!deaths_.empty())
            left = std::min(left, kRetry);
        if (times.schedule != 0)
            left = std::min(left, std::max(times.schedule - ScheduleClock(), overdue_ ? kRetry : 0));
        // a job that is due and waits was looked at; its worker, or the poll, wakes us
        const TimestampTz now = GetCurrentTimestamp();
        if (times.job > now)
            left = std::min(left, times.job - now);
        sleep_ = static_cast<long>(std::max<int64_t>(left, 0) / 1000) + 1;
    }

    /// Says a thing that goes on for a while once.
    void LogOnce(const std::string& message) {
        if (logged_[message]++ > 0)
            return;
        CallPostgres([&message] { ereport(LOG, (errmsg_internal("dlent: %s", message.c_str()))); });
        constexpr size_t kMostRemembered = 1000;
        if (logged_.size() > kMostRemembered)
            logged_.clear();
    }

    static constexpr const char* kNoWorker =
        "jobs wait for a worker: see dlent.max_job_workers and max_worker_processes";

    const MemoryContext context_;
    TimestampTz wall_;
    int64_t monotonic_;
    int64_t pruned_at_ = 0;
    long sleep_ = 0;
    bool overdue_ = false;  ///< a schedule is due that could not be seen to
    Waits waits_ = Waits::kNot;
    int64_t waiting_since_ = 0;
    std::vector<Starting> starting_;
    std::map<int64_t, Deaths> deaths_;  ///< by the job
    std::map<std::string, int> logged_;
};

void RunScheduler() {
    const MemoryContext context = CallPostgres(
        [] { return AllocSetContextCreate(TopMemoryContext, "dlent scheduler", ALLOCSET_DEFAULT_SIZES); });
    if (!IsAloneWith(kSchedulerLock))
        return;
    RegisterScheduler();
    Scheduler scheduler(context);
    while (SchedulerEnabled() && !IsHeld(MyDatabaseId)) {
        if (!scheduler.Tick()) {
            ReportExtensionAbsent();
            return;
        }
        CallPostgres([] {
            pgstat_report_stat(false);
            pgstat_report_activity(STATE_IDLE, nullptr);
        });
        SleepUntilWoken(scheduler.sleep());
    }
}

}  // namespace

bool StartScheduler(Oid database, BackgroundWorkerHandle** handle) {
    return StartDatabaseWorker("dlent_scheduler_main", "dlent scheduler", database, handle);
}

}  // namespace dlent::pg

extern "C" __attribute__((visibility("default"))) void dlent_scheduler_main(Datum);

void dlent_scheduler_main(Datum database) {
    using namespace dlent::pg;
    pqsignal(SIGTERM, die);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
    PrepareJobSession("dlent scheduler");
    GuardCallback([] {
        RunScheduler();
        return true;
    });
    proc_exit(0);
}
