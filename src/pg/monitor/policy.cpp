#include "pg/bridge/postgres.h"

#include "pg/monitor/policy.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/metrics/comparison.h"
#include "core/train/training_options.h"
#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/option_reader.h"
#include "pg/bridge/text.h"
#include "pg/functions/drift_options.h"
#include "pg/rollout/deploy_options.h"

namespace dlent::pg {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kMostWindows = 1000;
constexpr int64_t kManyRows = int64_t{1} << 53;
constexpr int kMostRecipes = 8;

Json TextOrNull(const std::string& text) {
    return text.empty() ? Json(nullptr) : Json(ToUtf8(text));
}

/// What dlent_drift is given beside the monitor's own keys.
constexpr const char* kPassedOn[] = {"profile", "features", "threshold", "alpha", "concept"};

MonitorPolicy::Drift ParseDrift(const Json& json, const std::string& path) {
    const OptionReader reader(json, path,
                              {"profile", "features", "threshold", "alpha", "concept", "min_features",
                               "share", "alarms", "windows"});
    MonitorPolicy::Drift drift;
    drift.options = Json::object();
    for (const char* key : kPassedOn) {
        if (const Json* const value = reader.Find(key))
            drift.options[key] = *value;
    }
    (void)DriftRequest::Parse(drift.options);
    drift.share = reader.OptionalNumber("share", 0.0, 1.0);
    drift.min_features = static_cast<int>(reader.Integer("min_features", drift.min_features, 1, 100000));
    if (drift.share && reader.Find("min_features") != nullptr && drift.min_features != 1)
        reader.Refuse("share", "left out where min_features is given");
    drift.windows = static_cast<int>(reader.Integer("windows", drift.windows, 1, kMostWindows));
    drift.alarms =
        static_cast<int>(reader.Integer("alarms", std::min(drift.alarms, drift.windows), 1, drift.windows));
    return drift;
}

Json DriftJson(const MonitorPolicy::Drift& drift) {
    Json json = drift.options;
    json["min_features"] = drift.min_features;
    json["share"] = OrNull(drift.share);
    json["alarms"] = drift.alarms;
    json["windows"] = drift.windows;
    return json;
}

void RequireMetric(const OptionReader& reader, const char* key, const std::string& name, Task task) {
    const std::vector<std::string> known = ComparableMetrics(task);
    if (std::find(known.begin(), known.end(), name) != known.end())
        return;
    std::string list;
    for (const std::string& metric : known)
        list += (list.empty() ? "" : ", ") + metric;
    reader.Refuse(key, "a metric of the model's task: " + list);
}

MonitorPolicy::Metric ParseMetric(const Json& json, const std::string& path, Task task) {
    const OptionReader reader(json, path, {"name", "min", "max", "drop", "source"});
    MonitorPolicy::Metric metric;
    metric.name = reader.Text("name", DefaultMetric(task));
    RequireMetric(reader, "name", metric.name, task);
    metric.min = reader.OptionalNumber("min", -kInfinity, kInfinity);
    metric.max = reader.OptionalNumber("max", -kInfinity, kInfinity);
    metric.drop = reader.OptionalNumber("drop", 0.0, kInfinity);
    metric.source = reader.Text("source", "");
    if (!metric.min && !metric.max && !metric.drop)
        reader.Refuse("drop", "given, or min, or max");
    return metric;
}

void ParseTriggers(const Json& json, Task task, MonitorPolicy* policy) {
    const OptionReader reader(json, "triggers", {"drift", "expectations", "metric", "new_labels", "age"});
    policy->drift.reset();
    if (const Json* const drift = reader.Find("drift"))
        policy->drift = ParseDrift(*drift, reader.PathOf("drift"));
    policy->watch_expectations = reader.Boolean("expectations", false);
    if (const Json* const metric = reader.Find("metric"))
        policy->metric_trigger = ParseMetric(*metric, reader.PathOf("metric"), task);
    policy->new_labels = reader.OptionalInteger("new_labels", 1, kManyRows);
    policy->age = reader.OptionalSeconds("age");
}

std::vector<Json> ParseRecipes(const Json& json, const Json& champion) {
    const bool several = json.is_array();
    if ((!several && !json.is_object()) || (several && (json.empty() || json.size() > kMostRecipes)))
        throw SqlError(
            ERRCODE_INVALID_PARAMETER_VALUE,
            "option \"retrain\" must be an object, or an array of 1 to " + std::to_string(kMostRecipes) +
                " objects",
            {}, "Each has options of dlent_train that differ from the champion's; null takes one back.");
    std::vector<Json> recipes;
    for (const Json& changes : several ? json : Json::array({json})) {
        if (!changes.is_object())
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "option \"retrain\" must be an array of objects");
        Json recipe = champion;
        recipe.merge_patch(changes);
        recipe.erase("promote");  // what gates are for
        ThrowIfError(TrainingOptions::Parse(recipe).status());
        recipes.push_back(std::move(recipe));
    }
    return recipes;
}

MonitorPolicy::Data ParseData(const Json& json) {
    const OptionReader reader(
        json, "gates.data",
        {"min_volume", "max_volume", "max_prior_change", "max_label_ratio", "max_mean_shift",
         "max_missing_increase", "max_outside", "max_duplicate_increase"});
    MonitorPolicy::Data data;
    data.min_volume = reader.Number("min_volume", data.min_volume, 0.0, 1.0);
    data.max_volume = reader.OptionalNumber("max_volume", 1.0, kInfinity);
    data.max_prior_change = reader.Number("max_prior_change", data.max_prior_change, 0.0, 1.0);
    data.max_label_ratio = reader.Number("max_label_ratio", data.max_label_ratio, 1.0, kInfinity);
    data.max_mean_shift = reader.Number("max_mean_shift", data.max_mean_shift, 0.0, kInfinity);
    data.max_missing_increase = reader.Number("max_missing_increase", data.max_missing_increase, 0.0, 1.0);
    data.max_outside = reader.Number("max_outside", data.max_outside, 0.0, 1.0);
    data.max_duplicate_increase =
        reader.Number("max_duplicate_increase", data.max_duplicate_increase, 0.0, 1.0);
    return data;
}

Json DataJson(const MonitorPolicy::Data& data) {
    return {{"min_volume", data.min_volume},
            {"max_volume", OrNull(data.max_volume)},
            {"max_prior_change", data.max_prior_change},
            {"max_label_ratio", data.max_label_ratio},
            {"max_mean_shift", data.max_mean_shift},
            {"max_missing_increase", data.max_missing_increase},
            {"max_outside", data.max_outside},
            {"max_duplicate_increase", data.max_duplicate_increase}};
}

MonitorPolicy::Holdout ParseHoldout(const Json& json) {
    const OptionReader reader(json, "gates.holdout", {"source", "time_column", "fraction", "newest"});
    MonitorPolicy::Holdout holdout;
    holdout.source = reader.Text("source", "");
    holdout.time_column = reader.Text("time_column", "");
    constexpr double kLeast = 0.001;
    holdout.fraction = reader.Number("fraction", holdout.fraction, kLeast, 1.0 - kLeast);
    holdout.newest = reader.OptionalSeconds("newest");
    if (holdout.newest && holdout.time_column.empty())
        reader.Refuse("newest", "given together with time_column");
    if (!holdout.source.empty() && !holdout.time_column.empty())
        reader.Refuse("source", "left out where time_column is given");
    return holdout;
}

Json HoldoutJson(const MonitorPolicy::Holdout& holdout) {
    return {{"source", TextOrNull(holdout.source)},
            {"time_column", TextOrNull(holdout.time_column)},
            {"fraction", holdout.fraction},
            {"newest", OrNull(holdout.newest)}};
}

MonitorPolicy::Fairness ParseFairness(const Json& json, Task task) {
    const OptionReader reader(json, "gates.fairness", {"column", "metric", "max_difference", "threshold"});
    MonitorPolicy::Fairness fairness;
    fairness.column = reader.Text("column", "");
    if (fairness.column.empty())
        reader.Refuse("column", "the column whose values are the groups");
    fairness.metric =
        reader.Word("metric", "demographic_parity", {"demographic_parity", "equal_opportunity"});
    if (task != Task::kBinary)
        reader.Refuse("metric", "left out: the model's answers are no decisions between two classes");
    fairness.max_difference = reader.Number("max_difference", fairness.max_difference, 0.0, 1.0);
    fairness.threshold = reader.Number("threshold", fairness.threshold, 0.0, 1.0);
    return fairness;
}

/// By which the first recipe weighs the rows that it learns from. Candidates are compared with each other, so
/// there is one for all.
std::string WeightColumn(const std::vector<Json>& recipes) {
    const auto column = recipes.front().find("weight_column");
    return column != recipes.front().end() && column->is_string() ? FromUtf8(column->get<std::string>())
                                                                  : std::string();
}

void ParseGates(const Json& json, Task task, MonitorPolicy* policy) {
    const OptionReader reader(
        json, "gates",
        {"data", "leaks", "metric", "weight_column", "margin", "confidence", "holdout", "golden",
         "golden_margin", "slices", "slice_margin", "min_slice_rows", "expectations", "fairness"});
    const Json* const data = reader.Find("data");
    if (data != nullptr && data->is_boolean())
        policy->data = data->get<bool>() ? std::optional(MonitorPolicy::Data()) : std::nullopt;
    else
        policy->data = data == nullptr ? MonitorPolicy::Data() : ParseData(*data);
    policy->leaks = reader.Boolean("leaks", policy->leaks);
    policy->metric = reader.Text("metric", DefaultMetric(task));
    RequireMetric(reader, "metric", policy->metric, task);
    policy->weight_column = reader.Text("weight_column", WeightColumn(policy->recipes));
    policy->margin = reader.Number("margin", policy->margin, 0.0, kInfinity);
    policy->confidence = reader.Number("confidence", policy->confidence, 0.0, 1.0);
    if (const Json* const holdout = reader.Find("holdout"))
        policy->holdout = ParseHoldout(*holdout);
    policy->golden = reader.Text("golden", "");
    policy->golden_margin = reader.Number("golden_margin", policy->golden_margin, 0.0, kInfinity);
    policy->slices = reader.Texts("slices");
    policy->slice_margin = reader.Number("slice_margin", policy->slice_margin, 0.0, kInfinity);
    policy->min_slice_rows =
        static_cast<int>(reader.Integer("min_slice_rows", policy->min_slice_rows, 1, 1000000000));
    policy->expectations = reader.Boolean("expectations", policy->expectations);
    if (const Json* const fairness = reader.Find("fairness"))
        policy->fairness = ParseFairness(*fairness, task);
}

/// Options of dlent_deploy() in one mode; nothing where the key is false or not there.
std::optional<Json> ParseDeployment(const OptionReader& reader, const char* mode) {
    const Json* const value = reader.Find(mode);
    if (value == nullptr || *value == false)
        return std::nullopt;
    if (!value->is_object())
        reader.Refuse(mode, "false, or an object: options of dlent_deploy");
    Json options = *value;
    if (options.value("mode", mode) != mode)
        reader.Refuse(mode, std::string("without mode, which is ") + mode);
    options["mode"] = mode;
    constexpr int kAnyVersion = 1;
    (void)DeployRequest::Parse(options, kAnyVersion);
    return options;
}

}  // namespace

MonitorPolicy MonitorPolicy::Parse(const Json& json, const PolicyDefaults& defaults) {
    const OptionReader reader(json, "",
                              {"train_source", "target", "triggers", "retrain", "gates", "refit", "rollout",
                               "cooldown", "backoff", "max_runs", "job"});
    MonitorPolicy policy;
    policy.train_source = reader.Text("train_source", defaults.source);
    policy.target = reader.Text("target", defaults.target);
    const Json triggers = {{"drift", Json::object()}, {"expectations", true}};
    const Json* const given = reader.Find("triggers");
    ParseTriggers(given == nullptr ? triggers : *given, defaults.task, &policy);
    const Json* const retrain = reader.Find("retrain");
    policy.recipes = ParseRecipes(retrain == nullptr ? Json::object() : *retrain, defaults.options);
    const Json* const gates = reader.Find("gates");
    ParseGates(gates == nullptr ? Json::object() : *gates, defaults.task, &policy);
    policy.refit = reader.Boolean("refit", policy.refit);
    if (policy.refit && !policy.holdout.source.empty())
        reader.Refuse("refit", "false where gates.holdout.source names rows that no training sees");
    if (const Json* const rollout = reader.Find("rollout")) {
        const OptionReader modes(*rollout, "rollout", {"shadow", "canary"});
        policy.shadow = ParseDeployment(modes, "shadow");
        policy.canary = ParseDeployment(modes, "canary");
    }
    policy.cooldown = reader.Seconds("cooldown", policy.cooldown);
    if (const Json* const backoff = reader.Find("backoff")) {
        const OptionReader waits(*backoff, "backoff", {"period", "limit"});
        policy.backoff = waits.Seconds("period", policy.backoff);
        policy.backoff_limit = waits.Seconds("limit", policy.backoff_limit);
    }
    policy.max_runs = reader.OptionalInteger("max_runs", 0, kManyRows);
    if (const Json* const job = reader.Find("job")) {
        if (!job->is_object())
            reader.Refuse("job", "an object: options of dlent_schedule");
        policy.job = *job;
    }
    return policy;
}

Json MonitorPolicy::ToJson() const {
    Json triggers = {{"drift", drift ? DriftJson(*drift) : Json(nullptr)},
                     {"expectations", watch_expectations},
                     {"metric", nullptr},
                     {"new_labels", new_labels ? Json(*new_labels) : Json(nullptr)},
                     {"age", OrNull(age)}};
    if (metric_trigger)
        triggers["metric"] = {{"name", metric_trigger->name},
                              {"min", OrNull(metric_trigger->min)},
                              {"max", OrNull(metric_trigger->max)},
                              {"drop", OrNull(metric_trigger->drop)},
                              {"source", TextOrNull(metric_trigger->source)}};
    Json slice_list = Json::array();
    for (const std::string& slice : slices)
        slice_list.push_back(ToUtf8(slice));
    Json gates = {{"data", data ? DataJson(*data) : Json(false)},
                  {"leaks", leaks},
                  {"metric", metric},
                  {"weight_column", ToUtf8(weight_column)},  // "": none, whatever the recipe says
                  {"margin", margin},
                  {"confidence", confidence},
                  {"holdout", HoldoutJson(holdout)},
                  {"golden", TextOrNull(golden)},
                  {"golden_margin", golden_margin},
                  {"slices", std::move(slice_list)},
                  {"slice_margin", slice_margin},
                  {"min_slice_rows", min_slice_rows},
                  {"expectations", expectations},
                  {"fairness", nullptr}};
    if (fairness)
        gates["fairness"] = {{"column", ToUtf8(fairness->column)},
                             {"metric", fairness->metric},
                             {"max_difference", fairness->max_difference},
                             {"threshold", fairness->threshold}};
    return {{"train_source", ToUtf8(train_source)},
            {"target", ToUtf8(target)},
            {"triggers", std::move(triggers)},
            {"retrain", recipes},
            {"gates", std::move(gates)},
            {"refit", refit},
            {"rollout", {{"shadow", shadow.value_or(false)}, {"canary", canary.value_or(false)}}},
            {"cooldown", cooldown},
            {"backoff", {{"period", backoff}, {"limit", backoff_limit}}},
            {"max_runs", max_runs ? Json(*max_runs) : Json(nullptr)},
            {"job", job}};
}

double MonitorPolicy::WaitAfter(int failures) const {
    constexpr int kMostDoublings = 30;
    if (failures == 0)
        return cooldown;
    return std::max(cooldown,
                    std::min(backoff_limit, std::ldexp(backoff, std::min(failures - 1, kMostDoublings))));
}

}  // namespace dlent::pg
