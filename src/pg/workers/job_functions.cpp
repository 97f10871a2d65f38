// dlent_start_job, dlent_train_async, dlent_wait, dlent_cancel.

#include "pg/bridge/postgres.h"

#include <csignal>

#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/relations.h"
#include "pg/functions/arguments.h"
#include "pg/workers/job_action.h"
#include "pg/workers/job_request.h"
#include "pg/workers/job_session.h"
#include "pg/workers/job_worker.h"
#include "pg/workers/scheduler_memory.h"
#include "pg/workers/worker_places.h"

extern "C" {
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/wait_event.h"
}

namespace dlent::pg {

int64_t StartJob(const char* command, const std::string& action, const std::string& model,
                 const Json& arguments, Json options, const JobPolicy& defaults) {
    CallPostgres([command] {
        PreventCommandIfReadOnly(command);
        PreventCommandDuringRecovery(command);
        PreventCommandIfParallelMode(command);
        RefuseRestricted(command);
    });
    RequireObject(options, "the options of a job");
    NewJob job;
    job.policy = TakeJobPolicy(&options, defaults);
    RefuseUnknownKeys(options, "option of a job", kJobPolicyKeys);
    job.owner = GetUserId();
    CheckOwner(job.owner);
    job.action = action;
    job.model = model;
    job.arguments = FindAction(action).check(model, arguments);
    job.settings = CapturedSettings();
    const int64_t id = InsertJob(job);
    const Oid extension = CallPostgres([] { return GetCatalogRelations().extension; });
    StartJobAtCommit({job.owner, extension, id});
    return id;
}

void RefuseRestricted(const char* command) {
    if (InSecurityRestrictedOperation())
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("cannot execute %s within security-restricted operation", command)));
}

void CheckOwner(Oid owner) {
    CallPostgres([owner] {
        if (const char* why = WhyNotConnect(owner); why != nullptr)
            ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
                            errmsg("role \"%s\" cannot own a job", GetUserNameFromId(owner, false)),
                            errdetail_internal("%s", why),
                            errhint("A job runs in a session of its owner, the current role.")));
    });
}

bool MayManageJobs(Oid owner, const std::string& model) {
    return CallPostgres([&] {
        if (has_privs_of_role(GetUserId(), owner))
            return true;
        const bool pushed = PushSnapshotIfNone();
        FoundModel found;
        const bool may = FindModel(model.c_str(), &found) && HasPrivilege(found, Privilege::kManage);
        if (pushed)
            PopActiveSnapshot();
        return may;
    });
}

namespace {

constexpr long kLongestPoll = 100;
/// A worker that was asked for so often and never came is given up.
constexpr int kMostStarts = 3;
constexpr int64_t kBetweenStarts = 2 * USECS_PER_SEC;

[[noreturn]] void ThrowNoJob(int64_t id) {
    throw SqlError(ERRCODE_UNDEFINED_OBJECT, "job " + std::to_string(id) + " does not exist");
}

/// The job, when the current user may see (`write`: change) it; 42704, 42501.
Job RequireJob(int64_t id, bool write) {
    std::optional<Job> job = ReadJob(id);
    if (!job)
        ThrowNoJob(id);
    const bool may = MayManageJobs(job->owner, job->model) ||
                     (!write && CallPostgres([] { return has_privs_of_role(GetUserId(), ROLE_PG_MONITOR); }));
    if (!may)
        throw SqlError(ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for job " + std::to_string(id), {},
                       "Its owner may do that, and who manages model \"" + job->model + "\".");
    return std::move(*job);
}

/// Where no scheduler does, sees to it that a job that is due has a worker.
class Starter {
 public:
    /// Looks at a job that has not ended.
    void Attend(const Job& job) {
        if (RecoveryInProgress() || SchedulerIsAlive() || LastStartIsFresh())
            return;
        const bool due = job.state == JobState::kQueued && job.next_start <= GetCurrentTimestamp();
        const bool orphaned = job.state == JobState::kRunning;
        if (!due && !orphaned)
            return;
        struct State {
            int worker;
            int free;
            Oid extension;
            const char* obstacle;
        };
        const State state = CallPostgres([&job] {
            return State{LockHolder(kJobLock, job.id), FreeWorkerSlots(), GetCatalogRelations().extension,
                         WhyNotConnect(job.owner)};
        });
        if (state.worker != 0) {
            starts_ = 0;
            return;
        }
        if (state.obstacle != nullptr || starts_ >= kMostStarts)
            throw SqlError(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "job " + std::to_string(job.id) + " cannot be started",
                state.obstacle != nullptr ? state.obstacle : "Its workers end before they take it.",
                state.obstacle != nullptr ? "" : "The server's log says why.");
        if (state.free == 0)
            return;
        BackgroundWorkerHandle* handle = nullptr;
        const JobStart start{job.owner, state.extension, job.id};
        if (CallPostgres([&] { return StartJobWorker(start, kNoPlace, &handle); }))
            ++starts_;
        started_at_ = GetCurrentTimestamp();
    }

 private:
    bool LastStartIsFresh() const { return GetCurrentTimestamp() < started_at_ + kBetweenStarts; }

    TimestampTz started_at_ = 0;
    int starts_ = 0;
};

const char* Wait(int64_t id, const Interval* timeout) {
    if (StartsAtCommit(id))
        throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       "job " + std::to_string(id) + " starts when this transaction commits", {},
                       "Call dlent_wait() after COMMIT.");
    const TimestampTz until = timeout == nullptr ? DT_NOEND : CallPostgres([timeout] {
        return DatumGetTimestampTz(DirectFunctionCall2(
            timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()), IntervalPGetDatum(timeout)));
    });
    const MemoryContext scratch = CallPostgres(
        [] { return AllocSetContextCreate(CurrentMemoryContext, "dlent wait", ALLOCSET_SMALL_SIZES); });
    Starter starter;
    for (long poll = 5;; poll = std::min(poll * 2, kLongestPoll)) {
        CallPostgres([scratch] { MemoryContextReset(scratch); });
        const MemoryContext outer = MemoryContextSwitchTo(scratch);
        const Job job = RequireJob(id, false);
        if (!HasEnded(job.state))
            starter.Attend(job);
        MemoryContextSwitchTo(outer);
        const TimestampTz now = GetCurrentTimestamp();
        if (HasEnded(job.state) || now >= until)
            return JobStateName(job.state);
        const long left = until == DT_NOEND ? poll : TimestampDifferenceMilliseconds(now, until) + 1;
        CallPostgres([milliseconds = std::min(poll, left)] {
            (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
                            PG_WAIT_EXTENSION);
            ResetLatch(MyLatch);
            CHECK_FOR_INTERRUPTS();
        });
    }
}

bool Cancel(int64_t id) {
    RequireJob(id, true);
    std::optional<Job> job = LockJob(id);
    if (!job)
        ThrowNoJob(id);
    if (HasEnded(job->state))
        return false;
    if (job->state == JobState::kQueued)
        EndQueuedJob(&*job, JobState::kCanceled, {});
    // the lock is the worker's, so the process is: also one that waits for the next attempt
    const int worker = CallPostgres([id] { return LockHolder(kJobLock, id); });
    if (worker != 0 && kill(worker, SIGINT) == 0)
        return true;
    if (job->state == JobState::kRunning) {
        // its worker is gone: nothing is left to be cancelled but its coming back
        job->policy.resumes = 0;
        EndOrphanedRun(&*job);
    }
    return true;
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;
using dlent::Json;

DLENT_FUNCTION(dlent_start_job) {
    return Entry(fcinfo, [fcinfo] {
        const std::string action = RequiredText(fcinfo, 0, "action");
        const std::string model = RequiredText(fcinfo, 1, "model");
        const Json arguments = PG_ARGISNULL(2) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(2));
        Json options = PG_ARGISNULL(3) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(3));
        return Int64GetDatum(StartJob("dlent_start_job()", action, model, arguments, std::move(options), {}));
    });
}

DLENT_FUNCTION(dlent_train_async) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = RequiredText(fcinfo, 0, "model");
        Json arguments = {
            {"source", ToUtf8(RequiredText(fcinfo, 1, "source"))},
            {"target", ToUtf8(RequiredText(fcinfo, 2, "target",
                                           "Name the column to be predicted: dlent_train_async(model, "
                                           "source, 'column')."))}};
        Json options = PG_ARGISNULL(3) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(3));
        RequireObject(options, "the options");
        Json job_options = options.value("job", Json::object());
        options.erase("job");
        arguments["options"] = std::move(options);
        return Int64GetDatum(
            StartJob("dlent_train_async()", "train", model, arguments, std::move(job_options), {}));
    });
}

DLENT_FUNCTION(dlent_wait) {
    return Entry(fcinfo, [fcinfo] {
        if (PG_ARGISNULL(0))
            throw SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "job must not be NULL");
        const Interval* timeout = PG_ARGISNULL(1) ? nullptr : PG_GETARG_INTERVAL_P(1);
        return TextDatum(Wait(PG_GETARG_INT64(0), timeout));
    });
}

DLENT_FUNCTION(dlent_cancel) {
    return Entry(fcinfo, [fcinfo] {
        if (PG_ARGISNULL(0))
            throw SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "job must not be NULL");
        return BoolGetDatum(Cancel(PG_GETARG_INT64(0)));
    });
}

DLENT_FUNCTION(dlent_job_worker) {
    return Entry(fcinfo, [fcinfo] {
        const int worker = CallPostgres([fcinfo] { return LockHolder(kJobLock, PG_GETARG_INT64(0)); });
        fcinfo->isnull = worker == 0;
        return Int32GetDatum(worker);
    });
}
