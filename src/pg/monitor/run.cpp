#include "pg/bridge/postgres.h"

#include "pg/monitor/run.h"

#include <algorithm>

#include "pg/bridge/option_reader.h"
#include "pg/bridge/text.h"
#include "pg/catalog/sql_call.h"
#include "pg/monitor/gates.h"
#include "pg/monitor/monitor_store.h"
#include "pg/monitor/sentences.h"
#include "pg/monitor/training_data.h"
#include "pg/monitor/triggers.h"

namespace dlent::pg {
namespace {

std::string Joined(const std::vector<std::string>& sentences) {
    std::string text;
    for (const std::string& sentence : sentences)
        text += (text.empty() ? "" : "; ") + sentence;
    return text;
}

Monitor RequireMonitor(const std::string& model) {
    std::optional<Monitor> monitor = ReadMonitor(model);
    if (!monitor)
        throw SqlError(ERRCODE_UNDEFINED_OBJECT, "model \"" + model + "\" has no monitor", {},
                       "Declare one with dlent_monitor().");
    return std::move(*monitor);
}

class MonitorRun {
 public:
    MonitorRun(MonitorSession& session, const std::string& model, const MonitorRunOptions& options)
        : session_(session), options_(options), monitor_(RequireMonitor(model)) {}

    Json Run() {
        if (CallPostgres([] { return GetUserId(); }) != monitor_.owner)
            throw SqlError(ERRCODE_INSUFFICIENT_PRIVILEGE,
                           "permission denied for the monitor of model \"" + monitor_.model + "\"",
                           "It reads rows and trains with the privileges of its owner, who alone may run it.",
                           "dlent_run_schedule() has it run as its owner; dlent_monitor() makes it yours.");
        if (!options_.dry_run && !session_.Lock(monitor_.model_id))
            throw SqlError(ERRCODE_OBJECT_IN_USE,
                           "another run of the monitor of model \"" + monitor_.model + "\" is under way");
        Open();
        if (options_.dry_run)
            return Preview();
        run_ = NextMonitorRun();
        const int64_t id = monitor_.id;
        while (Step()) {
            session_.EndStep();
            monitor_ = RequireMonitor(monitor_.model);
            if (monitor_.id != id)
                throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                               "the monitor of model \"" + monitor_.model + "\" was replaced while it ran");
            Open();
        }
        Json result = {{"model", ToUtf8(monitor_.model)}, {"run", run_}};
        result.update(last_);
        result["steps"] = std::move(steps_);
        return result;
    }

 private:
    /// The policy and the champion of the monitor as it was just read.
    void Open() {
        if (monitor_.champion == 0)
            throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                           "model \"" + monitor_.model + "\" has no champion to be watched");
        PolicyDefaults defaults;
        defaults.task = ValueOrThrow(ParseTask(monitor_.champion_task));
        defaults.options = Json::object();
        policy_ = MonitorPolicy::Parse(monitor_.policy, defaults);
        champion_ = ResolveVersion({monitor_.model, monitor_.champion}, Privilege::kManage);
        started_at_ = GetCurrentTimestamp();
    }

    /// Does what is next; whether there is more to do now.
    bool Step() {
        if (monitor_.state == "watching")
            return Watching();
        const int against = monitor_.progress.at("champion").get<int>();
        if (against != monitor_.champion)
            return monitor_.champion == CandidateOr(0)
                       ? Finish(against)
                       : Stop(monitor_.state.c_str(), ChampionChanged(against, monitor_.champion));
        if (const int lost = DroppedCandidate(); lost > 0)
            return Stop(monitor_.state.c_str(), "version " + std::to_string(lost) + " was dropped");
        if (monitor_.state == "checking")
            return Check();
        if (monitor_.state == "training")
            return Train();
        if (monitor_.state == "judging")
            return Judge();
        if (monitor_.state == "refitting")
            return Refit();
        if (monitor_.state == "promoting")
            return Promote();
        return Rollout();
    }

    /// A candidate that is no more; 0: none.
    int DroppedCandidate() const {
        if (!monitor_.progress.contains("candidates"))
            return 0;
        const Json lost = QueryCatalog(
            "SELECT c FROM pg_catalog.jsonb_array_elements($2) AS c WHERE NOT EXISTS "
            "(SELECT FROM dlent.version AS v WHERE v.model_id = $1 AND v.number = c::pg_catalog.int4) LIMIT "
            "1",
            {Int8(monitor_.model_id), JsonParameter(monitor_.progress.at("candidates"))});
        return lost.is_null() ? 0 : lost.get<int>();
    }

    /// The candidate that has passed the gates.
    int CandidateOr(int otherwise) const { return monitor_.progress.value("candidate", otherwise); }

    static std::string ChampionChanged(int before, int now) {
        return "version " + std::to_string(now) +
               " has become the champion meanwhile, and nothing was judged beside it "
               "but version " +
               std::to_string(before);
    }

    struct Decision {
        std::string name;
        std::string reason;
    };

    Decision Decide(const Watched& watched) const {
        std::string fired = Joined(watched.fired);
        if (options_.retrain)
            return {"retrain", "asked for" + (fired.empty() ? "" : "; " + fired)};
        if (watched.fired.empty()) {
            const std::string calm = Joined(watched.calm);
            return {"quiet", calm.empty() ? "no trigger is set" : calm};
        }
        if (monitor_.wait > 0.0)
            return {"waits",
                    fired + "; no retrain for another " + Count(monitor_.wait) + " s (" +
                        (monitor_.failures > 0
                             ? "backoff after " + std::to_string(monitor_.failures) + " without a promotion)"
                             : std::string("cooldown)"))};
        if (policy_.max_runs && monitor_.retrains >= *policy_.max_runs)
            return {"exhausted", fired + "; all " + std::to_string(*policy_.max_runs) +
                                     " retrains of max_runs are used up"};
        return {"retrain", fired};
    }

    bool Watching() {
        session_.Report("watching");
        Watched watched = Watch(monitor_, policy_, champion_, true);
        const Decision decision = Decide(watched);
        MonitorStep step{"watch", decision.name, decision.reason};
        step.measurements = std::move(watched.measurements);
        step.alerts = std::move(watched.alerts);
        step.over = {"drift", "expectation", "metric", "run", "budget"};
        Monitor after = monitor_;
        const bool retrain = decision.name == "retrain";
        if (decision.name == "exhausted")
            step.alerts.push_back({"warning", "budget", "",
                                   "model \"" + monitor_.model + "\" is not retrained: " + decision.reason});
        if (retrain) {
            step.event = "monitor_trigger";
            after.state = "checking";
            after.progress = {{"reason", ToUtf8(decision.reason)}, {"champion", monitor_.champion}};
            ++after.retrains;
            after.wait = 0.0;
        }
        Store(std::move(step), after);
        return retrain;
    }

    bool Check() {
        session_.Report("checking");
        DataVerdict verdict = JudgeTrainingData(policy_, champion_, monitor_.accepted);
        if (!verdict.objection.empty()) {
            MonitorStep step{"check", "rejected_data", verdict.objection};
            step.measurements = std::move(verdict.measurements);
            step.event = "monitor_rejected_data";
            step.alerts = {
                {"error", "data", "",
                 "training rows of model \"" + monitor_.model + "\" are rejected: " + verdict.objection,
                 step.measurements}};
            return EndRetrain(std::move(step));
        }
        const TrainingSplit split = SplitTrainingData(policy_, champion_);
        MonitorStep step{"check", "accepted",
                         Count(verdict.measurements.at("counts").at("labelled").get<double>()) +
                             " training rows with an outcome are accepted"};
        step.event = "monitor_data_accepted";
        step.over = {"data"};
        Monitor after = monitor_;
        after.state = "training";
        after.progress["counts"] = verdict.measurements.at("counts");
        after.progress["train"] = ToUtf8(split.train);
        after.progress["holdout"] = ToUtf8(split.holdout);
        after.progress["candidates"] = Json::array();
        step.measurements = std::move(verdict.measurements);
        Store(std::move(step), after);
        return true;
    }

    bool Train() {
        const size_t recipe = monitor_.progress.at("candidates").size();
        Training training;
        if (!TrainOn(FromUtf8(monitor_.progress.at("train").get<std::string>()), recipe, &training))
            return TrainingFailed(training.error);
        MonitorStep step = Trained("train", training, recipe);
        step.event = "monitor_trained";
        Monitor after = monitor_;
        after.progress["candidates"].push_back(training.stored.version);
        after.state = after.progress["candidates"].size() < policy_.recipes.size() ? "training" : "judging";
        Store(std::move(step), after);
        return true;
    }

    struct Training {
        StoredVersion stored;
        TrainedOnDevice result;
        ErrorReport error;
    };

    /// Trains a recipe; false when that fails.
    bool TrainOn(const std::string& source, size_t recipe, Training* training) {
        return session_.Attempt(
            [&] {
                const TrainingRequest request = TrainingRequest::Check(monitor_.model, source, policy_.target,
                                                                       policy_.recipes.at(recipe));
                training->stored = session_.Train(request, &training->result);
            },
            &training->error);
    }

    MonitorStep Trained(const char* name, const Training& training, size_t recipe) const {
        const TrainedModel& model = training.result.model;
        MonitorStep step{name, "trained",
                         "version " + std::to_string(training.stored.version) + " has learnt from " +
                             Count(static_cast<double>(model.train_rows)) + " rows in " +
                             Number(model.seconds) + " s"};
        step.candidate = training.stored.version;
        step.measurements = {{"train_source", ToUtf8(policy_.train_source)},
                             {"recipe", policy_.recipes[recipe]},
                             {"device", ToUtf8(training.result.device)},
                             {"train_rows", model.train_rows},
                             {"seconds", model.seconds},
                             {"metrics", model.metrics}};
        step.over = {"training"};
        return step;
    }

    /// The recipe that has passed the gates learns from the held-out rows too. Where that fails, the version
    /// that was judged goes on.
    bool Refit() {
        const int judged = CandidateOr(0);
        const std::vector<int> candidates = Candidates();
        const auto recipe =
            static_cast<size_t>(std::find(candidates.begin(), candidates.end(), judged) - candidates.begin());
        Training training;
        const bool done = TrainOn(policy_.train_source, recipe, &training);
        MonitorStep step{};
        Monitor after = monitor_;
        after.state = AfterGates();
        if (done) {
            const int refitted = training.stored.version;
            step = Trained("refit", training, recipe);
            step.reason += ", those that version " + std::to_string(judged) +
                           " was judged by among them, and goes on in its place";
            step.event = "monitor_refitted";
            step.measurements["judged"] = judged;
            step.measurements["refitted"] = refitted;
            after.progress["candidates"].push_back(refitted);
            after.progress["candidate"] = refitted;
            after.progress["verdict"] = after.progress.at("verdict").get<std::string>() + "; version " +
                                        std::to_string(refitted) + " is its recipe on all rows";
        } else {
            const std::string message = MessageOf(training.error);
            step = {"refit", "failed", message + "; version " + std::to_string(judged) + " goes on", judged};
            step.event = "monitor_training_failed";
            step.measurements = {{"sqlstate", unpack_sql_state(training.error.SqlState())}};
            step.alerts = {{"warning", "training", "",
                            "a refit of model \"" + monitor_.model + "\" failed: " + message,
                            step.measurements}};
        }
        Store(std::move(step), after);
        return true;
    }

    /// The state in which a version that may be promoted goes on.
    const char* AfterGates() const {
        return policy_.shadow ? "shadow" : policy_.canary ? "canary" : "promoting";
    }

    bool TrainingFailed(const ErrorReport& error) {
        const bool data = error.SqlState() == ERRCODE_CHECK_VIOLATION;
        const std::string message = MessageOf(error);
        MonitorStep step{"train", data ? "rejected_data" : "failed", message};
        step.event = data ? "monitor_rejected_data" : "monitor_training_failed";
        step.measurements = {{"sqlstate", unpack_sql_state(error.SqlState())}};
        step.alerts = {{"error", data ? "data" : "training", "",
                        (data ? "training rows of model \"" + monitor_.model + "\" are rejected: "
                              : "a retrain of model \"" + monitor_.model + "\" failed: ") +
                            message,
                        step.measurements}};
        return EndRetrain(std::move(step));
    }

    std::vector<int> Candidates() const { return monitor_.progress.at("candidates").get<std::vector<int>>(); }

    GateVerdict JudgeNow() {
        return JudgeCandidates(session_, policy_, champion_, Candidates(), monitor_.source,
                               FromUtf8(monitor_.progress.at("holdout").get<std::string>()));
    }

    bool Judge() {
        session_.Report("judging");
        GateVerdict verdict = JudgeNow();
        MonitorStep step{"judge", verdict.accepted ? "accepted" : "rejected", verdict.reason,
                         verdict.candidate};
        step.measurements = std::move(verdict.measurements);
        if (!verdict.accepted) {
            step.event = "monitor_rejected";
            step.alerts = {
                {"warning", "candidate", "",
                 "a candidate of model \"" + monitor_.model + "\" is rejected: " + verdict.reason}};
            return EndRetrain(std::move(step));
        }
        step.event = "monitor_accepted";
        step.over = {"candidate"};
        Monitor after = monitor_;
        after.state = policy_.refit ? "refitting" : AfterGates();
        after.progress["candidate"] = verdict.candidate;
        after.progress["verdict"] = ToUtf8(verdict.reason);
        Store(std::move(step), after);
        return true;
    }

    /// The candidate at work beside the champion, as shadow or canary: it is deployed, looked at by every
    /// run, and goes on or ends by the rule of its rollout.
    bool Rollout() {
        const bool shadow = monitor_.state == "shadow";
        session_.Report(shadow ? "shadow" : "canary");
        if (!monitor_.progress.contains("rollout"))
            return Deploy(shadow ? *policy_.shadow : *policy_.canary);
        const int64_t rollout = monitor_.progress.at("rollout").get<int64_t>();
        const Json check = QueryAsUser(
            "SELECT " + FunctionName("dlent_check_rollout") + "($1, $2)",
            {TextParameter(monitor_.model), JsonParameter({{"rollout", rollout}, {"apply", !shadow}})});
        const std::string verdict = check.at("verdict").get<std::string>();
        const std::string reason = FromUtf8(check.at("reason").get<std::string>());
        if (verdict == "ended")
            return Stop(monitor_.state.c_str(), "somebody has ended the rollout of " + Candidate());
        if (verdict == "roll back")
            return RolledBack(shadow, reason, check);
        if (check.value("applied", Json()) == "promoted")
            return Finish(monitor_.champion, check);
        MonitorStep step{shadow ? "shadow" : "canary", verdict == "hold" ? "held" : "waits", reason,
                         CandidateOr(0)};
        step.measurements = check;
        Monitor after = monitor_;
        bool more = false;
        if (verdict == "advance") {
            step.decision = shadow ? "passed" : "advanced";
            step.event = shadow ? "monitor_shadow_passed" : "monitor_canary_advanced";
            if (shadow) {
                EndRollout(reason);
                after.progress.erase("rollout");
                after.state = policy_.canary ? "canary" : "promoting";
                after.progress["verdict"] =
                    after.progress.at("verdict").get<std::string>() + "; as a shadow: " + ToUtf8(reason);
                more = true;
            }
        } else if (verdict == "hold") {
            step.alerts = {{"warning", "rollout", "",
                            "the rollout of " + Candidate() + " of model \"" + monitor_.model +
                                "\" is held: " + reason}};
        }
        step.over = {"rollout"};
        Store(std::move(step), after);
        return more;
    }

    std::string Candidate() const { return "version " + std::to_string(CandidateOr(0)); }

    bool Deploy(const Json& options) {
        Json deployed = options;
        deployed["reason"] = monitor_.progress.at("reason");
        const Json rollout =
            QueryAsUser("SELECT pg_catalog.to_jsonb(" + FunctionName("dlent_deploy") + "($1, $2, $3))",
                        {TextParameter(monitor_.model), Int4(CandidateOr(0)), JsonParameter(deployed)});
        MonitorStep step{monitor_.state == "shadow" ? "shadow" : "canary", "deployed",
                         Candidate() + " is put to work beside version " + std::to_string(monitor_.champion) +
                             " as a " + monitor_.state,
                         CandidateOr(0)};
        step.event = "monitor_" + monitor_.state;
        step.measurements = {{"rollout", rollout}};
        Monitor after = monitor_;
        after.progress["rollout"] = rollout;
        Store(std::move(step), after);
        return false;
    }

    void EndRollout(const std::string& reason) {
        QueryAsUser("SELECT pg_catalog.to_jsonb(" + FunctionName("dlent_stop_rollout") + "($1, $2))",
                    {TextParameter(monitor_.model), TextParameter(reason)});
    }

    bool RolledBack(bool shadow, const std::string& reason, const Json& check) {
        if (shadow)
            EndRollout(reason);
        MonitorStep step{shadow ? "shadow" : "canary", "rolled back", reason, CandidateOr(0)};
        step.event = "monitor_rolled_back";
        step.measurements = check;
        step.alerts = {{"warning", "candidate", "",
                        Candidate() + " of model \"" + monitor_.model + "\" is given up: " + reason}};
        step.over = {"rollout"};
        return EndRetrain(std::move(step));
    }

    bool Promote() {
        const int candidate = monitor_.progress.at("candidate").get<int>();
        const std::string reason = FromUtf8(monitor_.progress.at("reason").get<std::string>()) + "; " +
                                   FromUtf8(monitor_.progress.at("verdict").get<std::string>());
        int champion = 0;
        ErrorReport error;
        const bool done = session_.Attempt(
            [&] {
                // whoever else promotes waits, or was first
                champion =
                    QueryCatalog(
                        "SELECT pg_catalog.to_jsonb(champion) FROM dlent.model WHERE id = $1 FOR UPDATE",
                        {Int8(monitor_.model_id)})
                        .get<int>();
                if (champion == monitor_.champion)
                    QueryAsUser(
                        "SELECT pg_catalog.to_jsonb(" + FunctionName("dlent_promote") + "($1, $2, $3))",
                        {TextParameter(monitor_.model), Int4(candidate), TextParameter(reason)});
            },
            &error);
        if (!done)
            return Stop("promote",
                        "version " + std::to_string(candidate) + " cannot be promoted: " + MessageOf(error));
        if (champion != monitor_.champion)
            return Stop("promote", ChampionChanged(monitor_.champion, champion));
        return Finish(champion);
    }

    /// The candidate is the champion now, in the place of `replaced`.
    bool Finish(int replaced, Json measurements = Json::object()) {
        const int candidate = CandidateOr(0);
        MonitorStep step{"promote", "promoted",
                         "version " + std::to_string(candidate) + " takes the place of version " +
                             std::to_string(replaced) + ", and is what drift is measured against from now on",
                         candidate};
        step.event = "monitor_promoted";
        step.measurements = std::move(measurements);
        step.measurements["replaced"] = replaced;
        step.alerts = {{"info",
                        "promotion",
                        "",
                        "model \"" + monitor_.model + "\": " + step.reason,
                        {{"version", candidate}, {"replaced", replaced}},
                        true}};
        step.over = {"drift",     "expectation", "metric", "data",  "training",
                     "candidate", "rollout",     "run",    "budget"};
        Monitor after = monitor_;
        after.champion = candidate;
        after.state = "watching";
        after.accepted = monitor_.progress.at("counts");
        after.progress = Json::object();
        after.failures = 0;
        after.wait = policy_.WaitAfter(0);
        Store(std::move(step), after);
        return false;
    }

    /// The retrain ends without a promotion.
    bool EndRetrain(MonitorStep step) {
        Monitor after = monitor_;
        after.state = "watching";
        after.progress = Json::object();
        ++after.failures;
        after.wait = policy_.WaitAfter(after.failures);
        Store(std::move(step), after);
        return false;
    }

    /// It ends because of what somebody else did.
    bool Stop(const char* name, const std::string& reason) {
        MonitorStep step{name, "stopped", reason};
        step.event = "monitor_stopped";
        step.measurements = {{"champion", monitor_.champion}};
        Monitor after = monitor_;
        after.state = "watching";
        after.progress = Json::object();
        after.wait = policy_.WaitAfter(0);
        Store(std::move(step), after);
        return false;
    }

    void Store(MonitorStep step, const Monitor& after) {
        step.started_at = started_at_;
        StoreMonitorStep(monitor_, after, run_, static_cast<int>(steps_.size()) + 1, step, session_.job());
        last_ = {{"state", after.state},
                 {"champion", after.champion},
                 {"decision", step.decision},
                 {"reason", ToUtf8(step.reason)}};
        steps_.push_back({{"step", step.name}, {"decision", step.decision}, {"reason", ToUtf8(step.reason)}});
    }

    /// What the next step would do, and why.
    Json Preview() {
        Json result = {{"model", ToUtf8(monitor_.model)},
                       {"dry_run", true},
                       {"state", monitor_.state},
                       {"champion", monitor_.champion}};
        if (monitor_.state == "watching") {
            const Watched watched = Watch(monitor_, policy_, champion_, false);
            const Decision decision = Decide(watched);
            result["decision"] = decision.name;
            result["reason"] = ToUtf8(decision.reason);
            result["measurements"] = watched.measurements;
        }
        if (monitor_.state == "checking" || result.value("decision", "") == "retrain") {
            const DataVerdict verdict = JudgeTrainingData(policy_, champion_, monitor_.accepted);
            result["data"] = {{"accepted", verdict.objection.empty()},
                              {"measurements", verdict.measurements}};
            if (!verdict.objection.empty())
                result["data"]["reason"] = ToUtf8(verdict.objection);
        } else if (monitor_.state == "judging") {
            const GateVerdict verdict = JudgeNow();
            result["decision"] = verdict.accepted ? "accepted" : "rejected";
            result["reason"] = ToUtf8(verdict.reason);
            result["measurements"] = verdict.measurements;
        }
        if (monitor_.state != "watching")
            result["progress"] = monitor_.progress;
        return result;
    }

    MonitorSession& session_;
    const MonitorRunOptions options_;
    Monitor monitor_;
    MonitorPolicy policy_;
    VersionIdentity champion_;
    TimestampTz started_at_ = 0;
    int64_t run_ = 0;
    Json steps_ = Json::array();
    Json last_;
};

}  // namespace

MonitorRunOptions MonitorRunOptions::Parse(const Json& json) {
    const OptionReader reader(json, "", {"dry_run", "force"});
    MonitorRunOptions options;
    options.dry_run = reader.Boolean("dry_run", false);
    const std::string force = reader.Text("force", "");
    if (!force.empty() && force != "retrain")
        reader.Refuse("force", "retrain");
    options.retrain = !force.empty();
    return options;
}

Json RunMonitor(MonitorSession& session, const std::string& model, const MonitorRunOptions& options) {
    return MonitorRun(session, model, options).Run();
}

void RecordFailedRun(const std::string& model, const std::string& message, int64_t job) {
    const std::optional<Monitor> monitor = ReadMonitor(model);
    if (!monitor)
        return;
    MonitorStep step{"run", "failed", message};
    step.event = "monitor_failed";
    step.measurements = {{"state", monitor->state}};
    step.alerts = {
        {"error", "run", "", "the monitor of model \"" + model + "\" failed: " + message, step.measurements}};
    step.started_at = GetCurrentTimestamp();
    StoreMonitorStep(*monitor, *monitor, NextMonitorRun(), 1, step, job);
}

}  // namespace dlent::pg
