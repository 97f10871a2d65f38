#include "pg/bridge/postgres.h"

#include "pg/workers/schedule_store.h"

#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/writer.h"
#include "pg/workers/job_settings.h"

namespace dlent::pg {
namespace {

constexpr const char* kCommand = "a schedule";

Parameter Timestamp(TimestampTz value) {
    return {TIMESTAMPTZOID, TimestampTzGetDatum(value), value == 0};
}

/// Runs one statement that writes.
template <int kCount>
void Write(const char* statement, const Parameter (&parameters)[kCount]) {
    CallPostgres([&] {
        CatalogWrite write;
        BeginCatalogWrite(kCommand, &write);
        Execute(statement, parameters);
        EndCatalogWrite(write, false);
    });
}

std::vector<int64_t> Numbers(const char* statement, const Parameter* parameters, int count) {
    struct Found {
        int64_t* numbers;
        uint64_t count;
    };
    const Found found = CallPostgres([&] {
        const MemoryContext context = CurrentMemoryContext;
        CatalogWrite read;
        BeginCatalogRead(&read);
        const uint64_t rows = Execute(statement, parameters, count);
        Found result{static_cast<int64_t*>(MemoryContextAlloc(context, sizeof(int64_t) * (rows + 1))), rows};
        for (uint64_t i = 0; i < rows; ++i)
            result.numbers[i] = DatumGetInt64(Result(i, 1));
        EndCatalogRead(read);
        return result;
    });
    return {found.numbers, found.numbers + found.count};
}

}  // namespace

int64_t InsertSchedule(const Schedule& schedule) {
    const NewJob& job = schedule.job;
    const Datum arguments = JsonbDatum(job.arguments);
    const Datum policy = JsonbDatum(job.policy.ToJson());
    const Datum settings = JsonbDatum(job.settings);
    return CallPostgres([&] {
        CatalogWrite write;
        BeginCatalogWrite("dlent_schedule()", &write);
        const Parameter parameters[] = {Text(job.model.c_str()),
                                        Text(schedule.expression.c_str()),
                                        Text(schedule.time_zone.c_str()),
                                        Text(job.action.c_str()),
                                        Of(JSONBOID, arguments),
                                        Of(JSONBOID, policy),
                                        Of(JSONBOID, settings),
                                        Text(schedule.overlap.c_str()),
                                        Float8(schedule.catch_up),
                                        Int4(schedule.quarantine_after),
                                        Of(OIDOID, ObjectIdGetDatum(job.owner)),
                                        Timestamp(schedule.created_at),
                                        Timestamp(schedule.next_run)};
        Execute(
            "WITH new AS (INSERT INTO dlent.schedule (model, schedule, time_zone, action, arguments, policy, "
            "settings, "
            "overlap, catch_up, quarantine_after, owner, created_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id) "
            "INSERT INTO dlent.schedule_state (schedule_id, next_run) SELECT id, $13 FROM new RETURNING "
            "schedule_id",
            parameters);
        const int64_t id = DatumGetInt64(Result(0, 1));
        EndCatalogWrite(write, false);
        return id;
    });
}

namespace {

std::optional<Schedule> LockScheduleBy(const char* statement, int64_t id) {
    struct Raw {
        const char* texts[8];
        double catch_up;
        int quarantine_after;
        Oid owner;
        TimestampTz created_at;
        bool has_state;
        bool paused;
        TimestampTz next_run;
    } raw{};
    const bool found = CallPostgres([&] {
        const MemoryContext context = CurrentMemoryContext;
        CatalogWrite write;
        BeginCatalogWrite(kCommand, &write);
        const Parameter parameters[] = {Int8(id)};
        // the state is read behind the lock: who changes it holds the lock, too
        bool there = Execute(statement, parameters) > 0;
        there =
            there &&
            Execute(
                "SELECT s.schedule, s.time_zone, s.overlap, s.action, s.model, s.arguments::pg_catalog.text, "
                "s.policy::pg_catalog.text, s.settings::pg_catalog.text, s.catch_up, s.quarantine_after, "
                "s.owner::pg_catalog.oid, s.created_at, t.schedule_id IS NOT NULL, COALESCE(t.paused, true), "
                "t.next_run FROM dlent.schedule AS s "
                "LEFT JOIN dlent.schedule_state AS t ON t.schedule_id = s.id WHERE s.id = $1",
                parameters) > 0;
        if (there) {
            for (int i = 0; i < 8; ++i)
                raw.texts[i] = MemoryContextStrdup(
                    context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1));
            raw.catch_up = DatumGetFloat8(Result(0, 9));
            raw.quarantine_after = DatumGetInt32(Result(0, 10));
            raw.owner = DatumGetObjectId(Result(0, 11));
            raw.created_at = DatumGetTimestampTz(Result(0, 12));
            raw.has_state = DatumGetBool(Result(0, 13));
            raw.paused = DatumGetBool(Result(0, 14));
            raw.next_run = DatumGetTimestampTz(Result(0, 15));
        }
        EndCatalogWrite(write, false);
        return there;
    });
    if (!found)
        return std::nullopt;
    Schedule schedule;
    schedule.id = id;
    schedule.expression = raw.texts[0];
    schedule.time_zone = raw.texts[1];
    schedule.overlap = raw.texts[2];
    schedule.job.action = raw.texts[3];
    schedule.job.model = raw.texts[4];
    schedule.job.arguments = ParseJson(raw.texts[5]);
    schedule.job.policy = JobPolicy::FromJson(ParseJson(raw.texts[6]));
    schedule.job.settings = ParseJson(raw.texts[7]);
    schedule.job.owner = raw.owner;
    schedule.job.schedule_id = id;
    schedule.catch_up = raw.catch_up;
    schedule.quarantine_after = raw.quarantine_after;
    schedule.created_at = raw.created_at;
    schedule.has_state = raw.has_state;
    schedule.paused = raw.paused;
    schedule.next_run = raw.next_run;
    return schedule;
}

}  // namespace

std::optional<Schedule> LockSchedule(int64_t id) {
    return LockScheduleBy("SELECT FROM dlent.schedule WHERE id = $1 FOR UPDATE", id);
}

std::optional<Schedule> LockScheduleIfFree(int64_t id) {
    return LockScheduleBy("SELECT FROM dlent.schedule WHERE id = $1 FOR UPDATE SKIP LOCKED", id);
}

void DeleteSchedule(int64_t id) {
    const Parameter parameters[] = {Int8(id)};
    Write(
        "WITH gone AS (DELETE FROM dlent.schedule WHERE id = $1) DELETE FROM dlent.schedule_state WHERE "
        "schedule_id = $1",
        parameters);
}

void PauseSchedule(int64_t id, const std::string& reason) {
    const Parameter parameters[] = {
        Int8(id), CallPostgres([&] { return Text(reason.empty() ? nullptr : reason.c_str()); })};
    Write(
        "INSERT INTO dlent.schedule_state (schedule_id, paused, reason) VALUES ($1, true, $2) "
        "ON CONFLICT (schedule_id) DO UPDATE SET paused = true, reason = EXCLUDED.reason",
        parameters);
}

void ResumeSchedule(int64_t id, TimestampTz next_run) {
    const Parameter parameters[] = {Int8(id), Timestamp(next_run)};
    Write(
        "INSERT INTO dlent.schedule_state (schedule_id, next_run) VALUES ($1, $2) "
        "ON CONFLICT (schedule_id) DO UPDATE SET paused = false, reason = NULL, failures = 0, next_run = "
        "EXCLUDED.next_run",
        parameters);
}

void NoteDue(int64_t id, Due due, TimestampTz next_run) {
    const auto flag = [due](Due which) { return Of(INT4OID, Int32GetDatum(due == which ? 1 : 0)); };
    const Parameter parameters[] = {Int8(id), flag(Due::kAsked), flag(Due::kSkipped), flag(Due::kMissed),
                                    Timestamp(next_run)};
    Write(
        "UPDATE dlent.schedule_state SET next_run = $5, skipped = skipped + $3, missed = missed + $4, "
        "last_run = CASE WHEN $2 = 1 THEN pg_catalog.clock_timestamp() ELSE last_run END, "
        "paused = paused OR $5 IS NULL, reason = CASE WHEN $5 IS NULL THEN 'it is never due again' ELSE "
        "reason END "
        "WHERE schedule_id = $1",
        parameters);
}

OpenJobs OpenJobsOf(int64_t schedule) {
    return CallPostgres([schedule] {
        CatalogWrite read;
        BeginCatalogRead(&read);
        const Parameter parameters[] = {Int8(schedule)};
        Execute(
            "SELECT pg_catalog.count(*) FILTER (WHERE state = 'queued'), pg_catalog.count(*) FILTER (WHERE "
            "state = 'running') "
            "FROM dlent.job WHERE schedule_id = $1 AND state IN ('queued', 'running')",
            parameters);
        const OpenJobs jobs{static_cast<int>(DatumGetInt64(Result(0, 1))),
                            static_cast<int>(DatumGetInt64(Result(0, 2)))};
        EndCatalogRead(read);
        return jobs;
    });
}

void NoteScheduleOutcome(int64_t id, bool succeeded, bool failed) {
    if (!succeeded && !failed)
        return;
    const Parameter parameters[] = {Int8(id), Of(BOOLOID, BoolGetDatum(failed))};
    Write(
        "UPDATE dlent.schedule_state AS t SET failures = CASE WHEN $2 THEN failures + 1 ELSE 0 END, "
        "paused = paused OR $2 AND s.quarantine_after > 0 AND failures + 1 >= s.quarantine_after, "
        "reason = CASE WHEN NOT paused AND $2 AND s.quarantine_after > 0 AND failures + 1 >= "
        "s.quarantine_after "
        "THEN pg_catalog.format('quarantined: %s jobs failed in a row', failures + 1) ELSE reason END "
        "FROM dlent.schedule AS s WHERE s.id = t.schedule_id AND t.schedule_id = $1",
        parameters);
}

std::vector<int64_t> DueSchedules(TimestampTz now) {
    const Parameter parameters[] = {Timestamp(now)};
    return Numbers(
        "SELECT schedule_id FROM dlent.schedule_state WHERE NOT paused AND next_run <= $1 ORDER BY next_run, "
        "schedule_id",
        parameters, 1);
}

std::vector<int64_t> RunningSchedules() {
    return Numbers("SELECT schedule_id FROM dlent.schedule_state WHERE NOT paused ORDER BY schedule_id",
                   nullptr, 0);
}

NextTimes FindNextTimes() {
    return CallPostgres([] {
        CatalogWrite read;
        BeginCatalogRead(&read);
        Execute(
            "SELECT (SELECT pg_catalog.min(next_run) FROM dlent.schedule_state WHERE NOT paused), "
            "(SELECT pg_catalog.min(next_start) FROM dlent.job WHERE state = 'queued')",
            nullptr, 0);
        const NextTimes times{DatumGetTimestampTz(Result(0, 1)), DatumGetTimestampTz(Result(0, 2))};
        EndCatalogRead(read);
        return times;
    });
}

}  // namespace dlent::pg
