#include "pg/bridge/postgres.h"

#include "pg/monitor/triggers.h"

#include <algorithm>
#include <set>

#include "core/metrics/comparison.h"
#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/expectations.h"
#include "pg/catalog/sql_call.h"
#include "pg/monitor/sentences.h"
#include "pg/monitor/training_data.h"
#include "pg/source/source.h"

namespace dlent::pg {
namespace {

constexpr size_t kMostNames = 5;

/// "amount, hour and 3 more"
std::string Names(const std::set<std::string>& names) {
    std::string list;
    size_t said = 0;
    for (const std::string& name : names) {
        if (said == kMostNames)
            return list + " and " + std::to_string(names.size() - said) + " more";
        list += (said++ == 0 ? "" : ", ") + name;
    }
    return list;
}

class Watcher {
 public:
    Watcher(const Monitor& monitor, const MonitorPolicy& policy, const VersionIdentity& champion, bool store)
        : monitor_(monitor), policy_(policy), champion_(champion), store_(store) {
        result_.measurements = Json::object();
    }

    Watched Run() {
        if (policy_.drift)
            Drift(*policy_.drift);
        if (policy_.watch_expectations)
            Expectations();
        if (policy_.metric_trigger)
            Metric(*policy_.metric_trigger);
        if (policy_.new_labels)
            NewLabels(*policy_.new_labels);
        if (policy_.age)
            Age(*policy_.age);
        return std::move(result_);
    }

 private:
    std::string Reference() const { return ModelReference{champion_.model, champion_.version}.ToString(); }

    void Say(bool fires, std::string sentence) {
        (fires ? result_.fired : result_.calm).push_back(std::move(sentence));
    }

    void Drift(const MonitorPolicy::Drift& drift) {
        Json options = drift.options;
        options["store"] = store_;
        const Json findings =
            QueryAsUser("SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(d)), '[]') FROM " +
                            FunctionName("dlent_drift") + "($1, $2, $3) AS d",
                        {TextParameter(Reference()), TextParameter(monitor_.source), JsonParameter(options)});
        std::set<std::string> features;
        std::set<std::string> drifted;
        std::set<std::string> drifted_features;
        bool judged = false;
        Json report;
        Json drifted_json = Json::array();
        for (const Json& finding : findings) {
            const std::string kind = finding.at("details").value("kind", "");
            const std::string name = finding.at("feature").get<std::string>();
            const bool of_feature = kind == "feature" || kind == "missing";
            if (of_feature)
                features.insert(name);
            if (const auto found = finding.at("details").find("report"); found != finding.at("details").end())
                report = *found;
            if (kind == "report" || finding.at("drifted").is_null())
                continue;
            judged = true;
            if (!finding.at("drifted").get<bool>())
                continue;
            drifted.insert(kind == "prediction"    ? "the answers"
                           : kind == "performance" ? "the expected accuracy"
                                                   : FromUtf8(name));
            if (of_feature)
                drifted_features.insert(name);
            drifted_json.push_back({{"feature", name}, {"kind", kind}, {"value", finding.at("value")}});
        }
        const double share = static_cast<double>(drifted_features.size()) /
                             static_cast<double>(std::max<size_t>(features.size(), 1));
        const bool now = drift.share ? share >= *drift.share && !drifted_features.empty()
                                     : static_cast<int>(drifted.size()) >= drift.min_features;
        Json& measured = result_.measurements["drift"];
        measured = {{"drifted", judged ? Json(now) : Json(nullptr)},
                    {"features", features.size()},
                    {"share", share},
                    {"findings", std::move(drifted_json)}};
        if (!report.is_null())
            measured["report"] = report;
        if (!judged) {
            Say(false, "the live rows say too little of drift");
            return;
        }
        int alarms = now ? 1 : 0;
        int windows = 1;
        for (const bool before : LastDriftVerdicts(monitor_, drift.windows - 1)) {
            alarms += before ? 1 : 0;
            ++windows;
        }
        measured["alarms"] = alarms;
        measured["windows"] = windows;
        if (!now && alarms == 0) {
            Say(false, "no drift in " + std::to_string(features.size()) + " features");
            return;
        }
        const bool fires = now && alarms >= drift.alarms;
        const std::string what = now ? "drift in " + Names(drifted) : std::string("no drift now");
        std::string sentence = what;
        if (drift.windows > 1)
            sentence += " (" + std::to_string(alarms) + " of the last " + std::to_string(windows) + " looks" +
                        (fires ? ")" : "; " + std::to_string(drift.alarms) + " are asked for)");
        if (fires)
            result_.alerts.push_back({"warning", "drift", "",
                                      "live rows of model \"" + monitor_.model + "\": " + sentence,
                                      measured});
        Say(fires, sentence);
    }

    void Expectations() {
        if (ReadExpectations(monitor_.model).empty())
            return;
        const Json results =
            QueryAsUser("SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(c)), '[]') FROM " +
                            FunctionName("dlent_check") + "($1, $2, $3) AS c",
                        {TextParameter(monitor_.model), TextParameter(monitor_.source),
                         JsonParameter({{"store", store_}})});
        std::set<std::string> broken;
        Json& measured = result_.measurements["expectations"];
        measured = {{"judged", results.size()}, {"broken", Json::array()}};
        for (const Json& result : results) {
            if (result.at("status") != "fail" && result.at("status") != "error")
                continue;
            const std::string name = FromUtf8(result.at("name").get<std::string>());
            const bool severe = result.at("severity") == "error";
            // an arm of a rollout: that one is held for it, and a retrain of the champion would not help
            const bool other = result.at("version").is_number() && result.at("version") != champion_.version;
            const std::string with =
                other ? " with the answers of version " + result.at("version").dump() : std::string();
            measured["broken"].push_back(result);
            result_.alerts.push_back({severe ? "error" : "warning", "expectation", name + with,
                                      "live rows of model \"" + monitor_.model +
                                          "\" do not meet expectation \"" + name + "\"" + with,
                                      result});
            if (severe && !other)
                broken.insert(name);
        }
        Say(!broken.empty(), broken.empty() ? std::to_string(results.size()) +
                                                  " expectations judged, none of severity error broken"
                                            : "expectation broken: " + Names(broken));
    }

    void Metric(const MonitorPolicy::Metric& metric) {
        const std::string& source = metric.source.empty() ? monitor_.source : metric.source;
        // as the training weighed its own held-out rows, whose metric this one is compared with
        Json options = Json::object();
        if (!policy_.weight_column.empty() && Source::Open(source).Find(policy_.weight_column) >= 0)
            options["weight_column"] = ToUtf8(policy_.weight_column);
        const Json report =
            QueryAsUser("SELECT " + FunctionName("dlent_evaluate") + "($1, $2, $3)",
                        {TextParameter(Reference()), TextParameter(source), JsonParameter(options)});
        const auto found = report.find(metric.name);
        const double rows = report.value("rows", 0.0);
        Json& measured = result_.measurements["metric"];
        measured = {{"name", metric.name}, {"rows", rows}};
        if (found == report.end() || !found->is_number()) {
            Say(false, metric.name + " is not defined for the " + Count(rows) + " rows with an outcome");
            return;
        }
        const double value = found->get<double>();
        measured["value"] = value;
        std::string sentence = metric.name + " is " + Number(value) + " on " + Count(rows) + " rows";
        bool fires = false;
        if (metric.min && value < *metric.min) {
            fires = true;
            sentence += ", below " + Number(*metric.min);
        }
        if (metric.max && value > *metric.max) {
            fires = true;
            sentence += ", above " + Number(*metric.max);
        }
        const auto before = monitor_.champion_metrics.find(metric.name);
        if (metric.drop && before != monitor_.champion_metrics.end() && before->is_number()) {
            const double loss = MetricDirection(metric.name) * (before->get<double>() - value);
            measured["at_training"] = *before;
            if (loss > *metric.drop) {
                fires = true;
                sentence += ", worse by " + Number(loss) + " than when version " +
                            std::to_string(champion_.version) + " was trained";
            }
        }
        if (fires)
            result_.alerts.push_back({"warning", "metric", metric.name,
                                      "model \"" + monitor_.model + "\": " + sentence, measured});
        Say(fires, sentence);
    }

    void NewLabels(int64_t wanted) {
        const int64_t labels = CountLabels(policy_);
        const int64_t added = labels - monitor_.accepted.at("labelled").get<int64_t>();
        result_.measurements["new_labels"] = {{"labelled", labels}, {"new", added}};
        Say(added >= wanted, std::to_string(std::max<int64_t>(added, 0)) +
                                 " rows with an outcome are new, of " + std::to_string(wanted) +
                                 " that are asked for");
    }

    void Age(double wanted) {
        constexpr double kHour = 3600.0;
        result_.measurements["age"] = {{"seconds", monitor_.champion_age}};
        Say(monitor_.champion_age >= wanted, "version " + std::to_string(champion_.version) + " is " +
                                                 Number(monitor_.champion_age / kHour) + " hours old, of " +
                                                 Number(wanted / kHour) + " that it may become");
    }

    const Monitor& monitor_;
    const MonitorPolicy& policy_;
    const VersionIdentity& champion_;
    const bool store_;
    Watched result_;
};

}  // namespace

Watched Watch(const Monitor& monitor, const MonitorPolicy& policy, const VersionIdentity& champion,
              bool store) {
    return Watcher(monitor, policy, champion, store).Run();
}

}  // namespace dlent::pg
