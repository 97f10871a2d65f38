#include "pg/bridge/postgres.h"

#include "pg/rollout/decision_options.h"

#include <algorithm>

#include "pg/bridge/json.h"
#include "pg/bridge/option_reader.h"
#include "pg/bridge/text.h"

namespace dlent::pg {
namespace {

[[noreturn]] void ThrowDecisionOption(const std::string& message, const std::string& hint = {}) {
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, message, {}, hint);
}

/// A metric that decides: {"metric": ..., "direction": ..., "margin": ...}, or just its name.
JudgedMetric ParseMetric(const std::string& what, const Json& json) {
    constexpr const char* kKeys = "It has the keys metric, direction, margin.";
    JudgedMetric judged;
    Json left = json.is_string() ? Json{{"metric", json}} : json;
    if (!left.is_object())
        ThrowDecisionOption(what + " must be an object or the name of a metric", kKeys);
    const auto metric = left.find("metric");
    if (metric == left.end() || !metric->is_string() || metric->get<std::string>().empty() ||
        metric->get<std::string>().size() >= NAMEDATALEN)
        ThrowDecisionOption(what + " must name a metric", kKeys);
    judged.metric = metric->get<std::string>();
    left.erase("metric");
    const MetricDefinition definition = DefineMetric(judged.metric);
    if (const auto direction = left.find("direction"); direction != left.end()) {
        if (*direction != "increase" && *direction != "decrease")
            ThrowDecisionOption("direction in " + what + " must be increase or decrease");
        judged.more_is_better = *direction == "increase";
        if (definition.more_is_better && *definition.more_is_better != judged.more_is_better)
            ThrowDecisionOption("direction in " + what + " must be " +
                                (*definition.more_is_better ? "increase" : "decrease") + " for " +
                                FromUtf8(judged.metric));
        left.erase("direction");
    } else if (definition.more_is_better) {
        judged.more_is_better = *definition.more_is_better;
    } else {
        ThrowDecisionOption(what + " must have a direction, increase or decrease",
                            "Only computed metrics like log_loss have one by themselves.");
    }
    if (const auto margin = left.find("margin"); margin != left.end()) {
        if (!margin->is_number() || !(margin->get<double>() >= 0.0))
            ThrowDecisionOption("margin in " + what + " must be a number of at least 0");
        judged.margin = margin->get<double>();
        left.erase("margin");
    }
    if (!left.empty())
        ThrowDecisionOption("unknown key \"" + FromUtf8(left.begin().key()) + "\" in " + what, kKeys);
    return judged;
}

double DecisionNumber(const std::string& key, const Json& value, double least, double below,
                      const char* what) {
    if (!value.is_number() || !(value.get<double>() > least && value.get<double>() < below))
        ThrowDecisionOption("option \"" + key + "\" must be " + what);
    return value.get<double>();
}

Json MetricJson(const JudgedMetric& judged) {
    return {{"metric", judged.metric},
            {"direction", judged.more_is_better ? "increase" : "decrease"},
            {"margin", judged.margin}};
}

}  // namespace

const char* const kDecisionKeys =
    "goal, guardrails, min_duration, min_outcomes, max_duration, alpha, tuning_units, max_error_rate, "
    "max_latency_us, check";

Json DecisionOptions::ToJson() const {
    Json guardrails = Json::array();
    for (const JudgedMetric& guardrail : rule.guardrails)
        guardrails.push_back(MetricJson(guardrail));
    return {{"goal", rule.goal ? MetricJson(*rule.goal) : Json(nullptr)},
            {"guardrails", std::move(guardrails)},
            {"min_duration", rule.min_duration},
            {"min_outcomes", rule.min_outcomes},
            {"max_duration", OrNull(rule.max_duration)},
            {"alpha", rule.alpha},
            {"tuning_units", rule.tuning_units},
            {"max_error_rate", rule.max_error_rate},
            {"max_latency_us", OrNull(rule.max_latency_us)},
            {"check", check > 0.0 ? Json(check) : Json(nullptr)}};
}

DecisionOptions TakeDecisionOptions(Json* options) {
    constexpr double kMost = 1e15;
    DecisionOptions decision;
    DecisionRule& rule = decision.rule;
    // calls `use` with the value of a key that is there and not null
    const auto take = [options](const char* key, const auto& use) {
        const auto found = options->find(key);
        if (found == options->end())
            return;
        if (!found->is_null())
            use(std::string(key), *found);
        options->erase(key);
    };
    take("goal", [&](const std::string& key, const Json& value) {
        rule.goal = ParseMetric("option \"" + key + "\"", value);
    });
    take("guardrails", [&](const std::string& key, const Json& value) {
        if (!value.is_array())
            ThrowDecisionOption("option \"" + key + "\" must be an array of metrics");
        for (const Json& entry : value)
            rule.guardrails.push_back(ParseMetric("option \"" + key + "\"", entry));
    });
    take("min_duration",
         [&](const std::string& key, const Json& value) { rule.min_duration = SecondsOf(key, value); });
    take("min_outcomes", [&](const std::string& key, const Json& value) {
        rule.min_outcomes = DecisionNumber(key, value, 0.0, kMost, "a number above 0");
    });
    take("max_duration",
         [&](const std::string& key, const Json& value) { rule.max_duration = SecondsOf(key, value); });
    take("alpha", [&](const std::string& key, const Json& value) {
        rule.alpha = DecisionNumber(key, value, 0.0, 1.0, "a number between 0 and 1");
    });
    take("tuning_units", [&](const std::string& key, const Json& value) {
        rule.tuning_units = DecisionNumber(key, value, 0.0, kMost, "a number above 0");
    });
    take("max_error_rate", [&](const std::string& key, const Json& value) {
        rule.max_error_rate =
            value == 0 ? 0.0 : DecisionNumber(key, value, 0.0, 1.0, "a number from 0 to below 1");
    });
    take("max_latency_us", [&](const std::string& key, const Json& value) {
        rule.max_latency_us = DecisionNumber(key, value, 0.0, kMost, "a number above 0");
    });
    take("check", [&](const std::string& key, const Json& value) {
        decision.check = SecondsOf(key, value);
        if (decision.check < 1.0)
            ThrowDecisionOption("option \"check\" must be at least a second");
    });
    if (rule.max_duration && *rule.max_duration < rule.min_duration)
        ThrowDecisionOption("option \"max_duration\" must not be shorter than \"min_duration\"");
    std::vector<std::string> names;
    for (const JudgedMetric* judged : rule.Judged()) {
        if (std::find(names.begin(), names.end(), judged->metric) != names.end())
            ThrowDecisionOption("metric \"" + FromUtf8(judged->metric) +
                                "\" comes twice in options \"goal\" and \"guardrails\"");
        names.push_back(judged->metric);
    }
    return decision;
}

void CheckMetric(const std::string& metric, Task task) {
    const MetricSource source = DefineMetric(metric).source;
    const char* const needed =
        metric == "accuracy" || metric == "log_loss" ? (task == Task::kRegression ? "of classes" : nullptr)
        : source == MetricSource::kClassAndRow && task != Task::kBinary      ? "of two classes"
        : source == MetricSource::kNumberAndRow && task != Task::kRegression ? "that predict a number"
        : source == MetricSource::kScore && task == Task::kMulticlass
            ? "of two classes or that predict a number"
            : nullptr;
    if (needed != nullptr)
        ThrowDecisionOption("metric \"" + metric + "\" is for models " + needed);
}

void CheckDecisionRule(const DecisionRule& rule, Task task, bool shadow) {
    for (const JudgedMetric* judged : rule.Judged()) {
        CheckMetric(judged->metric, task);
        if (shadow && DefineMetric(judged->metric).source == MetricSource::kOutcome)
            throw SqlError(
                ERRCODE_INVALID_PARAMETER_VALUE,
                "metric \"" + FromUtf8(judged->metric) + "\" cannot judge a shadow",
                "Nobody saw a shadow's answers, so what came of them is the champion's doing.",
                task == Task::kBinary       ? "Metrics that can are log_loss, brier_score, accuracy, score."
                : task == Task::kMulticlass ? "Metrics that can are log_loss, accuracy."
                                            : "Metrics that can are squared_error, absolute_error, score.");
    }
}

}  // namespace dlent::pg
