// dlent_monitor, dlent_unmonitor, dlent_run_monitor, dlent_acknowledge.

#include "pg/bridge/postgres.h"

#include "pg/bridge/json.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/models.h"
#include "pg/catalog/sql_call.h"
#include "pg/functions/arguments.h"
#include "pg/monitor/monitor_store.h"
#include "pg/monitor/policy.h"
#include "pg/monitor/run.h"
#include "pg/monitor/training_data.h"
#include "pg/source/source.h"
#include "pg/workers/job_request.h"

extern "C" {
#include "tcop/utility.h"
}

namespace dlent::pg {
namespace {

void CheckWritable(const char* command) {
    CallPostgres([command] {
        PreventCommandIfReadOnly(command);
        PreventCommandDuringRecovery(command);
        PreventCommandIfParallelMode(command);
        RefuseRestricted(command);
    });
}

/// What a monitor trained has learnt from a part of the rows; the source is that of the whole.
PolicyDefaults DefaultsOf(const VersionIdentity& champion) {
    const Json version = QueryCatalog(
        "SELECT pg_catalog.jsonb_build_object('target', v.target, 'task', v.task, 'options', v.options, "
        "    'source', COALESCE((SELECT s.measurements ->> 'train_source' FROM dlent.monitor_step AS s "
        "        WHERE s.model_id = v.model_id AND s.candidate = v.number AND s.name = 'train'), v.source)) "
        "FROM dlent.version AS v WHERE v.id = $1",
        {Int8(champion.version_id)});
    PolicyDefaults defaults;
    defaults.source = FromUtf8(version.at("source").get<std::string>());
    defaults.target = version.at("target").is_null() ? "" : FromUtf8(version.at("target").get<std::string>());
    defaults.task = ValueOrThrow(ParseTask(version.at("task").get<std::string>()));
    defaults.options = version.at("options");
    return defaults;
}

/// Whether there is a champion, which every monitor needs.
VersionIdentity RequireChampion(const std::string& model) {
    const std::optional<VersionIdentity> champion = [&] {
        const Json number = QueryCatalog(
            "SELECT COALESCE(pg_catalog.to_jsonb(champion), '0') FROM dlent.model WHERE name = $1",
            {TextParameter(model)});
        return number == 0 ? std::nullopt : std::optional(ResolveVersion({model, 0}, Privilege::kManage));
    }();
    if (!champion)
        throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       "model \"" + model + "\" has no champion to be watched", {},
                       "Train a version first: dlent_train() makes the first one the champion.");
    return *champion;
}

/// A rollout that the model's monitor has begun ends with it.
void EndMonitorsRollout(const std::string& model, const char* reason) {
    const std::optional<Monitor> monitor = ReadMonitor(model);
    if (!monitor || !monitor->progress.contains("rollout"))
        return;
    const Json running = QueryCatalog("SELECT pg_catalog.to_jsonb(rollout) FROM dlent.model WHERE id = $1",
                                      {Int8(monitor->model_id)});
    if (running == monitor->progress.at("rollout"))
        QueryAsUser("SELECT pg_catalog.to_jsonb(" + FunctionName("dlent_stop_rollout") + "($1, $2))",
                    {TextParameter(model), TextParameter(reason)});
}

int64_t Declare(const std::string& model, const std::string& source, const std::string* schedule,
                const Json& policy_json) {
    CheckWritable("dlent_monitor()");
    const VersionIdentity champion = RequireChampion(model);
    const MonitorPolicy policy = MonitorPolicy::Parse(policy_json, DefaultsOf(champion));
    if (schedule == nullptr && !policy.job.empty())
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "option \"job\" needs a schedule");
    // who declares it is told of a wrong name now, not by a failed run
    const Source live = Source::Open(source);
    for (const PipelineInput& input : AcquireScorer(champion)->model().pipeline.inputs())
        live.Require(FromUtf8(input.name), "feature");
    Source::Open(policy.train_source).Require(policy.target, "target");
    (void)SplitTrainingData(policy, champion);
    EndMonitorsRollout(model, "its monitor was replaced");
    const int64_t id = InsertMonitor({model, source, policy.ToJson(), CountTrainingData(policy, champion)});
    if (schedule != nullptr)
        SetMonitorSchedule(id, MakeSchedule(model, *schedule, "monitor", policy.job));
    return id;
}

Json RunHere(const std::string& model, const MonitorRunOptions& options) {
    if (!options.dry_run)
        CheckWritable("dlent_run_monitor()");
    CallerMonitorSession session;
    Json result = RunMonitor(session, model, options);
    session.Close();
    return result;
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;
using dlent::Json;

DLENT_FUNCTION(dlent_monitor) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        const std::string source =
            RequiredText(fcinfo, 1, "source", "Name the rows that the model answers now.");
        const std::string schedule = PG_ARGISNULL(2) ? std::string() : TextOf(PG_GETARG_DATUM(2));
        const Json policy = PG_ARGISNULL(3) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(3));
        return Int64GetDatum(Declare(model, source, PG_ARGISNULL(2) ? nullptr : &schedule, policy));
    });
}

DLENT_FUNCTION(dlent_unmonitor) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(TextOf(PG_GETARG_DATUM(0)));
        EndMonitorsRollout(model, "its monitor was ended");
        return BoolGetDatum(DeleteMonitor(model));
    });
}

DLENT_FUNCTION(dlent_run_monitor) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        const MonitorRunOptions options =
            MonitorRunOptions::Parse(PG_ARGISNULL(1) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(1)));
        return JsonbDatum(RunHere(model, options));
    });
}

DLENT_FUNCTION(dlent_acknowledge) {
    return Entry(fcinfo, [fcinfo] { return BoolGetDatum(AcknowledgeAlert(PG_GETARG_INT64(0))); });
}
