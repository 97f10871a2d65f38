// dlent_check_rollout: the verdict on a rollout, and what follows from it.
//
// To apply one, the model's row is locked first and the numbers are read after that. So of two that check at
// a time the second sees what the first has done, and verdict, event and consequence are one transaction:
// what a crash undoes, it undoes together.

#include "pg/bridge/postgres.h"

#include "pg/rollout/check_rollout.h"

#include "core/rollout/verdict.h"
#include "pg/bridge/json.h"
#include "pg/bridge/option_reader.h"
#include "pg/bridge/text.h"
#include "pg/catalog/model_change.h"
#include "pg/catalog/sql_call.h"
#include "pg/functions/arguments.h"
#include "pg/rollout/decision_options.h"
#include "pg/rollout/rollout_numbers.h"
#include "pg/workers/job_request.h"

namespace dlent::pg {
namespace {

// ---- what runs under the guard: no destructors below ----

/// Until the end of the transaction; 42704, 42501.
void LockModelRow(const char* name) {
    CatalogWrite write;
    FoundModel model;
    LockModel("dlent_check_rollout()", name, Who::kManager, &write, &model);
    EndCatalogWrite(write, false);
}

void RecordVerdict(int64_t model_id, const char* name, int version, const char* reason, Datum details) {
    CatalogWrite write;
    BeginCatalogWrite("dlent_check_rollout()", &write);
    RecordEvent({.action = "check_rollout",
                 .model_id = model_id,
                 .model = name,
                 .version = version,
                 .role = CallerName(write),
                 .reason = reason,
                 .details = details});
    EndCatalogWrite(write, false);
}

// ---- C++ ----

/// What a verdict means for this rollout: a function to call, and what has happened then; nulls: nothing.
struct Consequence {
    const char* function = nullptr;
    const char* applied = nullptr;
    std::string why_not;  ///< where the verdict would mean something
};

Consequence ConsequenceOf(Decision decision, const StudiedRollout& rollout) {
    const bool held = rollout.state == "held";
    const bool shadow = rollout.mode == "shadow";
    switch (decision) {
        case Decision::kRollBack:
            return {"dlent_stop_rollout", shadow ? "stopped" : "rolled back", {}};
        case Decision::kHold:
            return held ? Consequence{} : Consequence{"dlent_hold_rollout", "held", {}};
        case Decision::kWait:
            return {};
        case Decision::kAdvance:
            break;
    }
    if (held)
        return {nullptr, nullptr, "The rollout is held; dlent_resume_rollout() lets it go on."};
    if (shadow)
        return {nullptr, nullptr,
                "A shadow has no next step; deploy the version as a canary, or promote it."};
    if (rollout.mode == "experiment")
        return {"dlent_promote", "promoted", {}};
    return {"dlent_advance_rollout", "advanced", {}};
}

void Apply(const StudiedRollout& rollout, const RolloutNumbers& numbers, const Verdict& verdict,
           Json* result) {
    const Consequence consequence = ConsequenceOf(verdict.decision, rollout);
    (*result)["applied"] = nullptr;
    if (!consequence.why_not.empty())
        (*result)["why_not"] = consequence.why_not;
    if (consequence.function == nullptr)
        return;
    (*result)["applied"] = consequence.applied;
    const std::string reason = FromUtf8(verdict.reason);
    const int version = numbers.arms[verdict.arm > 0 ? static_cast<size_t>(verdict.arm) : 1].version;
    const Datum details = JsonbDatum(*result);
    CallPostgres(
        [&] { RecordVerdict(rollout.model_id, rollout.model.c_str(), version, reason.c_str(), details); });
    // one place changes rollouts, and this is a user of it
    std::vector<Parameter> parameters = {TextParameter(rollout.model), TextParameter(reason)};
    const bool promotes = std::strcmp(consequence.function, "dlent_promote") == 0;
    const bool advances = verdict.decision == Decision::kAdvance && !promotes;
    if (promotes)
        parameters.insert(parameters.begin() + 1, Int4(version));
    if (advances)
        parameters.push_back(Int4(rollout.step));  // the one that was judged
    const Json answer = QueryAsUser("SELECT pg_catalog.to_jsonb(" + FunctionName(consequence.function) +
                                        (parameters.size() == 3 ? "($1, $2, $3))" : "($1, $2))"),
                                    parameters);
    if (advances) {
        (*result)["share"] = answer;
        if (answer.get<double>() >= 1.0)
            (*result)["applied"] = "promoted";
    }
}

Json CheckRollout(const std::string& model, const CheckRolloutRequest& request) {
    if (request.apply) {
        CallPostgres([&model] {
            LockModelRow(model.c_str());
            // with what others have done while this waited
            PushActiveSnapshot(GetTransactionSnapshot());
        });
    }
    const StudiedRollout rollout =
        StudyRollout(model, request.rollout, request.apply ? Privilege::kManage : Privilege::kPredict);
    Json result = {{"model", ToUtf8(model)},
                   {"rollout", rollout.id},
                   {"mode", rollout.mode},
                   {"state", rollout.state},
                   {"step", rollout.step}};
    if (!rollout.under_way()) {
        result["verdict"] = "ended";
        result["reason"] = "The rollout has ended.";
        result["checks"] = Json::array();
        if (request.apply)
            result["applied"] = nullptr;
    } else {
        Json options = rollout.options;
        const DecisionRule rule = TakeDecisionOptions(&options).rule;
        std::vector<std::string> metrics;
        for (const JudgedMetric* judged : rule.Judged())
            metrics.push_back(judged->metric);
        const RolloutNumbers numbers = MeasureRollout(rollout, metrics, DT_NOBEGIN, DT_NOEND);
        const Verdict verdict = JudgeRollout(numbers, rule);
        result.update(VerdictJson(verdict, numbers));
        if (request.apply)
            Apply(rollout, numbers, verdict, &result);
    }
    if (request.apply)
        CallPostgres([] { PopActiveSnapshot(); });
    return result;
}

}  // namespace

CheckRolloutRequest CheckRolloutRequest::Parse(const Json& json) {
    const OptionReader reader(json, {"rollout", "apply"});
    CheckRolloutRequest request;
    request.rollout = RolloutOption(reader);
    request.apply = reader.Boolean("apply", request.apply);
    return request;
}

void ScheduleRolloutChecks(const std::string& model, int64_t rollout, double seconds) {
    // a check that fails is no reason to try again before the next
    char expression[48];
    std::snprintf(expression, sizeof expression, "%.15g seconds", seconds);
    MakeSchedule(model, expression, "check_rollout",
                 {{"retries", 0}, {"arguments", {{"options", {{"apply", true}, {"rollout", rollout}}}}}});
}

}  // namespace dlent::pg

DLENT_FUNCTION(dlent_check_rollout) {
    using namespace dlent::pg;
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        const CheckRolloutRequest request = CheckRolloutRequest::Parse(
            PG_ARGISNULL(1) ? dlent::Json::object() : JsonFromDatum(PG_GETARG_DATUM(1)));
        return JsonbDatum(CheckRollout(model, request));
    });
}
