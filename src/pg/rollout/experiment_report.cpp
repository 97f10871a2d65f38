// dlent_experiment_report: a row for each arm and metric. Reads only.

#include "pg/bridge/postgres.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "pg/bridge/json.h"
#include "pg/bridge/option_reader.h"
#include "pg/bridge/text.h"
#include "pg/functions/arguments.h"
#include "pg/rollout/decision_options.h"
#include "pg/rollout/rollout_numbers.h"

extern "C" {
#include "utils/tuplestore.h"
}

namespace dlent::pg {
namespace {

/// What a caller asked for.
struct ReportRequest {
    int64_t rollout = 0;  ///< 0: the one under way, or the last
    TimestampTz from = DT_NOBEGIN;
    TimestampTz until = DT_NOEND;
    std::optional<std::vector<std::string>> metrics;  ///< UTF-8; absent: those that fit
    std::optional<double> alpha;
    bool relative = false;
    std::map<std::string, double> effects;  ///< by metric: standard deviation of those that are expected

    static ReportRequest Parse(const Json& json);
};

TimestampTz TimeOption(const OptionReader& reader, const char* key, TimestampTz otherwise) {
    if (reader.Find(key) == nullptr)
        return otherwise;
    const std::string text = reader.Text(key, "", "a time");
    return CallPostgres([&text] {
        return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text.c_str()),
                                                       ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    });
}

std::map<std::string, double> EffectsOption(const OptionReader& reader) {
    std::map<std::string, double> effects;
    const Json* const given = reader.Find("effects");
    if (given == nullptr)
        return effects;
    if (!given->is_object())
        reader.Refuse("effects", "an object of metrics and numbers");
    for (const auto& [metric, effect] : given->items()) {
        if (!effect.is_number() || !(effect.get<double>() > 0.0))
            reader.Fail("option \"effects\" must have a number above 0 for \"" + FromUtf8(metric) + "\"");
        effects[metric] = effect.get<double>();
    }
    return effects;
}

ReportRequest ReportRequest::Parse(const Json& json) {
    constexpr size_t kMostMetrics = 20;
    const OptionReader reader(json, {"rollout", "from", "until", "metrics", "alpha", "relative", "effects"});
    ReportRequest request;
    request.rollout = RolloutOption(reader);
    request.from = TimeOption(reader, "from", request.from);
    request.until = TimeOption(reader, "until", request.until);
    if (reader.Find("metrics") != nullptr) {
        const std::string must = "an array of at most " + std::to_string(kMostMetrics) + " names";
        request.metrics.emplace();
        for (const std::string& name : reader.Texts("metrics", must.c_str()))
            request.metrics->push_back(ToUtf8(name));
        if (request.metrics->size() > kMostMetrics)
            reader.Refuse("metrics", must);
    }
    request.alpha = reader.OptionalNumberThat(
        "alpha", [](double alpha) { return alpha > 0.0 && alpha < 1.0; }, "a number between 0 and 1");
    request.relative = reader.Boolean("relative", false);
    request.effects = EffectsOption(reader);
    return request;
}

/// The metrics that decide, then those that were asked for or that fit the task.
std::vector<std::string> Metrics(const ReportRequest& request, const StudiedRollout& rollout,
                                 const DecisionRule& rule) {
    std::vector<std::string> metrics;
    const auto add = [&metrics](const std::string& metric) {
        if (std::find(metrics.begin(), metrics.end(), metric) == metrics.end())
            metrics.push_back(metric);
    };
    if (request.metrics) {
        for (const std::string& metric : *request.metrics) {
            CheckMetric(metric, rollout.task);
            add(metric);
        }
        return metrics;
    }
    for (const JudgedMetric* judged : rule.Judged())
        add(judged->metric);
    if (rollout.task == Task::kBinary) {
        add("log_loss");
        add("accuracy");
    } else if (rollout.task == Task::kRegression) {
        add("squared_error");
        add("absolute_error");
    }
    // of several classes, scores are the probabilities of different labels, and outcomes labels
    if (rollout.task == Task::kMulticlass) {
        add("log_loss");
        add("accuracy");
        return metrics;
    }
    add("score");
    if (rollout.mode != "shadow")
        add(std::string(kLabelOutcome));
    return metrics;
}

/// One row of the answer; a number that is not finite is NULL.
struct ReportRow {
    const ArmNumbers* arm = nullptr;
    std::string metric;
    const char* role = "info";
    double units = NAN;
    double outcomes = NAN;
    double mean = NAN;
    double difference = NAN;
    double low = NAN;
    double high = NAN;
    double p_value = NAN;
    const char* status = nullptr;
    Json details = Json::object();
};

/// Makes the rows of a report of its numbers.
class Report {
 public:
    Report(const StudiedRollout& rollout, const RolloutNumbers& numbers, const DecisionRule& rule,
           const ReportRequest& request)
        : rollout_(rollout),
          numbers_(numbers),
          rule_(rule),
          alpha_(request.alpha.value_or(rule.alpha)),
          relative_(request.relative),
          effects_(request.effects) {}

    std::vector<ReportRow> Rows() {
        AddRatio();
        for (size_t metric = 0; metric < numbers_.metrics.size(); ++metric) {
            for (const ArmNumbers& arm : numbers_.arms)
                AddMetric(metric, arm);
        }
        for (const ArmNumbers& arm : numbers_.arms)
            AddShadow(arm);
        for (const ArmNumbers& arm : numbers_.arms)
            AddService(arm);
        return std::move(rows_);
    }

 private:
    void AddRatio() {
        ReportRow row;
        row.metric = "sample_ratio";
        row.role = "check";
        row.units = 0.0;
        Json observed = Json::object();
        Json weights = Json::object();
        for (const ArmNumbers& arm : numbers_.arms) {
            if (arm.shadow)
                continue;
            row.units += arm.units;
            observed[arm.name] = CountJson(arm.units);
            weights[arm.name] = arm.weight;
        }
        if (observed.size() < 2)
            return;
        const SampleRatio ratio = SampleRatioOf(numbers_);
        row.p_value = ratio.p_value;
        row.status = CheckStatusName(!ratio.enough    ? CheckStatus::kInconclusive
                                     : ratio.mismatch ? CheckStatus::kFail
                                                      : CheckStatus::kPass);
        row.details = {
            {"statistic", ratio.statistic}, {"units", std::move(observed)}, {"weights", std::move(weights)}};
        rows_.push_back(std::move(row));
    }

    const JudgedMetric* Judged(const std::string& metric) const {
        for (const JudgedMetric* judged : rule_.Judged()) {
            if (judged->metric == metric)
                return judged;
        }
        return nullptr;
    }

    void AddMetric(size_t metric, const ArmNumbers& arm) {
        const MetricNumbers& control = numbers_.arms.front().metrics[metric];
        const MetricNumbers& measured = arm.metrics[metric];
        const std::string& name = numbers_.metrics[metric];
        // what came of the champion's answers says nothing of a shadow's
        if (arm.shadow && DefineMetric(name).source == MetricSource::kOutcome)
            return;
        const JudgedMetric* const judged = Judged(name);
        ReportRow row;
        row.arm = &arm;
        row.metric = name;
        if (judged != nullptr) {
            row.role = rule_.goal && judged == &*rule_.goal ? "goal" : "guardrail";
            row.details["direction"] = judged->more_is_better ? "increase" : "decrease";
            row.details["margin"] = judged->margin;
        }
        row.units = arm.units;
        row.outcomes = measured.units.n;
        if (measured.units.n > 0.0) {
            row.mean = measured.units.mean;
            row.details["standard_deviation"] = std::sqrt(measured.units.variance);
        }
        if (measured.invalid > 0.0)
            row.details["invalid_outcomes"] = CountJson(measured.invalid);
        if (&arm != &numbers_.arms.front())
            Compare(control, measured, arm.shadow, judged, &row);
        rows_.push_back(std::move(row));
    }

    void Compare(const MetricNumbers& control, const MetricNumbers& measured, bool shadow,
                 const JudgedMetric* judged, ReportRow* row) const {
        const double alpha = alpha_ / numbers_.Treatments();
        const Comparison comparison =
            CompareMetric(control, measured, shadow, alpha, rule_.tuning_units, relative_);
        if (shadow ? measured.pairs.n > 0.0 : control.units.n > 0.0 && measured.units.n > 0.0)
            row->difference = comparison.difference.value;
        row->details["alpha"] = alpha;
        row->details["tuning_units"] = rule_.tuning_units;
        row->details["compared"] = shadow ? "pairs" : "arms";
        if (shadow)
            row->details["pairs"] = CountJson(measured.pairs.n);
        if (relative_)
            row->details["relative"] = true;
        if (comparison.known) {
            row->low = comparison.sequence.low;
            row->high = comparison.sequence.high;
            row->p_value = comparison.sequence.p_value;
            row->details["standard_error"] = comparison.difference.standard_error;
            row->details["fixed_p_value"] = comparison.fixed_p_value;
            if (const auto effect = effects_.find(row->metric); effect != effects_.end()) {
                const double error = comparison.difference.standard_error;
                row->details["mixture_p_value"] = MixtureSequentialTest(effect->second * effect->second)
                                                      .Look(comparison.difference.value, error * error);
            }
        }
        if (judged == nullptr)
            return;
        // a margin is in the metric's units, so the verdict is on the difference itself
        row->status = CheckStatusName(
            control.invalid + measured.invalid > 0.0
                ? CheckStatus::kError
                : JudgeComparison(*judged, relative_ ? CompareMetric(control, measured, shadow, alpha,
                                                                     rule_.tuning_units, false)
                                                     : comparison));
    }

    void AddShadow(const ArmNumbers& arm) {
        if (!arm.shadow)
            return;
        const auto add = [&](const char* metric, const std::optional<double>& value) {
            ReportRow row;
            row.arm = &arm;
            row.metric = metric;
            row.units = arm.units;
            row.mean = value.value_or(NAN);
            row.details["requests"] = CountJson(arm.paired_requests);
            rows_.push_back(std::move(row));
        };
        if (rollout_.task != Task::kRegression)
            add("agreement", arm.agreement);
        if (rollout_.task != Task::kMulticlass)
            add("score_correlation", arm.correlation);
        add("latency_ratio", arm.latency_ratio);
    }

    void AddService(const ArmNumbers& arm) {
        ReportRow latency;
        latency.arm = &arm;
        latency.metric = "latency_us";
        latency.units = arm.units;
        latency.mean = arm.latency_us.value_or(NAN);
        latency.details["answers"] = CountJson(arm.answers);
        ReportRow errors = latency;
        errors.metric = "error_rate";
        errors.mean = arm.answers > 0.0 ? arm.errors / arm.answers : NAN;
        errors.details["errors"] = CountJson(arm.errors);
        errors.details["non_finite"] = CountJson(arm.non_finite);
        rows_.push_back(std::move(latency));
        rows_.push_back(std::move(errors));
    }

    const StudiedRollout& rollout_;
    const RolloutNumbers& numbers_;
    const DecisionRule& rule_;
    const double alpha_;
    const bool relative_;
    const std::map<std::string, double>& effects_;
    std::vector<ReportRow> rows_;
};

void PutRow(FunctionCallInfo fcinfo, int64_t rollout, const ReportRow& report) {
    constexpr int kColumns = 14;
    struct Row {
        Datum values[kColumns];
        bool nulls[kColumns];
    } row{};
    row.nulls[1] = row.nulls[2] = report.arm == nullptr;
    if (report.arm != nullptr) {
        row.values[1] = TextDatum(FromUtf8(report.arm->name));
        row.values[2] = Int32GetDatum(report.arm->version);
    }
    row.values[3] = TextDatum(FromUtf8(report.metric));
    row.values[4] = TextDatum(report.role);
    row.nulls[12] = report.status == nullptr;
    if (report.status != nullptr)
        row.values[12] = TextDatum(report.status);
    row.values[13] = JsonbDatum(report.details);
    CallPostgres([&] {
        row.values[0] = Int64GetDatum(rollout);
        const double counts[] = {report.units, report.outcomes};
        for (int i = 0; i < 2; ++i) {
            row.nulls[5 + i] = !std::isfinite(counts[i]);
            row.values[5 + i] = Int64GetDatum(row.nulls[5 + i] ? 0 : static_cast<int64_t>(counts[i]));
        }
        const double numbers[] = {report.mean, report.difference, report.low, report.high, report.p_value};
        for (int i = 0; i < 5; ++i) {
            row.nulls[7 + i] = !std::isfinite(numbers[i]);
            row.values[7 + i] = Float8GetDatum(numbers[i]);
        }
        auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
    });
}

void MakeReport(FunctionCallInfo fcinfo) {
    const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
    const ReportRequest request =
        ReportRequest::Parse(PG_ARGISNULL(1) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(1)));
    const StudiedRollout rollout = StudyRollout(model, request.rollout, Privilege::kPredict);
    Json options = rollout.options;
    const DecisionRule rule = TakeDecisionOptions(&options).rule;
    const RolloutNumbers numbers =
        MeasureRollout(rollout, Metrics(request, rollout, rule), request.from, request.until);
    for (const ReportRow& row : Report(rollout, numbers, rule, request).Rows())
        PutRow(fcinfo, rollout.id, row);
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_experiment_report) {
    using namespace dlent::pg;
    return Entry(fcinfo, [fcinfo] {
        InitMaterializedSRF(fcinfo, 0);
        MakeReport(fcinfo);
        return Datum{0};
    });
}
