#include "pg/bridge/postgres.h"

#include "pg/monitor/training_data.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/sql_call.h"
#include "pg/monitor/sentences.h"
#include "pg/source/source.h"

namespace dlent::pg {
namespace {

/// Rows are dealt out by this many values of their hash.
constexpr int kShares = 4096;
/// A label that rare among what the champion learnt from says nothing about shares.
constexpr double kFewRows = 30.0;

std::string Column(const std::string& name) {
    return "source." + QuoteIdentifier(name);
}

/// A row's content, as text.
std::string Content(const MonitorPolicy& policy, const VersionIdentity& champion) {
    std::string columns;
    for (const PipelineInput& input : AcquireScorer(champion)->model().pipeline.inputs())
        columns += Column(FromUtf8(input.name)) + ", ";
    return "ROW(" + columns + Column(policy.target) + ")::pg_catalog.text";
}

std::string From(const MonitorPolicy& policy) {
    return FromSource(policy.train_source) + " AS source";
}

/// `column < 'so and so'`: true of rows older than the newest ones.
std::string OlderThanNewest(const MonitorPolicy& policy) {
    const MonitorPolicy::Holdout& holdout = policy.holdout;
    const Source source = Source::Open(policy.train_source);
    const SourceColumn& column =
        source.columns()[source.Require(holdout.time_column, "option gates.holdout.time_column")];
    const std::string value = Column(holdout.time_column);
    const std::string cut = holdout.newest
                                ? "pg_catalog.max(" + value + ") - pg_catalog.make_interval(secs => " +
                                      Json(*holdout.newest).dump() + ")"
                                : "pg_catalog.percentile_disc(" + Json(1.0 - holdout.fraction).dump() +
                                      ") WITHIN GROUP (ORDER BY " + value + ")";
    const Json found =
        QueryAsUser("SELECT pg_catalog.to_jsonb((" + cut + ")::pg_catalog.text) FROM " + From(policy));
    if (!found.is_string())
        throw SqlError(ERRCODE_NO_DATA,
                       "column \"" + holdout.time_column + "\" of the training rows has no value");
    return value + " < " + QuoteLiteral(FromUtf8(found.get<std::string>())) + "::" + column.type_name;
}

/// Judges one thing after another; the first objection stands.
class Judge {
 public:
    Judge(const MonitorPolicy::Data& limits, const VersionIdentity& champion)
        : limits_(limits), champion_(champion) {}

    void Volume(const Json& counts, const Json& accepted) {
        const double rows = counts.at("labelled").get<double>();
        const double before = accepted.at("labelled").get<double>();
        const double ratio = before > 0.0 ? rows / before : 1.0;
        verdict_.measurements["volume"] = ratio;
        const std::string what = "there are " + Count(rows) + " training rows with an outcome where " +
                                 Count(before) + " were accepted last: ";
        if (rows == 0.0)
            Object("none of the training rows has an outcome");
        if (ratio < limits_.min_volume)
            Object(what + "less than " + Percent(limits_.min_volume) + " of them");
        if (limits_.max_volume && ratio > *limits_.max_volume)
            Object(what + "more than " + Percent(*limits_.max_volume) + " of them");
        const double repeated = Repeated(counts);
        const double repeated_before = Repeated(accepted);
        verdict_.measurements["duplicates"] = repeated;
        verdict_.measurements["accepted_duplicates"] = repeated_before;
        if (repeated > repeated_before + limits_.max_duplicate_increase)
            Object(Percent(repeated) + " of the training rows repeat others, where " +
                   Percent(repeated_before) +
                   " did in those that were accepted last: something was loaded twice");
    }

    void Outcomes(const TargetEncoder& target, const Json& outcomes) {
        verdict_.measurements["outcomes"] = outcomes;
        if (target.task() == Task::kRegression)
            Numbers(target, outcomes);
        else
            Labels(target, outcomes);
    }

    void Features(const Json& findings) {
        Json features = Json::object();
        for (const Json& finding : findings) {
            const std::string name = FromUtf8(finding.at("feature").get<std::string>());
            const Json& details = finding.at("details");
            const auto share = [&details](const char* key) {
                const auto found = details.find(key);
                return found != details.end() && found->is_number() ? found->get<double>() : 0.0;
            };
            if (finding.at("kind") == "missing") {
                features[ToUtf8(name)]["missing"] = share("share");
                if (share("share") > share("reference_share") + limits_.max_missing_increase)
                    Object(Percent(share("share")) + " of the values of \"" + name +
                           "\" are missing, where " + Percent(share("reference_share")) +
                           " were in the rows of version " + Version());
                continue;
            }
            const double outside = std::max(share("outside_range"), share("unseen_levels"));
            features[ToUtf8(name)]["outside"] = outside;
            if (outside > limits_.max_outside)
                Object(Percent(outside) + " of the values of \"" + name + "\" are " +
                       (details.contains("unseen_levels")
                            ? "levels that version " + Version() + " never saw"
                            : "outside of the range that version " + Version() + " learnt from") +
                       ": a change of unit or meaning rather than of the world");
        }
        verdict_.measurements["features"] = std::move(features);
    }

    DataVerdict Verdict() { return std::move(verdict_); }
    Json& measurements() { return verdict_.measurements; }

 private:
    static double Repeated(const Json& counts) {
        const double rows = counts.at("rows").get<double>();
        return rows > 0.0 ? 1.0 - counts.at("distinct").get<double>() / rows : 0.0;
    }

    std::string Version() const { return std::to_string(champion_.version); }

    void Labels(const TargetEncoder& target, const Json& outcomes) {
        const std::vector<std::string>& labels = target.labels();
        std::vector<double> now(labels.size(), 0.0);
        double rows = 0.0;
        for (const auto& [text, count] : outcomes.items()) {
            int label = target.LabelIndex(text);
            if (label < 0)
                label = target.LabelOfValue(std::strtod(text.c_str(), nullptr));
            if (label >= 0)
                now[label] += count.get<double>();
            rows += count.get<double>();
        }
        double before = 0.0;
        for (const uint64_t count : target.label_counts())
            before += static_cast<double>(count);
        double change = 0.0;
        double known = 0.0;
        for (size_t i = 0; i < labels.size(); ++i) {
            const double counted = static_cast<double>(target.label_counts()[i]);
            const double share = now[i] / std::max(rows, 1.0);
            const double share_before = counted / std::max(before, 1.0);
            const std::string label = "label \"" + FromUtf8(labels[i]) + "\"";
            const std::string shares = label + " is that of " + Percent(share) +
                                       " of the training rows, where it was that of " +
                                       Percent(share_before) + " of those of version " + Version();
            change += std::abs(share - share_before) / 2.0;
            known += now[i];
            if (now[i] == 0.0)
                Object("no training row has " + label + ", which version " + Version() + " learnt from " +
                       Count(counted) + (counted == 1.0 ? " row" : " rows"));
            else if (counted >= kFewRows && (share > share_before * limits_.max_label_ratio ||
                                             share * limits_.max_label_ratio < share_before))
                Object(shares);
        }
        change += (1.0 - known / std::max(rows, 1.0)) / 2.0;  // labels that are new
        verdict_.measurements["prior_change"] = change;
        if (change > limits_.max_prior_change)
            Object(Percent(change) + " of the outcomes have another label than among the rows of version " +
                   Version());
    }

    void Numbers(const TargetEncoder& target, const Json& outcomes) {
        if (!outcomes.at("mean").is_number())
            return;
        const double mean = outcomes.at("mean").get<double>();
        const double shift =
            std::abs(mean - target.mean()) / std::max<double>(target.standard_deviation(), 1e-30);
        verdict_.measurements["mean_shift"] = shift;
        if (shift > limits_.max_mean_shift)
            Object("the mean of \"" + FromUtf8(target.column()) + "\" is " + Number(mean) + ", " +
                   Number(shift) + " standard deviations from that of the rows of version " + Version());
    }

    void Object(std::string objection) {
        if (verdict_.objection.empty())
            verdict_.objection = std::move(objection);
    }

    const MonitorPolicy::Data& limits_;
    const VersionIdentity& champion_;
    DataVerdict verdict_{{}, Json::object()};
};

Json ReadOutcomes(const MonitorPolicy& policy, const TargetEncoder& target) {
    const std::string value = Column(policy.target);
    if (target.task() == Task::kRegression)
        return QueryAsUser("SELECT pg_catalog.jsonb_build_object('mean', pg_catalog.avg(" + value +
                           "::pg_catalog.float8)) FROM " + From(policy));
    return QueryAsUser("SELECT COALESCE(pg_catalog.jsonb_object_agg(label, count), '{}') FROM (SELECT " +
                       value + "::pg_catalog.text AS label, pg_catalog.count(*) AS count FROM " +
                       From(policy) + " WHERE " + value +
                       " IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 10000) AS labels");
}

}  // namespace

TrainingSplit SplitTrainingData(const MonitorPolicy& policy, const VersionIdentity& champion) {
    const MonitorPolicy::Holdout& holdout = policy.holdout;
    if (!holdout.source.empty())
        return {policy.train_source, holdout.source};
    const std::string all = "SELECT source.* FROM " + From(policy) + " WHERE ";
    if (!holdout.time_column.empty()) {
        const std::string older = OlderThanNewest(policy);
        return {all + older, all + "NOT (" + older + ")"};
    }
    const int held = std::clamp(static_cast<int>(std::lround(holdout.fraction * kShares)), 1, kShares - 1);
    const std::string share = "(pg_catalog.hashtextextended(" + Content(policy, champion) + ", 0) & " +
                              std::to_string(kShares - 1) + ")";
    return {all + share + " >= " + std::to_string(held), all + share + " < " + std::to_string(held)};
}

Json CountTrainingData(const MonitorPolicy& policy, const VersionIdentity& champion) {
    return QueryAsUser(
        "SELECT pg_catalog.jsonb_build_object('rows', pg_catalog.count(*), 'labelled', pg_catalog.count(" +
        Column(policy.target) + "), 'distinct', pg_catalog.count(DISTINCT pg_catalog.hashtextextended(" +
        Content(policy, champion) + ", 0))) FROM " + From(policy));
}

int64_t CountLabels(const MonitorPolicy& policy) {
    return QueryAsUser("SELECT pg_catalog.to_jsonb(pg_catalog.count(" + Column(policy.target) + ")) FROM " +
                       From(policy))
        .get<int64_t>();
}

DataVerdict JudgeTrainingData(const MonitorPolicy& policy, const VersionIdentity& champion,
                              const Json& accepted) {
    const Json counts = CountTrainingData(policy, champion);
    if (!policy.data)
        return {{}, {{"counts", counts}}};
    Judge judge(*policy.data, champion);
    judge.measurements()["counts"] = counts;
    judge.Volume(counts, accepted);
    const TargetEncoder& target = AcquireScorer(champion)->model().target;
    judge.Outcomes(target, ReadOutcomes(policy, target));
    judge.Features(QueryAsUser(
        "SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('feature', feature, 'kind', "
        "details ->> 'kind', 'details', details)), '[]') FROM " +
            FunctionName("dlent_drift") +
            "($1, $2, '{\"prediction\": false, \"target\": false, \"performance\": false}')",
        {TextParameter(ModelReference{champion.model, champion.version}.ToString()),
         TextParameter(policy.train_source)}));
    return judge.Verdict();
}

}  // namespace dlent::pg
