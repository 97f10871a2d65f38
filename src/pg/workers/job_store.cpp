#include "pg/bridge/postgres.h"

#include "pg/workers/job_store.h"

#include <algorithm>
#include <array>

#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/writer.h"
#include "pg/workers/job_settings.h"
#include "pg/workers/schedule_store.h"

namespace dlent::pg {
namespace {

constexpr const char* kCommand = "a job";
constexpr std::array<const char*, 5> kStateNames = {"queued", "running", "succeeded", "failed", "canceled"};

JobState StateNamed(const char* name) {
    for (size_t i = 0; i < kStateNames.size(); ++i) {
        if (std::strcmp(kStateNames[i], name) == 0)
            return static_cast<JobState>(i);
    }
    throw SqlError(ERRCODE_DATA_CORRUPTED, std::string("unknown state \"") + name + "\" of a job");
}

Parameter Timestamp(TimestampTz value) {
    return {TIMESTAMPTZOID, TimestampTzGetDatum(value), value == 0};
}

Parameter Id(int64_t value) {
    return {INT8OID, Int64GetDatum(value), value == 0};
}

Parameter TextOrNull(const std::string& value) {
    return Text(value.empty() ? nullptr : value.c_str());
}

/// A row of dlent.job, as text where it is long. Nothing here has a destructor.
struct RawJob {
    int64_t id;
    const char* action;
    const char* model;
    const char* arguments;
    const char* policy;
    const char* settings;
    Oid owner;
    int64_t schedule_id;
    const char* state;
    int attempts;
    int failures;
    int interruptions;
    TimestampTz next_start;
};

constexpr const char* kSelectJob =
    "SELECT id, action, model, arguments::pg_catalog.text, policy::pg_catalog.text, "
    "settings::pg_catalog.text, "
    "owner::pg_catalog.oid, schedule_id, state, attempts, failures, interruptions, next_start "
    "FROM dlent.job WHERE id = $1";

/// Reads the row as it is now, and locks it by a clause such as "FOR UPDATE", or not. A transaction's
/// snapshot may be older.
bool FetchJob(int64_t id, const char* lock, MemoryContext context, RawJob* raw) {
    const Parameter parameters[] = {Int8(id)};
    uint64_t rows = 0;
    if (lock != nullptr) {
        rows = Execute(psprintf("%s %s", kSelectJob, lock), parameters);
    } else {
        PushActiveSnapshot(GetLatestSnapshot());
        rows = ExecuteReadOnly(kSelectJob, parameters);
        PopActiveSnapshot();
    }
    if (rows == 0)
        return false;
    const auto text = [context](int column) {
        return MemoryContextStrdup(context,
                                   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column));
    };
    *raw = {id,
            text(2),
            text(3),
            text(4),
            text(5),
            text(6),
            DatumGetObjectId(Result(0, 7)),
            DatumGetInt64(Result(0, 8)),
            text(9),
            DatumGetInt32(Result(0, 10)),
            DatumGetInt32(Result(0, 11)),
            DatumGetInt32(Result(0, 12)),
            DatumGetTimestampTz(Result(0, 13))};
    return true;
}

Job JobOf(const RawJob& raw) {
    Job job;
    job.id = raw.id;
    job.action = raw.action;
    job.model = raw.model;
    job.arguments = ParseJson(raw.arguments);
    job.policy = JobPolicy::FromJson(ParseJson(raw.policy));
    job.settings = ParseJson(raw.settings);
    job.owner = raw.owner;
    job.schedule_id = raw.schedule_id;
    job.state = StateNamed(raw.state);
    job.attempts = raw.attempts;
    job.failures = raw.failures;
    job.interruptions = raw.interruptions;
    job.next_start = raw.next_start;
    return job;
}

TimestampTz Later(TimestampTz time, double seconds) {
    return time + static_cast<int64_t>(seconds * USECS_PER_SEC);
}

/// What `job` says of its state, written.
void WriteJob(const Job& job) {
    const bool ended = HasEnded(job.state);
    CallPostgres([&] {
        CatalogWrite write;
        BeginCatalogWrite(kCommand, &write);
        const Parameter parameters[] = {Int8(job.id),
                                        Text(JobStateName(job.state)),
                                        Int4(job.attempts),
                                        Int4(job.failures),
                                        Int4(job.interruptions),
                                        Timestamp(job.next_start),
                                        Of(BOOLOID, BoolGetDatum(ended))};
        Execute(
            "UPDATE dlent.job SET state = $2, attempts = $3, failures = $4, interruptions = $5, next_start = "
            "$6, "
            "finished_at = CASE WHEN $7 THEN pg_catalog.clock_timestamp() END WHERE id = $1",
            parameters);
        if (ended)
            Execute("DELETE FROM dlent.job_checkpoint WHERE job_id = $1", parameters, 1);
        EndCatalogWrite(write, false);
    });
    if (ended && job.schedule_id != 0)
        NoteScheduleOutcome(job.schedule_id, job.state == JobState::kSucceeded,
                            job.state == JobState::kFailed);
}

void WriteRunEnd(const Job& job, const char* state, const JobError& error, const Json& result) {
    const Datum result_datum = result.is_null() ? Datum{0} : JsonbDatum(result);
    CallPostgres([&] {
        CatalogWrite write;
        BeginCatalogWrite(kCommand, &write);
        const Parameter parameters[] = {Int8(job.id),
                                        Int4(job.attempts),
                                        Text(state),
                                        TextOrNull(error.sqlstate),
                                        TextOrNull(error.message),
                                        TextOrNull(error.detail),
                                        TextOrNull(error.hint),
                                        TextOrNull(error.context),
                                        Parameter{JSONBOID, result_datum, result_datum == 0}};
        Execute(
            "UPDATE dlent.job_run SET state = $3, finished_at = pg_catalog.clock_timestamp(), sqlstate = $4, "
            "message = $5, detail = $6, hint = $7, context = $8, result = $9 "
            "WHERE job_id = $1 AND attempt = $2",
            parameters);
        EndCatalogWrite(write, false);
    });
}

std::vector<JobToStart> ListJobs(const char* statement, int limit) {
    struct Found {
        JobToStart* jobs;
        uint64_t count;
    };
    const Found found = CallPostgres([&] {
        const MemoryContext context = CurrentMemoryContext;
        CatalogWrite read;
        BeginCatalogRead(&read);
        const Parameter parameters[] = {Int4(limit)};
        const uint64_t count = Execute(statement, parameters);
        Found jobs{static_cast<JobToStart*>(MemoryContextAlloc(context, sizeof(JobToStart) * (count + 1))),
                   count};
        for (uint64_t i = 0; i < count; ++i)
            jobs.jobs[i] = {DatumGetInt64(Result(i, 1)), DatumGetObjectId(Result(i, 2))};
        EndCatalogRead(read);
        return jobs;
    });
    return {found.jobs, found.jobs + found.count};
}

}  // namespace

const char* JobStateName(JobState state) {
    return kStateNames[static_cast<size_t>(state)];
}

int64_t InsertJob(const NewJob& job) {
    const Datum arguments = JsonbDatum(job.arguments);
    const Datum policy = JsonbDatum(job.policy.ToJson());
    const Datum settings = JsonbDatum(job.settings);
    return CallPostgres([&] {
        CatalogWrite write;
        BeginCatalogWrite("starting a job", &write);
        const Parameter parameters[] = {
            Text(job.action.c_str()), Text(job.model.c_str()),      Of(JSONBOID, arguments),
            Of(JSONBOID, policy),     Of(JSONBOID, settings),       Of(OIDOID, ObjectIdGetDatum(job.owner)),
            Id(job.schedule_id),      Timestamp(job.scheduled_for), Timestamp(job.next_start)};
        Execute(
            "INSERT INTO dlent.job (action, model, arguments, policy, settings, owner, schedule_id, "
            "scheduled_for, "
            "next_start) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, COALESCE($9, pg_catalog.clock_timestamp())) RETURNING "
            "id",
            parameters);
        const int64_t id = DatumGetInt64(Result(0, 1));
        EndCatalogWrite(write, false);
        return id;
    });
}

std::optional<Job> ReadJob(int64_t id) {
    RawJob raw{};
    const bool found = CallPostgres([&] {
        const MemoryContext context = CurrentMemoryContext;
        CatalogWrite read;
        BeginCatalogRead(&read);
        const bool there = FetchJob(id, nullptr, context, &raw);
        EndCatalogRead(read);
        return there;
    });
    return found ? std::optional<Job>(JobOf(raw)) : std::nullopt;
}

namespace {

std::optional<Job> LockJobBy(const char* clause, int64_t id) {
    RawJob raw{};
    const bool found = CallPostgres([&] {
        const MemoryContext context = CurrentMemoryContext;
        CatalogWrite write;
        BeginCatalogWrite(kCommand, &write);
        const bool there = FetchJob(id, clause, context, &raw);
        EndCatalogWrite(write, false);
        return there;
    });
    return found ? std::optional<Job>(JobOf(raw)) : std::nullopt;
}

}  // namespace

std::optional<Job> LockJob(int64_t id) {
    return LockJobBy("FOR UPDATE", id);
}

std::optional<Job> LockJobIfFree(int64_t id) {
    return LockJobBy("FOR UPDATE SKIP LOCKED", id);
}

void BeginRun(Job* job) {
    job->state = JobState::kRunning;
    ++job->attempts;
    WriteJob(*job);
    const ServerEpoch epoch = CallPostgres([] { return CurrentEpoch(); });
    CallPostgres([&] {
        CatalogWrite write;
        BeginCatalogWrite(kCommand, &write);
        const Parameter parameters[] = {Int8(job->id), Int4(job->attempts), Int4(MyProcPid),
                                        Timestamp(epoch.started_at), Int8(epoch.timeline)};
        Execute(
            "INSERT INTO dlent.job_run (job_id, attempt, pid, server_started_at, timeline) VALUES ($1, $2, "
            "$3, $4, "
            "$5)",
            parameters);
        EndCatalogWrite(write, false);
    });
}

void EndRun(Job* job, RunEnd end, const JobError& error, const Json& result) {
    static constexpr std::array<const char*, 4> kRunStates = {"succeeded", "failed", "canceled",
                                                              "interrupted"};
    WriteRunEnd(*job, kRunStates[static_cast<size_t>(end)], error, result);
    const TimestampTz now = GetCurrentTimestamp();
    switch (end) {
        case RunEnd::kSucceeded:
            job->state = JobState::kSucceeded;
            break;
        case RunEnd::kCanceled:
            job->state = JobState::kCanceled;
            break;
        case RunEnd::kFailed:
            ++job->failures;
            job->state = job->failures <= job->policy.retries ? JobState::kQueued : JobState::kFailed;
            job->next_start = Later(now, job->policy.RetryDelay(job->failures));
            break;
        case RunEnd::kInterrupted:
            ++job->interruptions;
            job->state = job->interruptions <= job->policy.resumes ? JobState::kQueued : JobState::kFailed;
            // whoever kills the server must not do so as fast as it comes back
            job->next_start =
                job->interruptions == 1 ? now : Later(now, job->policy.RetryDelay(job->interruptions - 1));
            break;
    }
    WriteJob(*job);
}

void EndQueuedJob(Job* job, JobState state, const JobError& error) {
    // an attempt that never was, so that the reason is found where the others are
    if (!error.message.empty()) {
        BeginRun(job);
        WriteRunEnd(*job, JobStateName(state), error, nullptr);
    }
    job->state = state;
    WriteJob(*job);
}

bool Job::IsTooLate() const {
    return policy.start_limit && GetCurrentTimestamp() >= Later(next_start, *policy.start_limit);
}

bool FailIfTooLate(Job* job) {
    if (!job->IsTooLate())
        return false;
    EndQueuedJob(job, JobState::kFailed,
                 {unpack_sql_state(ERRCODE_QUERY_CANCELED),
                  "the job was not started within its start_limit of " +
                      std::to_string(static_cast<int64_t>(*job->policy.start_limit)) + " s",
                  {},
                  "More jobs work at one time with a larger dlent.max_job_workers.",
                  {}});
    return true;
}

void EndOrphanedRun(Job* job) {
    struct Run {
        TimestampTz server_started_at;
        int64_t timeline;
        TimestampTz started_at;
    };
    const Run run = CallPostgres([job] {
        CatalogWrite read;
        BeginCatalogRead(&read);
        const Parameter parameters[] = {Int8(job->id), Int4(job->attempts)};
        Run found{};
        if (Execute("SELECT server_started_at, timeline, started_at FROM dlent.job_run WHERE job_id = $1 AND "
                    "attempt = $2",
                    parameters) > 0)
            found = {DatumGetTimestampTz(Result(0, 1)), DatumGetInt64(Result(0, 2)),
                     DatumGetTimestampTz(Result(0, 3))};
        EndCatalogRead(read);
        return found;
    });
    const ServerEpoch epoch = CallPostgres([] { return CurrentEpoch(); });
    JobError error;
    if (run.timeline != epoch.timeline) {
        error = {"57P02",
                 "the server that ran the job was replaced",
                 "It wrote timeline " + std::to_string(run.timeline) + ", this one writes " +
                     std::to_string(epoch.timeline) + ".",
                 {},
                 {}};
    } else if (run.server_started_at != epoch.started_at) {
        error = {"57P01", "the server was restarted", {}, {}, {}};
    } else if (job->policy.run_limit &&
               GetCurrentTimestamp() > Later(run.started_at, *job->policy.run_limit)) {
        error = {"57014", "the worker did not end when its time was up, and was terminated", {}, {}, {}};
    } else {
        error = {"57P02", "the worker was killed", {}, "The server's log says more.", {}};
    }
    EndRun(job, RunEnd::kInterrupted, error, nullptr);
}

void WriteProgress(const Job& job, const Json& progress) {
    const Datum value = JsonbDatum(progress);
    CallPostgres([&] {
        CatalogWrite write;
        BeginCatalogWrite(kCommand, &write);
        const Parameter parameters[] = {Int8(job.id), Int4(job.attempts), Of(JSONBOID, value)};
        Execute("UPDATE dlent.job_run SET progress = $3 WHERE job_id = $1 AND attempt = $2", parameters);
        EndCatalogWrite(write, false);
    });
}

std::optional<Checkpoint> FindCheckpoint(int64_t job, const std::string& key) {
    struct Raw {
        const char* description;
        const char* tensors;
        size_t bytes;
    };
    const Raw raw = CallPostgres([&] {
        const MemoryContext context = CurrentMemoryContext;
        CatalogWrite read;
        BeginCatalogRead(&read);
        const Parameter parameters[] = {Int8(job), Text(key.c_str())};
        Raw found{};
        if (Execute("SELECT description::pg_catalog.text, tensors FROM dlent.job_checkpoint WHERE job_id = "
                    "$1 AND key = $2",
                    parameters) > 0) {
            found.description =
                MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
            const MemoryContext previous = MemoryContextSwitchTo(context);
            const bytea* tensors = DatumGetByteaPCopy(Result(0, 2));
            MemoryContextSwitchTo(previous);
            found.tensors = VARDATA(tensors);
            found.bytes = VARSIZE(tensors) - VARHDRSZ;
        }
        EndCatalogRead(read);
        return found;
    });
    if (raw.description == nullptr)
        return std::nullopt;
    try {
        return Checkpoint{ParseJson(raw.description), std::string(raw.tensors, raw.bytes)};
    } catch (const SqlError&) {
        return std::nullopt;  // a number that no double holds: not of our making
    }
}

void KeepCheckpoint(int64_t job, const std::string& key, const Checkpoint& checkpoint) {
    const Datum description = JsonbDatum(checkpoint.description);
    CallPostgres([&] {
        CatalogWrite write;
        BeginCatalogWrite(kCommand, &write);
        auto* tensors = static_cast<bytea*>(palloc(VARHDRSZ + checkpoint.tensors.size()));
        SET_VARSIZE(tensors, VARHDRSZ + checkpoint.tensors.size());
        std::memcpy(VARDATA(tensors), checkpoint.tensors.data(), checkpoint.tensors.size());
        const Parameter parameters[] = {Int8(job), Text(key.c_str()), Of(JSONBOID, description),
                                        Of(BYTEAOID, PointerGetDatum(tensors))};
        Execute(
            "INSERT INTO dlent.job_checkpoint (job_id, key, description, tensors) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (job_id, key) DO UPDATE SET description = EXCLUDED.description, tensors = "
            "EXCLUDED.tensors",
            parameters);
        EndCatalogWrite(write, false);
    });
}

void PruneJobs() {
    const TimestampTz before = GetCurrentTimestamp() - JobRetention();
    CallPostgres([before] {
        CatalogWrite write;
        BeginCatalogWrite(kCommand, &write);
        const Parameter parameters[] = {Timestamp(before)};
        Execute(
            "WITH gone AS (DELETE FROM dlent.job WHERE finished_at < $1 RETURNING id) "
            "DELETE FROM dlent.job_run USING gone WHERE job_id = gone.id",
            parameters);
        EndCatalogWrite(write, false);
    });
}

std::vector<JobToStart> JobsToStart(int limit) {
    return ListJobs(
        "SELECT id, owner::pg_catalog.oid FROM dlent.job AS j "
        "WHERE state = 'queued' AND next_start <= pg_catalog.clock_timestamp() "
        "AND NOT EXISTS (SELECT FROM dlent.job AS o WHERE o.schedule_id = j.schedule_id AND o.state = "
        "'running') "
        "OR state = 'running' AND dlent.job_worker(id) IS NULL "
        "ORDER BY next_start, id LIMIT $1",
        limit);
}

std::vector<JobToStart> OrphanedJobs() {
    return ListJobs(
        "SELECT id, owner::pg_catalog.oid FROM dlent.job WHERE state = 'running' AND dlent.job_worker(id) IS "
        "NULL "
        "ORDER BY id LIMIT $1",
        INT_MAX);
}

void RestartWaits() {
    CallPostgres([] {
        CatalogWrite write;
        BeginCatalogWrite(kCommand, &write);
        Execute(
            "UPDATE dlent.job SET next_start = pg_catalog.clock_timestamp() "
            "WHERE state = 'queued' AND next_start > pg_catalog.clock_timestamp()",
            nullptr, 0);
        EndCatalogWrite(write, false);
    });
}

}  // namespace dlent::pg
