#include "pg/bridge/postgres.h"

#include "pg/monitor/monitor_store.h"

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/model_change.h"
#include "pg/catalog/sql_call.h"
#include "pg/workers/job_settings.h"

extern "C" {
#include "commands/async.h"
}

namespace dlent::pg {
namespace {

std::string TextAt(const Json& json, const char* key) {
    return FromUtf8(json.at(key).get<std::string>());
}

/// Deletes a model's monitor with its schedule; whether there was one. Without destructors.
bool DeleteRow(int64_t model_id) {
    const Parameter parameters[] = {Int8(model_id)};
    return Execute(
               "WITH gone AS (DELETE FROM dlent.monitor WHERE model_id = $1 RETURNING schedule_id), "
               "schedules AS (DELETE FROM dlent.schedule USING gone WHERE id = gone.schedule_id RETURNING "
               "id), "
               "states AS (DELETE FROM dlent.schedule_state USING schedules WHERE schedule_state.schedule_id "
               "= "
               "schedules.id), "
               "alerts AS (UPDATE dlent.alert SET resolved_at = pg_catalog.clock_timestamp() "
               "WHERE model_id = $1 AND resolved_at IS NULL AND EXISTS (SELECT FROM gone)) "
               "SELECT FROM gone",
               parameters) > 0;
}

void RecordMonitorEvent(const CatalogWrite& write, const char* action, int64_t model_id, const char* model,
                        Datum details) {
    RecordEvent({.action = action,
                 .model_id = model_id,
                 .model = model,
                 .role = GetUserNameFromId(write.caller, false),
                 .details = details});
}

Json AlertsJson(const std::vector<Alert>& alerts) {
    Json list = Json::array();
    for (const Alert& alert : alerts)
        list.push_back({{"severity", alert.severity},
                        {"kind", alert.kind},
                        {"subject", ToUtf8(alert.subject)},
                        {"message", ToUtf8(alert.message)},
                        {"details", alert.details},
                        {"passing", alert.passing}});
    return list;
}

/// Raises the alerts of a list, or sees that they last; ends others of the kinds in `over`. Without
/// destructors.
void WriteAlerts(int64_t model_id, const char* model, Datum alerts, Datum over) {
    const Parameter parameters[] = {Int8(model_id), Of(JSONBOID, alerts), Of(JSONBOID, over), Text(model)};
    Execute(
        "UPDATE dlent.alert AS a SET resolved_at = pg_catalog.clock_timestamp() "
        "WHERE a.model_id = $1 AND a.resolved_at IS NULL AND $3 ? a.kind "
        "AND NOT EXISTS (SELECT FROM pg_catalog.jsonb_array_elements($2) AS n "
        "    WHERE n ->> 'kind' = a.kind AND n ->> 'subject' = a.subject)",
        parameters, 3);
    // a new alert is told of; one that lasts has been seen before
    const auto count = static_cast<int64_t>(Execute(
        "WITH raised AS (INSERT INTO dlent.alert (model_id, severity, kind, subject, message, details, "
        "resolved_at) "
        "SELECT $1, n ->> 'severity', n ->> 'kind', n ->> 'subject', n ->> 'message', n -> 'details', "
        "    CASE WHEN (n ->> 'passing')::boolean THEN pg_catalog.clock_timestamp() END "
        "FROM pg_catalog.jsonb_array_elements($2) AS n "
        "ON CONFLICT (model_id, kind, subject) WHERE resolved_at IS NULL DO UPDATE SET "
        "    severity = excluded.severity, message = excluded.message, details = excluded.details, "
        "    seen_at = pg_catalog.clock_timestamp(), occurrences = alert.occurrences + 1 "
        "RETURNING id, severity, kind, subject, occurrences) "
        "SELECT pg_catalog.jsonb_build_object('alert', id, 'model', $4::pg_catalog.text, 'severity', "
        "severity, "
        "    'kind', kind, 'subject', NULLIF(subject, ''))::pg_catalog.text FROM raised "
        "WHERE occurrences = 1 ORDER BY id",
        parameters));
    for (int64_t i = 0; i < count; ++i)
        Async_Notify("dlent_alerts", TextDatumGetCString(Result(i, 1)));
}

}  // namespace

std::optional<Monitor> ReadMonitor(const std::string& model) {
    const Json row = QueryCatalog(
        "SELECT pg_catalog.jsonb_build_object('model_id', m.id, 'champion', m.champion, 'id', o.id, "
        "    'owner', o.owner::pg_catalog.oid::pg_catalog.int8, 'source', o.source, 'schedule_id', "
        "o.schedule_id, "
        "    'policy', o.policy, 'state', o.state, 'progress', o.progress, 'accepted', o.accepted, "
        "    'failures', o.failures, 'retrains', o.retrains, "
        "    'wait', pg_catalog.date_part('epoch', o.not_before - pg_catalog.clock_timestamp()), "
        "    'task', v.task, 'metrics', v.metrics, "
        "    'age', pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - v.created_at)) "
        "FROM dlent.model AS m LEFT JOIN dlent.monitor AS o ON o.model_id = m.id "
        "LEFT JOIN dlent.version AS v ON v.model_id = m.id AND v.number = m.champion WHERE m.name = $1",
        {TextParameter(model)});
    if (row.is_null())
        CallPostgres([&model] { RaiseNoModel(model.c_str()); });
    if (row.at("id").is_null())
        return std::nullopt;
    Monitor monitor;
    monitor.id = row.at("id").get<int64_t>();
    monitor.model_id = row.at("model_id").get<int64_t>();
    monitor.model = model;
    if (!row.at("champion").is_null()) {
        monitor.champion = row.at("champion").get<int>();
        monitor.champion_task = row.at("task").get<std::string>();
        monitor.champion_metrics = row.at("metrics");
        monitor.champion_age = row.at("age").get<double>();
    }
    monitor.owner = static_cast<Oid>(row.at("owner").get<int64_t>());
    monitor.source = TextAt(row, "source");
    monitor.schedule_id = row.at("schedule_id").is_null() ? 0 : row.at("schedule_id").get<int64_t>();
    monitor.policy = row.at("policy");
    monitor.state = row.at("state").get<std::string>();
    monitor.progress = row.at("progress");
    monitor.accepted = row.at("accepted");
    monitor.failures = row.at("failures").get<int>();
    monitor.retrains = row.at("retrains").get<int64_t>();
    monitor.wait = row.at("wait").is_null() ? 0.0 : row.at("wait").get<double>();
    return monitor;
}

int64_t InsertMonitor(const NewMonitor& monitor) {
    const Datum policy = JsonbDatum(monitor.policy);
    const Datum accepted = JsonbDatum(monitor.accepted);
    const Datum details = JsonbDatum({{"source", ToUtf8(monitor.source)}, {"policy", monitor.policy}});
    return CallPostgres([&] {
        CatalogWrite write;
        BeginCatalogWrite("dlent_monitor()", &write);
        FoundModel model;
        FindManagedModel(monitor.model.c_str(), write, RowLock::kUpdate, &model);
        DeleteRow(model.id);
        const Parameter parameters[] = {Int8(model.id), Text(monitor.source.c_str()), Of(JSONBOID, policy),
                                        Of(OIDOID, ObjectIdGetDatum(write.caller)), Of(JSONBOID, accepted)};
        Execute(
            "INSERT INTO dlent.monitor (model_id, source, policy, owner, accepted) VALUES ($1, $2, $3, $4, "
            "$5) "
            "RETURNING id",
            parameters);
        const int64_t id = DatumGetInt64(Result(0, 1));
        RecordMonitorEvent(write, "monitor", model.id, monitor.model.c_str(), details);
        EndCatalogWrite(write, false);
        return id;
    });
}

void SetMonitorSchedule(int64_t id, int64_t schedule) {
    CallPostgres([&] {
        CatalogWrite write;
        BeginCatalogWrite("dlent_monitor()", &write);
        const Parameter parameters[] = {Int8(id), Int8(schedule)};
        Execute("UPDATE dlent.monitor SET schedule_id = $2 WHERE id = $1", parameters);
        EndCatalogWrite(write, false);
    });
}

bool DeleteMonitor(const std::string& model) {
    return CallPostgres([&] {
        CatalogWrite write;
        BeginCatalogWrite("dlent_unmonitor()", &write);
        FoundModel found;
        FindManagedModel(model.c_str(), write, RowLock::kUpdate, &found);
        const bool deleted = DeleteRow(found.id);
        if (deleted)
            RecordMonitorEvent(write, "unmonitor", found.id, model.c_str(), 0);
        EndCatalogWrite(write, false);
        return deleted;
    });
}

int64_t NextMonitorRun() {
    return CallPostgres([] {
        CatalogWrite write;
        BeginCatalogWrite("dlent_run_monitor()", &write);
        Execute("SELECT pg_catalog.nextval('dlent.monitor_run_id_seq')", nullptr, 0);
        const int64_t run = DatumGetInt64(Result(0, 1));
        EndCatalogWrite(write, false);
        return run;
    });
}

void StoreMonitorStep(const Monitor& before, const Monitor& after, int64_t run, int number,
                      const MonitorStep& step, int64_t job) {
    const Datum progress = JsonbDatum(after.progress);
    const Datum accepted = JsonbDatum(after.accepted);
    const Datum measurements = JsonbDatum(step.measurements);
    const Datum alerts = JsonbDatum(AlertsJson(step.alerts));
    Json over_kinds = Json::array();
    for (const char* kind : step.over)
        over_kinds.push_back(kind);
    const Datum over = JsonbDatum(over_kinds);
    const TimestampTz forget = GetCurrentTimestamp() - JobRetention();
    const bool there = CallPostgres([&] {
        CatalogWrite write;
        BeginCatalogWrite("dlent_run_monitor()", &write);
        const char* const role = GetUserNameFromId(write.caller, false);
        const Parameter monitor[] = {Int8(before.id),           Text(before.state.c_str()),
                                     Text(after.state.c_str()), Of(JSONBOID, progress),
                                     Of(JSONBOID, accepted),    Int4(after.failures),
                                     Int8(after.retrains),      Float8(after.wait)};
        if (Execute(
                "UPDATE dlent.monitor SET state = $3, progress = $4, accepted = $5, failures = $6, retrains "
                "= $7::pg_catalog.int4, not_before = CASE WHEN $8 > 0 THEN pg_catalog.clock_timestamp() "
                "+ pg_catalog.make_interval(secs => $8) END WHERE id = $1 AND state = $2",
                monitor) == 0)
            return false;
        const auto positive = [](int value) { return Parameter{INT4OID, Int32GetDatum(value), value == 0}; };
        const Parameter row[] = {Int8(run),
                                 Int4(number),
                                 Int8(before.id),
                                 Int8(before.model_id),
                                 Text(step.name),
                                 Text(step.decision.c_str()),
                                 Text(step.reason.c_str()),
                                 positive(after.champion),
                                 positive(step.candidate),
                                 Of(JSONBOID, measurements),
                                 Parameter{INT8OID, Int64GetDatum(job), job == 0},
                                 Text(role),
                                 Of(TIMESTAMPTZOID, TimestampTzGetDatum(step.started_at))};
        Execute(
            "INSERT INTO dlent.monitor_step (run, step, monitor_id, model_id, name, decision, reason, "
            "champion, "
            "candidate, measurements, job_id, role, started_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::pg_catalog.name, $13)",
            row);
        const Parameter kept[] = {Int8(before.model_id), Of(TIMESTAMPTZOID, TimestampTzGetDatum(forget))};
        Execute("DELETE FROM dlent.monitor_step WHERE model_id = $1 AND finished_at < $2", kept);
        if (!step.event.empty())
            RecordEvent({.action = step.event.c_str(),
                         .model_id = before.model_id,
                         .model = before.model.c_str(),
                         .version = step.candidate,
                         .role = role,
                         .reason = step.reason.c_str(),
                         .details = measurements});
        WriteAlerts(before.model_id, before.model.c_str(), alerts, over);
        EndCatalogWrite(write, false);
        return true;
    });
    if (!there)
        throw SqlError(
            ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "the monitor of model \"" + before.model + "\" was replaced or taken away while it ran");
}

std::vector<bool> LastDriftVerdicts(const Monitor& monitor, int count) {
    const Json found = QueryCatalog(
        "SELECT pg_catalog.jsonb_agg(verdict) FROM (SELECT measurements #> '{drift,drifted}' AS verdict "
        "FROM dlent.monitor_step WHERE model_id = $1 AND monitor_id = $2 AND name = 'watch' AND champion = "
        "$3 "
        "AND pg_catalog.jsonb_typeof(measurements #> '{drift,drifted}') = 'boolean' "
        "ORDER BY run DESC, step DESC LIMIT $4) AS last",
        {Int8(monitor.model_id), Int8(monitor.id), Int4(monitor.champion), Int4(count)});
    std::vector<bool> verdicts;
    if (found.is_array()) {
        for (const Json& verdict : found)
            verdicts.push_back(verdict.get<bool>());
    }
    return verdicts;
}

bool AcknowledgeAlert(int64_t alert) {
    return CallPostgres([alert] {
        CatalogWrite write;
        BeginCatalogWrite("dlent_acknowledge()", &write);
        const Parameter parameters[] = {Int8(alert)};
        if (Execute("SELECT m.id, m.owner, m.name FROM dlent.alert AS a JOIN dlent.model AS m ON m.id = "
                    "a.model_id "
                    "WHERE a.id = $1",
                    parameters) == 0)
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                            errmsg("alert %lld does not exist", static_cast<long long>(alert))));
        FoundModel model;
        model.id = DatumGetInt64(Result(0, 1));
        model.owner = DatumGetObjectId(Result(0, 2));
        if (!MayWrite(write.caller, model))
            RaiseDenied(TextDatumGetCString(Result(0, 3)));
        const Parameter acknowledged[] = {Int8(alert), Text(GetUserNameFromId(write.caller, false))};
        const bool changed =
            Execute(
                "UPDATE dlent.alert SET acknowledged_at = pg_catalog.clock_timestamp(), acknowledged_by = "
                "$2::pg_catalog.name WHERE id = $1 AND acknowledged_at IS NULL",
                acknowledged) > 0;
        EndCatalogWrite(write, false);
        return changed;
    });
}

}  // namespace dlent::pg
