#include "pg/bridge/postgres.h"

#include "pg/monitor/gates.h"

#include <algorithm>
#include <cmath>

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/expectations.h"
#include "pg/catalog/sql_call.h"
#include "pg/expectations/predicate.h"
#include "pg/monitor/held_out.h"
#include "pg/monitor/sentences.h"
#include "pg/source/source.h"

namespace dlent::pg {
namespace {

/// Fewer held-out rows decide nothing.
constexpr size_t kLeastRows = 30;
constexpr int kMostLiveRows = 10000;

constexpr size_t kChampion = 0;

Json ComparisonJson(const MetricComparison& comparison) {
    return {{"rows", comparison.rows},
            {"candidate", OrNull(comparison.first)},
            {"champion", OrNull(comparison.second)},
            {"gain", comparison.gain},
            {"standard_error", comparison.standard_error},
            {"p_value", comparison.p_value}};
}

/// The gates one after the other. Each says whether the candidate passes; the first that it does not ends it.
class Gates {
 public:
    Gates(MonitorSession& session, const MonitorPolicy& policy, const VersionIdentity& champion,
          const std::string& live, const std::string& holdout)
        : session_(session), policy_(policy), champion_(champion), live_(live), holdout_(holdout) {}

    GateVerdict Judge(const std::vector<int>& candidates) {
        std::vector<VersionIdentity> versions = {champion_};
        for (const int candidate : candidates)
            versions.push_back(ResolveVersion({champion_.model, candidate}, Privilege::kManage));
        std::vector<std::string> slicings = policy_.slices;
        if (policy_.fairness)
            slicings.push_back(policy_.fairness->column);
        const HeldOutRows rows(holdout_, versions, slicings, policy_.weight_column);
        if (rows.weighted())
            verdict_.measurements["weight_column"] = ToUtf8(policy_.weight_column);
        const size_t best = Choose(rows, versions);
        candidate_ = versions[best];
        verdict_.candidate = candidate_.version;
        const bool accepted = Leaks() && LiveAnswers() && Answers(rows, best) && Better(rows, best) &&
                              Golden() && Slices(rows, best) && Expectations() && Fairness(rows, best);
        verdict_.accepted = accepted;
        if (accepted)
            verdict_.reason = Who() + " passes all gates: " + better_;
        verdict_.measurements["gates"] = std::move(gates_);
        return std::move(verdict_);
    }

 private:
    std::string Who() const { return "version " + std::to_string(candidate_.version); }
    std::string Champion() const { return "version " + std::to_string(champion_.version); }

    /// Notes a gate's outcome; `reason` says why the candidate does not pass.
    bool Note(const char* gate, bool passed, const std::string& reason, Json numbers = Json::object()) {
        Json entry = {{"gate", gate}, {"passed", passed}};
        if (!passed)
            entry["reason"] = ToUtf8(reason);
        entry.update(numbers);
        gates_.push_back(std::move(entry));
        if (!passed)
            verdict_.reason = reason;
        return passed;
    }

    size_t Choose(const HeldOutRows& rows, const std::vector<VersionIdentity>& versions) {
        const std::vector<uint32_t> all = rows.Rows();
        const double direction = MetricDirection(policy_.metric);
        size_t best = 1;
        std::optional<double> best_value;
        for (size_t i = 1; i < versions.size(); ++i) {
            const std::optional<double> value = MetricOf(rows.Scored(i), all, policy_.metric);
            verdict_.measurements["candidates"].push_back(
                {{"version", versions[i].version}, {policy_.metric, OrNull(value)}});
            if (value && (!best_value || direction * *value > direction * *best_value)) {
                best = i;
                best_value = value;
            }
        }
        return best;
    }

    bool Leaks() {
        if (!policy_.leaks)
            return true;
        const Json leak = QueryCatalog(
            "SELECT f -> 'column' FROM dlent.version AS v, pg_catalog.jsonb_array_elements(v.findings) AS f "
            "WHERE v.id = $1 AND f ->> 'code' = 'LEAK_FEATURE' AND NOT EXISTS "
            "    (SELECT FROM dlent.version AS c, pg_catalog.jsonb_array_elements(c.findings) AS g "
            "     WHERE c.id = $2 AND g ->> 'code' = 'LEAK_FEATURE' AND g -> 'column' = f -> 'column') LIMIT "
            "1",
            {Int8(candidate_.version_id), Int8(champion_.version_id)});
        const std::string column = leak.is_string() ? FromUtf8(leak.get<std::string>()) : std::string();
        return Note("leaks", leak.is_null(),
                    "column \"" + column + "\" alone almost tells the target in the rows that " + Who() +
                        " learnt from, which it did not for " + Champion(),
                    leak.is_null() ? Json::object() : Json{{"column", leak}});
    }

    /// Whether the candidate can answer the live rows at all.
    bool LiveAnswers() {
        const bool classes = candidate_model().target.task() == Task::kMulticlass;
        const std::string answer =
            classes ? "(SELECT pg_catalog.max(p.value::pg_catalog.float8) FROM pg_catalog.jsonb_each_text(" +
                          FunctionName("dlent_probabilities") + "($1, source)) AS p)"
                    : FunctionName("dlent_predict") + "($1, source)";
        Json found;
        ErrorReport error;
        const bool answered = session_.Attempt(
            [&] {
                found = QueryAsUser(
                    "SELECT pg_catalog.jsonb_build_object('rows', pg_catalog.count(*), 'finite', "
                    "pg_catalog.count(*) FILTER (WHERE answer BETWEEN '-1e300' AND '1e300')) FROM (SELECT " +
                        answer + " AS answer FROM (SELECT * FROM " + FromSource(live_) + " AS rows LIMIT " +
                        std::to_string(kMostLiveRows) + ") AS source) AS answers",
                    {TextParameter(ModelReference{candidate_.model, candidate_.version}.ToString())});
            },
            &error);
        if (!answered)
            return Note("live", false, Who() + " cannot answer the live rows: " + MessageOf(error));
        return Note("live", found.at("rows") == found.at("finite"),
                    Who() + " gives live rows answers that are not finite", found);
    }

    const Model& candidate_model() { return AcquireScorer(candidate_)->model(); }

    bool Answers(const HeldOutRows& rows, size_t best) {
        const ScoredRows scored = rows.Scored(best);
        if (scored.rows() < kLeastRows)
            return Note("answers", false,
                        "there are only " + std::to_string(scored.rows()) +
                            " held-out rows with an outcome, which decide nothing",
                        {{"rows", scored.rows()}});
        const bool finite = std::all_of(scored.answers.begin(), scored.answers.end(),
                                        [](float answer) { return std::isfinite(answer); });
        if (!finite)
            return Note("answers", false, Who() + " gives held-out rows answers that are not finite");
        bool constant = true;
        for (size_t i = scored.outputs(); i < scored.answers.size() && constant; ++i)
            constant = scored.answers[i] == scored.answers[i - scored.outputs()];
        if (constant)
            return Note("answers", false, Who() + " gives all held-out rows the same answer");
        const std::vector<float> same = ConstantAnswers(scored);
        ScoredRows ignorant = scored;
        ignorant.answers = same;
        const MetricComparison comparison = CompareModels(scored, ignorant, policy_.metric);
        return Note("answers", comparison.Better(0.0, policy_.confidence),
                    Who() + " has learnt nothing that helps on held-out rows: its " + policy_.metric +
                        " is " + Value(comparison.first) + ", that of a constant answer " +
                        Value(comparison.second),
                    ComparisonJson(comparison));
    }

    static std::string Value(const std::optional<double>& value) {
        return value ? Number(*value) : "not defined";
    }

    std::string Beside(const MetricComparison& comparison) const {
        return "its " + policy_.metric + " is " + Value(comparison.first) + ", that of " + Champion() + " " +
               Value(comparison.second) + ", on " + std::to_string(comparison.rows);
    }

    bool Better(const HeldOutRows& rows, size_t best) {
        const MetricComparison comparison =
            CompareModels(rows.Scored(best), rows.Scored(kChampion), policy_.metric);
        better_ = Beside(comparison) + " held-out rows";
        const bool passed = comparison.Better(policy_.margin, policy_.confidence);
        std::string why = Who() + " is not better by " + Number(policy_.margin) + ": ";
        if (comparison.first && comparison.second && comparison.gain >= policy_.margin)
            why = Who() + " may be better by chance (p = " + Number(comparison.p_value) + "): ";
        return Note("better", passed, why + better_, ComparisonJson(comparison));
    }

    bool Golden() {
        if (policy_.golden.empty())
            return true;
        const HeldOutRows rows(policy_.golden, {champion_, candidate_}, {}, policy_.weight_column);
        const MetricComparison comparison = CompareModels(rows.Scored(1), rows.Scored(0), policy_.metric);
        const bool passed =
            comparison.first && comparison.second && comparison.gain >= -policy_.golden_margin;
        return Note("golden", passed,
                    Who() + " is worse on the golden rows by more than " + Number(policy_.golden_margin) +
                        ": " + Beside(comparison) + " rows",
                    ComparisonJson(comparison));
    }

    bool Slices(const HeldOutRows& rows, size_t best) {
        if (policy_.slices.empty())
            return true;
        const double direction = MetricDirection(policy_.metric);
        Json parts = Json::array();
        std::string objection;
        for (size_t s = 0; s < policy_.slices.size(); ++s) {
            const Slicing& slicing = rows.slicings()[s];
            for (int part = 0; part < static_cast<int>(slicing.names.size()); ++part) {
                const std::vector<uint32_t> chosen = rows.Rows(slicing, part);
                if (static_cast<int>(chosen.size()) < policy_.min_slice_rows)
                    continue;
                const std::optional<double> candidate = MetricOf(rows.Scored(best), chosen, policy_.metric);
                const std::optional<double> champion =
                    MetricOf(rows.Scored(kChampion), chosen, policy_.metric);
                if (!candidate || !champion)
                    continue;
                parts.push_back({{"slice", ToUtf8(slicing.text)},
                                 {"value", ToUtf8(slicing.names[part])},
                                 {"rows", chosen.size()},
                                 {"candidate", *candidate},
                                 {"champion", *champion}});
                if (direction * (*candidate - *champion) < -policy_.slice_margin && objection.empty())
                    objection = Who() + " is worse where " + slicing.text + " is " + slicing.names[part] +
                                ": its " + policy_.metric + " is " + Number(*candidate) + ", that of " +
                                Champion() + " " + Number(*champion) + ", on " +
                                std::to_string(chosen.size()) + " held-out rows";
            }
        }
        return Note("slices", objection.empty(), objection, {{"parts", std::move(parts)}});
    }

    /// Expectations of answers; those of rows were judged before the training.
    bool Expectations() {
        if (!policy_.expectations)
            return true;
        Json names = Json::array();
        for (const Expectation& expectation : ReadExpectations(champion_.model)) {
            const PredicateFacts facts = CallPostgres(
                [&] { return ParsePredicate(expectation.name.c_str(), expectation.predicate.c_str()); });
            if (expectation.severity == "error" && (facts.prediction || facts.label))
                names.push_back(ToUtf8(expectation.name));
        }
        if (names.empty())
            return true;
        const Json broken = QueryAsUser(
            "SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(c)), '[]') FROM " +
                FunctionName("dlent_check") + "($1, $2, $3) AS c WHERE c.status IN ('fail', 'error')",
            {TextParameter(ModelReference{candidate_.model, candidate_.version}.ToString()),
             TextParameter(holdout_), JsonParameter({{"names", names}})});
        std::string list;
        for (const Json& expectation : broken)
            list +=
                (list.empty() ? "\"" : ", \"") + FromUtf8(expectation.at("name").get<std::string>()) + "\"";
        return Note("expectations", broken.empty(), Who() + " does not meet expectation " + list,
                    {{"judged", names.size()}, {"broken", broken}});
    }

    bool Fairness(const HeldOutRows& rows, size_t best) {
        if (!policy_.fairness)
            return true;
        const MonitorPolicy::Fairness& fairness = *policy_.fairness;
        const Slicing& groups = rows.slicings().back();
        const ScoredRows scored = rows.Scored(best);
        Json parts = Json::array();
        double least = 1.0;
        double most = 0.0;
        for (int part = 0; part < static_cast<int>(groups.names.size()); ++part) {
            double counted = 0.0;
            double positive = 0.0;
            for (const uint32_t row : rows.Rows(groups, part)) {
                if (fairness.metric == "equal_opportunity" && scored.classes[row] != 1)
                    continue;
                counted += 1.0;
                positive += scored.answers[row] >= fairness.threshold ? 1.0 : 0.0;
            }
            if (counted < policy_.min_slice_rows)
                continue;
            least = std::min(least, positive / counted);
            most = std::max(most, positive / counted);
            parts.push_back(
                {{"group", ToUtf8(groups.names[part])}, {"rows", counted}, {"rate", positive / counted}});
        }
        const double difference = std::max(0.0, most - least);
        const bool passed = parts.size() < 2 || difference <= fairness.max_difference;
        return Note("fairness", passed,
                    "with " + Who() + " the rate of positive decisions differs by " + Percent(difference) +
                        " between groups of \"" + fairness.column + "\" (" + fairness.metric + ")",
                    {{"difference", difference}, {"groups", std::move(parts)}});
    }

    MonitorSession& session_;
    const MonitorPolicy& policy_;
    const VersionIdentity& champion_;
    const std::string& live_;
    const std::string& holdout_;
    VersionIdentity candidate_;
    std::string better_;
    Json gates_ = Json::array();
    GateVerdict verdict_{false, 0, {}, {{"candidates", Json::array()}}};
};

}  // namespace

GateVerdict JudgeCandidates(MonitorSession& session, const MonitorPolicy& policy,
                            const VersionIdentity& champion, const std::vector<int>& candidates,
                            const std::string& live, const std::string& holdout) {
    return Gates(session, policy, champion, live, holdout).Judge(candidates);
}

}  // namespace dlent::pg
