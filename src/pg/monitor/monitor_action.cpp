// Jobs that run a model's monitor: {"options": {"force": "retrain"}}, or {}.

#include "pg/bridge/postgres.h"

#include "pg/bridge/option_reader.h"
#include "pg/monitor/monitor_store.h"
#include "pg/monitor/run.h"
#include "pg/workers/job_action.h"

namespace dlent::pg {
namespace {

MonitorRunOptions OptionsOf(const Json& arguments) {
    const OptionReader reader(arguments, "", {"options"});
    const Json* const options = reader.Find("options");
    return options == nullptr ? MonitorRunOptions() : MonitorRunOptions::Parse(*options);
}

Json Check(const std::string& model, const Json& arguments) {
    if (OptionsOf(arguments).dry_run)
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "a job is no dry run", {},
                       "dlent_run_monitor() shows what the monitor would do.");
    const std::optional<Monitor> monitor = ReadMonitor(ParseModelName(model));
    if (!monitor)
        throw SqlError(ERRCODE_UNDEFINED_OBJECT, "model \"" + model + "\" has no monitor", {},
                       "Declare one with dlent_monitor().");
    if (CallPostgres([] { return GetUserId(); }) != monitor->owner)
        throw SqlError(ERRCODE_INSUFFICIENT_PRIVILEGE,
                       "permission denied for the monitor of model \"" + model + "\"", {},
                       "Its owner alone may run it.");
    return arguments;
}

/// Whether an error is somebody's wish, or the server's end.
bool IsInterruption(const ErrorReport& error) {
    return ERRCODE_TO_CATEGORY(error.SqlState()) == ERRCODE_OPERATOR_INTERVENTION;
}

Json Run(JobContext& context) {
    const std::string& model = context.job().model;
    JobMonitorSession session(&context);
    ErrorReport error;
    try {
        Json result = RunMonitor(session, model, OptionsOf(context.job().arguments));
        session.Unlock();
        return result;
    } catch (...) {
        error.Capture();
    }
    context.Restart();
    const bool ran = session.locked();
    session.Unlock();
    if (ran && !IsInterruption(error))
        RecordFailedRun(model, MessageOf(error), context.job().id);
    context.Commit();
    context.Begin();
    if (error.postgres != nullptr)
        throw PgError(error.postgres);
    throw SqlError(error.sqlstate, error.message, error.detail, error.hint);
}

}  // namespace

const JobAction kMonitorAction = {"monitor", Check, Run};

}  // namespace dlent::pg
