#include "pg/bridge/postgres.h"

#include "pg/rollout/measurement.h"

#include <algorithm>

#include "core/rollout/decision_rule.h"

namespace dlent::pg {
namespace {

std::string Number(size_t number) {
    return std::to_string(number);
}

std::string Chosen(const std::string& table) {
    return table + ".rollout_id = $1 AND " + table + ".arm IS NOT NULL AND " + table +
           ".predicted_at >= $2 AND " + table + ".predicted_at < $3";
}

std::string Finite(const std::string& score) {
    return "CASE WHEN " + score + " NOT IN ('NaN', 'Infinity', '-Infinity') THEN " + score + " END";
}

}  // namespace

Measurement::Measurement(const std::vector<std::string>& metrics, Task task)
    : metrics_(metrics), task_(task) {
    for (const std::string& metric : metrics) {
        const MetricDefinition definition = DefineMetric(metric);
        outcome_.push_back(definition.source == MetricSource::kScore     ? -1
                           : definition.source == MetricSource::kOutcome ? Outcome(metric)
                                                                         : Outcome(kLabelOutcome));
    }
}

std::string Measurement::ManyStatement() {
    // Looking one up costs as much as reading five; an outcome takes 140 bytes. The size of a table is always
    // known, other than statistics.
    return "SELECT ((SELECT count(*) FROM (SELECT FROM dlent.prediction AS p WHERE " + Chosen("p") +
           " LIMIT f.few) AS p) = f.few)::int::float8 "
           "FROM (SELECT greatest(1, pg_catalog.pg_relation_size('dlent.outcome') / 700) AS few) AS f";
}

std::string Measurement::ArmStatement() const {
    std::string values;
    std::string units;
    std::string arms;
    for (size_t i = 0; i < metrics_.size(); ++i) {
        const std::string n = Number(i);
        values += ", " + Value(i, {"x.s", "p.label", "p.probabilities"}) + " AS v" + n;
        units += ", avg(a.v" + n + ") AS v" + n + ", count(a.v" + n + ") FILTER (WHERE a.in_step) > 0 AS t" +
                 n + ", " + Invalid(i) + " AS i" + n;
        // p (1 - p) of a rate, as experiments are used to
        arms += ", count(u.v" + n + ")::float8, avg(u.v" + n + "), CASE WHEN bool_and(u.v" + n +
                " IN (0, 1)) THEN var_pop(u.v" + n + ") ELSE var_samp(u.v" + n +
                ") END, count(*) FILTER (WHERE u.t" + n + ")::float8, sum(u.i" + n + ")::float8";
    }
    return "WITH answer AS (SELECT p.arm, p.unit, CASE WHEN p.unit IS NULL THEN p.request END AS "
           "request, "
           "p.predicted_at >= $4 AS in_step, p.error IS NOT NULL AS failed, "
           "p.score IN ('NaN', 'Infinity', '-Infinity') AS non_finite, p.latency_us, x.s" +
           Labels() + values + " FROM dlent.prediction AS p CROSS JOIN LATERAL (SELECT " + Finite("p.score") +
           " AS s) AS x" + Joins("p") + " WHERE " + Chosen("p") +
           "), per_unit AS (SELECT a.arm, bool_or(a.in_step) AS in_step, "
           "count(*) FILTER (WHERE a.in_step) AS answers, "
           "count(*) FILTER (WHERE a.in_step AND a.failed) AS errors, "
           "count(*) FILTER (WHERE a.in_step AND a.non_finite) AS non_finite, "
           "sum(a.latency_us::float8) FILTER (WHERE a.in_step) AS latency, "
           "count(a.latency_us) FILTER (WHERE a.in_step) AS timed" +
           units +
           " FROM answer AS a GROUP BY a.arm, a.unit, a.request) "
           "SELECT u.arm::float8, count(*)::float8, count(*) FILTER (WHERE u.in_step)::float8, "
           "sum(u.answers)::float8, sum(u.errors)::float8, sum(u.non_finite)::float8, "
           "sum(u.latency) / nullif(sum(u.timed), 0)::float8" +
           arms + " FROM per_unit AS u GROUP BY u.arm";
}

std::string Measurement::PairStatement() const {
    std::string values;
    std::string units;
    std::string arms;
    for (size_t i = 0; i < metrics_.size(); ++i) {
        const std::string n = Number(i);
        const std::string champions = Value(i, {"x.c", "x.champion_label", "x.champion_probabilities"});
        values += ", " + champions + " AS c" + n + ", " + Value(i, {"x.s", "x.label", "x.probabilities"}) +
                  " - " + champions + " AS d" + n;
        units += ", avg(a.d" + n + ") AS d" + n + ", avg(a.c" + n + ") FILTER (WHERE a.d" + n +
                 " IS NOT NULL) AS c" + n + ", count(a.d" + n + ") FILTER (WHERE a.in_step) > 0 AS t" + n;
        arms += ", count(u.d" + n + ")::float8, avg(u.d" + n + "), var_samp(u.d" + n + "), avg(u.c" + n +
                "), var_samp(u.c" + n + "), covar_samp(u.d" + n + ", u.c" + n +
                "), count(*) FILTER (WHERE u.t" + n + ")::float8";
    }
    // the first answer to a request is the champion's; a window needs no join that a bad estimate could ruin
    return "WITH answer AS (SELECT p.arm, p.unit, p.request, p.key, p.predicted_at >= $4 AS in_step, "
           "p.label, p.latency_us, " +
           std::string(NeedsProbabilities() ? "p.probabilities, first_value(p.probabilities) OVER w AS "
                                              "champion_probabilities, "
                                            : "") +
           Finite("p.score") +
           " AS s, first_value(p.arm) OVER w AS first_arm, first_value(p.label) OVER w "
           "AS champion_label, first_value(p.latency_us) OVER w AS champion_latency_us, first_value(" +
           Finite("p.score") + ") OVER w AS c FROM dlent.prediction AS p WHERE " + Chosen("p") +
           " WINDOW w AS (PARTITION BY p.request ORDER BY p.arm)), "
           "pair AS MATERIALIZED (SELECT x.arm, x.unit, CASE WHEN x.unit IS NULL THEN x.request END AS "
           "request, x.in_step, x.s, x.c, x.latency_us, x.champion_latency_us, "
           "CASE WHEN x.label IS NOT NULL AND x.champion_label IS NOT NULL THEN x.label = x.champion_label "
           "    WHEN $6 = 'binary' THEN (x.s >= 0.5) = (x.c >= 0.5) END AS agrees" +
           values + " FROM answer AS x" + Joins("x") +
           " WHERE x.arm > 0 AND x.first_arm = 0), per_unit AS (SELECT a.arm" + units +
           " FROM pair AS a GROUP BY a.arm, a.unit, a.request), "
           "per_arm AS (SELECT a.arm, count(*) AS requests, avg(a.agrees::int) AS agreement, "
           "corr(a.s, a.c) AS correlation, "
           "avg(a.latency_us::float8) / nullif(avg(a.champion_latency_us::float8), 0) AS latency_ratio "
           "FROM pair AS a GROUP BY a.arm) "
           "SELECT w.arm::float8, w.requests::float8, w.agreement::float8, w.correlation, w.latency_ratio" +
           arms +
           " FROM per_unit AS u JOIN per_arm AS w ON w.arm = u.arm "
           "GROUP BY w.arm, w.requests, w.agreement, w.correlation, w.latency_ratio";
}

/// The number of a joined outcome, from 0.
int Measurement::Outcome(std::string_view name) {
    const auto found = std::find(outcomes_.begin(), outcomes_.end(), name);
    if (found != outcomes_.end())
        return static_cast<int>(found - outcomes_.begin());
    outcomes_.emplace_back(name);
    return static_cast<int>(outcomes_.size()) - 1;
}

/// All outcomes of a prediction: found by one descent of the index, or by reading those of the model.
std::string Measurement::Joins(const std::string& table) const {
    if (outcomes_.empty())
        return {};
    std::string columns;
    for (size_t i = 0; i < outcomes_.size(); ++i) {
        const std::string of = ") FILTER (WHERE o.metric = $" + Number(kFirstOutcome + i) + ") AS ";
        columns += ", max(o.value" + of + "o" + Number(i);
        if (task_ == Task::kMulticlass)
            columns += ", max(coalesce(o.label, o.value::text)" + of + "l" + Number(i);
    }
    const std::string from = " FROM dlent.outcome AS o WHERE o.model_id = $5";
    if (joins_all_)
        return " LEFT JOIN (SELECT o.key" + columns + from + " GROUP BY o.key) AS y ON y.key = " + table +
               ".key";
    return " LEFT JOIN LATERAL (SELECT " + columns.substr(2) + from + " AND o.key = " + table +
           ".key) AS y ON true";
}

/// The label, for those metrics that look at more than its value.
std::string Measurement::Labels() const {
    std::string labels;
    for (size_t i = 0; i < metrics_.size(); ++i) {
        if (IsOfTwoClasses(i))
            return ", " + Label(i) + " NOT IN (0, 1) AS invalid";
    }
    return labels;
}

std::string Measurement::Label(size_t metric) const {
    return "y.o" + Number(static_cast<size_t>(outcome_[metric]));
}

std::string Measurement::Invalid(size_t metric) const {
    return IsOfTwoClasses(metric) ? "count(*) FILTER (WHERE a.invalid)" : "0";
}

/// Whether it has a meaning for labels 0 and 1 alone.
bool Measurement::IsOfTwoClasses(size_t metric) const {
    return DefineMetric(metrics_[metric]).source == MetricSource::kClassAndRow && task_ != Task::kMulticlass;
}

bool Measurement::NeedsProbabilities() const {
    return task_ == Task::kMulticlass &&
           std::find(metrics_.begin(), metrics_.end(), "log_loss") != metrics_.end();
}

/// One prediction's value of a metric.
std::string Measurement::Value(size_t metric, const Answer& answer) const {
    const std::string& name = metrics_[metric];
    const std::string& s = answer.score;
    if (name == "score")
        return s;
    const std::string y = Label(metric);
    if (task_ == Task::kMulticlass && outcome_[metric] >= 0) {
        const std::string truth = "y.l" + Number(static_cast<size_t>(outcome_[metric]));
        if (name == "accuracy")
            return "(" + answer.label + " = " + truth + ")::int::float8";
        const std::string probability = "(" + answer.probabilities + " ->> " + truth + ")";
        if (name == "log_loss")  // bounded likewise; none of a label that the version does not know
            return "CASE WHEN " + probability + " IS NOT NULL THEN -ln(greatest(" + probability +
                   "::float8, 1e-7)) END";
    }
    if (name == "log_loss")  // as dlent_evaluate bounds it
        return "CASE WHEN " + s + " IS NOT NULL THEN CASE " + y + " WHEN 1 THEN -ln(greatest(" + s +
               ", 1e-7)) WHEN 0 THEN -ln(greatest(1 - " + s + ", 1e-7)) END END";
    if (name == "brier_score")
        return "CASE WHEN " + y + " IN (0, 1) THEN (" + s + " - " + y + ") * (" + s + " - " + y + ") END";
    if (name == "accuracy")
        return "CASE WHEN " + y + " IN (0, 1) THEN ((" + s + " >= 0.5) = (" + y + " = 1))::int::float8 END";
    if (name == "squared_error")
        return "(" + s + " - " + y + ") * (" + s + " - " + y + ")";
    if (name == "absolute_error")
        return "abs(" + s + " - " + y + ")";
    return y;
}

}  // namespace dlent::pg
