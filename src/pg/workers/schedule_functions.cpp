// dlent_schedule and what is done with a schedule once it exists.

#include "pg/bridge/postgres.h"

#include "pg/bridge/json.h"
#include "pg/bridge/option_reader.h"
#include "pg/bridge/text.h"
#include "pg/catalog/relations.h"
#include "pg/functions/arguments.h"
#include "pg/workers/job_action.h"
#include "pg/workers/job_request.h"
#include "pg/workers/job_session.h"
#include "pg/workers/job_settings.h"
#include "pg/workers/job_worker.h"
#include "pg/workers/schedule_rule.h"
#include "pg/workers/schedule_store.h"
#include "pg/workers/scheduler_memory.h"

extern "C" {
#include "tcop/utility.h"
}

namespace dlent::pg {
namespace {

constexpr double kDefaultCatchUp = 3600.0;
constexpr int kDefaultQuarantine = 5;
constexpr int kDefaultRetries = 3;

std::string TakeText(Json* options, const char* key, std::string value) {
    if (const auto found = options->find(key); found != options->end()) {
        if (!found->is_string())
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                           std::string("option \"") + key + "\" must be a text");
        value = FromUtf8(found->get<std::string>());
        options->erase(key);
    }
    return value;
}

void CheckWritable(const char* command) {
    CallPostgres([command] {
        PreventCommandIfReadOnly(command);
        PreventCommandDuringRecovery(command);
        PreventCommandIfParallelMode(command);
        RefuseRestricted(command);
    });
}

}  // namespace

int64_t MakeSchedule(const std::string& model, const std::string& expression, const std::string& action,
                     Json options) {
    CheckWritable("dlent_schedule()");
    RequireObject(options, "the options of a schedule");
    Schedule schedule;
    JobPolicy defaults;
    defaults.retries = kDefaultRetries;
    schedule.job.policy = TakeJobPolicy(&options, defaults);
    Json arguments = Json::object();
    if (const auto found = options.find("arguments"); found != options.end()) {
        arguments = *found;
        options.erase("arguments");
    }
    schedule.expression = expression;
    schedule.time_zone = TakeText(&options, "time_zone",
                                  CallPostgres([] { return GetConfigOption("TimeZone", false, false); }));
    schedule.overlap = TakeText(&options, "overlap", "skip");
    if (schedule.overlap != "skip" && schedule.overlap != "queue")
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "option \"overlap\" must be skip or queue");
    schedule.catch_up = kDefaultCatchUp;
    if (const auto found = options.find("catch_up"); found != options.end()) {
        schedule.catch_up = SecondsOf("catch_up", *found);
        options.erase("catch_up");
    }
    schedule.quarantine_after = kDefaultQuarantine;
    if (const auto found = options.find("quarantine_after"); found != options.end()) {
        if (!found->is_number_integer() || *found < 0 || *found > 1000000)
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                           "option \"quarantine_after\" must be an integer, not negative");
        schedule.quarantine_after = found->get<int>();
        options.erase("quarantine_after");
    }
    RefuseUnknownKeys(
        options, "option of a schedule",
        std::string("arguments, time_zone, overlap, catch_up, quarantine_after, ") + kJobPolicyKeys);
    schedule.job.owner = GetUserId();
    CheckOwner(schedule.job.owner);
    schedule.job.action = action;
    schedule.job.model = model;
    schedule.job.arguments = FindAction(action).check(model, arguments);
    schedule.job.settings = CapturedSettings();
    schedule.created_at = ScheduleClock();
    const std::optional<TimestampTz> next =
        ScheduleRule::Parse(expression, schedule.time_zone, schedule.created_at).Next(schedule.created_at);
    if (!next)
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "schedule \"" + expression + "\" is never due");
    schedule.next_run = *next;
    const int64_t id = InsertSchedule(schedule);
    if (!SchedulerMemoryExists())
        CallPostgres([] {
            ereport(WARNING, (errmsg("schedules are not run by this server"),
                              errhint("Add dlent to shared_preload_libraries and restart it; "
                                      "dlent_run_schedule() asks for a schedule's job in the meantime.")));
        });
    WakeSchedulerAtCommit();
    return id;
}

namespace {

/// The schedule, locked, when the current user may change it; 42704, 42501.
Schedule RequireSchedule(const char* command, int64_t id) {
    CheckWritable(command);
    std::optional<Schedule> schedule = LockSchedule(id);
    if (!schedule)
        throw SqlError(ERRCODE_UNDEFINED_OBJECT, "schedule " + std::to_string(id) + " does not exist");
    if (!MayManageJobs(schedule->job.owner, schedule->job.model))
        throw SqlError(ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for schedule " + std::to_string(id),
                       {}, "Its owner may do that, and who manages model \"" + schedule->job.model + "\".");
    return std::move(*schedule);
}

bool Pause(int64_t id, const std::string& reason) {
    const Schedule schedule = RequireSchedule("dlent_pause_schedule()", id);
    if (schedule.paused && schedule.has_state)
        return false;
    PauseSchedule(id, reason);
    WakeSchedulerAtCommit();
    return true;
}

TimestampTz Resume(int64_t id) {
    const Schedule schedule = RequireSchedule("dlent_resume_schedule()", id);
    if (!schedule.paused)
        return schedule.next_run;
    CheckOwner(schedule.job.owner);
    const std::optional<TimestampTz> next =
        ScheduleRule::Parse(schedule.expression, schedule.time_zone, schedule.created_at)
            .Next(ScheduleClock());
    if (!next)
        throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       "schedule " + std::to_string(id) + " is never due again");
    ResumeSchedule(id, *next);
    WakeSchedulerAtCommit();
    return *next;
}

int64_t RunNow(int64_t id) {
    const Schedule schedule = RequireSchedule("dlent_run_schedule()", id);
    CheckOwner(schedule.job.owner);
    const OpenJobs open = OpenJobsOf(id);
    if (open.queued + open.running > 0)
        throw SqlError(ERRCODE_OBJECT_IN_USE,
                       "schedule " + std::to_string(id) + " has a job that has not ended", {},
                       "View dlent.jobs shows it; dlent_cancel() ends it.");
    const int64_t job = InsertJob(schedule.job);
    const Oid extension = CallPostgres([] { return GetCatalogRelations().extension; });
    StartJobAtCommit({schedule.job.owner, extension, job});
    return job;
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;
using dlent::Json;

DLENT_FUNCTION(dlent_schedule) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = RequiredText(fcinfo, 0, "model");
        const std::string expression = RequiredText(fcinfo, 1, "schedule");
        const std::string action = RequiredText(fcinfo, 2, "action");
        Json options = PG_ARGISNULL(3) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(3));
        return Int64GetDatum(MakeSchedule(model, expression, action, std::move(options)));
    });
}

DLENT_FUNCTION(dlent_unschedule) {
    return Entry(fcinfo, [fcinfo] {
        const int64_t id = PG_GETARG_INT64(0);
        if (!LockSchedule(id))
            return BoolGetDatum(false);
        RequireSchedule("dlent_unschedule()", id);
        DeleteSchedule(id);
        WakeSchedulerAtCommit();
        return BoolGetDatum(true);
    });
}

DLENT_FUNCTION(dlent_pause_schedule) {
    return Entry(fcinfo, [fcinfo] {
        if (PG_ARGISNULL(0))
            throw SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "schedule must not be NULL");
        const std::string reason = PG_ARGISNULL(1) ? std::string() : TextOf(PG_GETARG_DATUM(1));
        return BoolGetDatum(Pause(PG_GETARG_INT64(0), reason));
    });
}

DLENT_FUNCTION(dlent_resume_schedule) {
    return Entry(fcinfo, [fcinfo] { return TimestampTzGetDatum(Resume(PG_GETARG_INT64(0))); });
}

DLENT_FUNCTION(dlent_run_schedule) {
    return Entry(fcinfo, [fcinfo] { return Int64GetDatum(RunNow(PG_GETARG_INT64(0))); });
}

DLENT_FUNCTION(dlent_wake_scheduler) {
    return Entry(fcinfo, [fcinfo] {
        WakeSchedulerAtCommit();
        return Datum{0};
    });
}
