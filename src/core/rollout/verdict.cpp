#include "core/rollout/verdict.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace dlent {
namespace {

/// A mean of fewer answers says little; an error rate is one of at least so many.
constexpr double kEnoughAnswers = 100.0;

std::string Text(double number) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", number);
    return text;
}

std::string Span(double seconds) {
    if (seconds < 120.0)
        return Text(std::floor(seconds)) + " s";
    if (seconds < 7200.0)
        return Text(std::floor(seconds / 60.0)) + " min";
    if (seconds < 172800.0)
        return Text(std::floor(seconds / 3600.0)) + " h";
    return Text(std::floor(seconds / 86400.0)) + " days";
}

/// Checks a rollout once.
class Judge {
 public:
    Judge(const RolloutNumbers& numbers, const DecisionRule& rule) : numbers_(numbers), rule_(rule) {}

    Verdict Run() {
        CheckRatio();
        CheckTime();
        for (size_t i = 1; i < numbers_.arms.size(); ++i) {
            CheckAnswers(static_cast<int>(i));
            CheckExpectations(static_cast<int>(i));
            CheckOutcomes(static_cast<int>(i));
            if (rule_.goal)
                CheckMetric(static_cast<int>(i), "goal", *rule_.goal);
            for (const JudgedMetric& guardrail : rule_.guardrails)
                CheckMetric(static_cast<int>(i), "guardrail", guardrail);
        }
        Decide();
        return std::move(verdict_);
    }

 private:
    const ArmNumbers& Arm(int arm) const { return numbers_.arms[static_cast<size_t>(arm)]; }
    std::string Named(int arm) const {
        return Arm(arm).name + " (version " + std::to_string(Arm(arm).version) + ")";
    }

    void Add(const char* name, int arm, CheckStatus status, Json numbers, std::string sentence) {
        verdict_.checks.push_back({name, arm, status, std::move(numbers), std::move(sentence)});
    }

    void CheckRatio() {
        const SampleRatio ratio = SampleRatioOf(numbers_);
        std::string units;
        int answering = 0;
        for (const ArmNumbers& arm : numbers_.arms) {
            if (arm.shadow)
                continue;
            ++answering;
            units += (units.empty() ? "" : " to ") + Text(arm.units);
        }
        if (answering < 2)
            return;
        const CheckStatus status = !ratio.enough    ? CheckStatus::kInconclusive
                                   : ratio.mismatch ? CheckStatus::kFail
                                                    : CheckStatus::kPass;
        Json numbers = {{"statistic", ratio.statistic}, {"p_value", ratio.p_value}};
        std::string sentence = "The arms have " + units + " units";
        if (status == CheckStatus::kInconclusive)
            sentence += "; each needs 8.";
        else if (status == CheckStatus::kFail)
            sentence += ", which their weights do not explain (p = " + Text(ratio.p_value) +
                        "): something treats the arms differently, so their metrics cannot be compared.";
        else
            sentence += ", as their weights promise (p = " + Text(ratio.p_value) + ").";
        Add("sample_ratio", -1, status, std::move(numbers), std::move(sentence));
    }

    void CheckTime() {
        const double seconds = numbers_.seconds_in_step;
        const bool long_enough = seconds >= rule_.min_duration;
        Add("duration", -1, long_enough ? CheckStatus::kPass : CheckStatus::kInconclusive,
            {{"seconds", seconds}, {"min_duration", rule_.min_duration}},
            "The step has lasted " + Span(seconds) + " of at least " + Span(rule_.min_duration) + ".");
        if (!rule_.max_duration)
            return;
        const bool over = seconds >= *rule_.max_duration;
        Add("deadline", -1, over ? CheckStatus::kFail : CheckStatus::kPass,
            {{"seconds", seconds}, {"max_duration", *rule_.max_duration}},
            over ? "The step has not passed within " + Span(*rule_.max_duration) + "."
                 : "The step may last " + Span(*rule_.max_duration) + ".");
    }

    void CheckAnswers(int index) {
        const ArmNumbers& arm = Arm(index);
        const std::string of = " of " + Named(index);
        const std::string answers = Text(arm.answers) + " answers" + of;
        CheckStatus status = arm.non_finite > 0.0 ? CheckStatus::kFail
                             : arm.answers > 0.0  ? CheckStatus::kPass
                                                  : CheckStatus::kInconclusive;
        Add("finite", index, status,
            {{"answers", CountJson(arm.answers)}, {"non_finite", CountJson(arm.non_finite)}},
            arm.answers > 0.0 ? Text(arm.non_finite) + " of " + answers + " are not finite."
                              : "There are no answers" + of + " in this step.");

        // few answers may not hide that there were too many errors even for many
        const bool broken = arm.errors > rule_.max_error_rate * std::max(arm.answers, kEnoughAnswers);
        status = broken                          ? CheckStatus::kFail
                 : arm.answers >= kEnoughAnswers ? CheckStatus::kPass
                                                 : CheckStatus::kInconclusive;
        Add("error_rate", index, status,
            {{"answers", CountJson(arm.answers)},
             {"errors", CountJson(arm.errors)},
             {"max_error_rate", rule_.max_error_rate}},
            Text(arm.errors) + " of " + answers + " are errors; " + Text(rule_.max_error_rate * 100.0) +
                " % may be" + (status == CheckStatus::kInconclusive ? ", of 100 or more." : "."));

        if (!rule_.max_latency_us)
            return;
        status = CheckStatus::kInconclusive;
        if (arm.latency_us && arm.answers >= kEnoughAnswers)
            status = *arm.latency_us > *rule_.max_latency_us ? CheckStatus::kFail : CheckStatus::kPass;
        Add("latency", index, status,
            {{"answers", CountJson(arm.answers)},
             {"latency_us", arm.latency_us ? Json(*arm.latency_us) : Json(nullptr)},
             {"max_latency_us", *rule_.max_latency_us}},
            status == CheckStatus::kInconclusive
                ? "There are " + answers + "; 100 are needed to judge their latency."
                : "An answer" + of + " takes " + Text(*arm.latency_us) + " us on average, of at most " +
                      Text(*rule_.max_latency_us) + " us.");
    }

    void CheckExpectations(int index) {
        const auto place = static_cast<size_t>(index);
        if (place >= numbers_.broken_expectations.size() || !numbers_.broken_expectations[place])
            return;
        const std::vector<std::string>& broken = *numbers_.broken_expectations[place];
        std::string names;
        for (const std::string& name : broken)
            names += (names.empty() ? "" : ", ") + name;
        Add("expectations", index, broken.empty() ? CheckStatus::kPass : CheckStatus::kFail,
            {{"broken", broken}},
            broken.empty()
                ? "The last stored check of " + Named(index) + " met the model's expectations."
                : "The last stored check of " + Named(index) + " did not meet expectations: " + names + ".");
    }

    const MetricNumbers& Numbers(int arm, const std::string& metric) const {
        const auto place = std::find(numbers_.metrics.begin(), numbers_.metrics.end(), metric);
        return Arm(arm).metrics[static_cast<size_t>(place - numbers_.metrics.begin())];
    }

    void CheckOutcomes(int index) {
        const bool shadow = Arm(index).shadow;
        double fewest = shadow ? Arm(index).step_units : std::min(Arm(0).step_units, Arm(index).step_units);
        const char* what = "units";
        for (const JudgedMetric* judged : rule_.Judged()) {
            what = shadow ? "pairs of answers with an outcome" : "units with an outcome";
            fewest = std::min(fewest, shadow ? Numbers(index, judged->metric).step_pairs
                                             : std::min(Numbers(0, judged->metric).step_units,
                                                        Numbers(index, judged->metric).step_units));
        }
        Add("outcomes", index, fewest >= rule_.min_outcomes ? CheckStatus::kPass : CheckStatus::kInconclusive,
            {{"outcomes", CountJson(fewest)}, {"min_outcomes", rule_.min_outcomes}},
            Named(index) + (shadow ? " has " : " and the champion have at least ") + Text(fewest) + " " +
                what + " in this step, of " + Text(rule_.min_outcomes) + ".");
    }

    void CheckMetric(int index, const char* role, const JudgedMetric& judged) {
        const MetricNumbers& control = Numbers(0, judged.metric);
        const MetricNumbers& treatment = Numbers(index, judged.metric);
        const Comparison comparison =
            CompareMetric(control, treatment, Arm(index).shadow, rule_.alpha / numbers_.Treatments(),
                          rule_.tuning_units, false);
        CheckStatus status = JudgeComparison(judged, comparison);
        Json numbers = {{"metric", judged.metric},
                        {"direction", judged.more_is_better ? "increase" : "decrease"},
                        {"margin", judged.margin},
                        {"difference", comparison.difference.value},
                        {"units", CountJson(comparison.difference.n)}};
        std::string sentence = std::string(role) + " " + judged.metric + " of " + Named(index) + ": ";
        if (control.invalid + treatment.invalid > 0.0) {
            status = CheckStatus::kError;
            numbers["invalid"] = CountJson(control.invalid + treatment.invalid);
            sentence += Text(control.invalid + treatment.invalid) +
                        " outcomes are neither 0 nor 1, so it cannot be computed.";
        } else if (!comparison.known) {
            sentence += "there are too few outcomes yet, or they do not vary.";
        } else {
            numbers["low"] = comparison.sequence.low;
            numbers["high"] = comparison.sequence.high;
            numbers["p_value"] = comparison.sequence.p_value;
            sentence += "the difference to the champion is " + Text(comparison.difference.value) +
                        ", surely between " + Text(comparison.sequence.low) + " and " +
                        Text(comparison.sequence.high) + "; it must be " +
                        (judged.more_is_better ? "above " + Text(0.0 - judged.margin)
                                               : "below " + Text(judged.margin)) +
                        ".";
        }
        Add(role, index, status, std::move(numbers), std::move(sentence));
    }

    bool Passes(int arm) const {
        return std::all_of(verdict_.checks.begin(), verdict_.checks.end(), [arm](const RolloutCheck& check) {
            return (check.arm != -1 && check.arm != arm) || check.name == "deadline" ||
                   check.status == CheckStatus::kPass;
        });
    }

    /// How much better the goal has become; without one all are alike.
    double Gain(int arm) const {
        if (!rule_.goal)
            return 0.0;
        const MetricNumbers& treatment = Numbers(arm, rule_.goal->metric);
        const double gain = Arm(arm).shadow
                                ? treatment.pairs.mean
                                : treatment.units.mean - Numbers(0, rule_.goal->metric).units.mean;
        return rule_.goal->more_is_better ? gain : -gain;
    }

    /// Collects the sentences of the checks that `chosen` picks.
    template <typename Chosen>
    std::string Sentences(Chosen chosen) const {
        std::string text;
        for (const RolloutCheck& check : verdict_.checks) {
            if (chosen(check))
                text += (text.empty() ? "" : " ") + check.sentence;
        }
        return text;
    }

    void Decide() {
        const int arms = static_cast<int>(numbers_.arms.size());
        for (int arm = 1; arm < arms; ++arm) {
            if (Passes(arm) && (verdict_.arm < 0 || Gain(arm) > Gain(verdict_.arm)))
                verdict_.arm = arm;
        }
        if (verdict_.arm >= 0) {
            verdict_.decision = Decision::kAdvance;
            verdict_.reason = Named(verdict_.arm) + " passes every check.";
            return;
        }
        int missed = 0;
        for (const RolloutCheck& check : verdict_.checks)
            missed += check.name == "goal" && check.status == CheckStatus::kFail;
        const auto ends = [&](const RolloutCheck& check) {
            if (check.status != CheckStatus::kFail || check.name == "sample_ratio" ||
                check.name == "expectations")
                return false;
            return check.name != "goal" || missed == arms - 1;
        };
        const auto stops = [](const RolloutCheck& check) {
            return check.status == CheckStatus::kError ||
                   (check.status == CheckStatus::kFail && check.name != "goal");
        };
        const auto waits = [](const RolloutCheck& check) {
            return check.status == CheckStatus::kInconclusive || check.status == CheckStatus::kFail;
        };
        if (!(verdict_.reason = Sentences(ends)).empty()) {
            verdict_.decision = Decision::kRollBack;
        } else if (!(verdict_.reason = Sentences(stops)).empty()) {
            verdict_.decision = Decision::kHold;
        } else {
            verdict_.decision = Decision::kWait;
            verdict_.reason = Sentences(waits);
        }
    }

    const RolloutNumbers& numbers_;
    const DecisionRule& rule_;
    Verdict verdict_;
};

}  // namespace

const char* DecisionName(Decision decision) {
    constexpr const char* kNames[] = {"advance", "hold", "wait", "roll back"};
    return kNames[static_cast<int>(decision)];
}

Verdict JudgeRollout(const RolloutNumbers& numbers, const DecisionRule& rule) {
    return Judge(numbers, rule).Run();
}

Json VerdictJson(const Verdict& verdict, const RolloutNumbers& numbers) {
    Json json = {{"verdict", DecisionName(verdict.decision)}, {"reason", verdict.reason}};
    if (verdict.arm >= 0) {
        const ArmNumbers& arm = numbers.arms[static_cast<size_t>(verdict.arm)];
        json["arm"] = arm.name;
        json["version"] = arm.version;
    }
    Json checks = Json::array();
    for (const RolloutCheck& check : verdict.checks) {
        Json entry = {{"check", check.name}};
        if (check.arm >= 0)
            entry["arm"] = numbers.arms[static_cast<size_t>(check.arm)].name;
        entry["status"] = CheckStatusName(check.status);
        entry["sentence"] = check.sentence;
        for (const auto& [key, value] : check.numbers.items())
            entry[key] = value;
        checks.push_back(std::move(entry));
    }
    json["checks"] = std::move(checks);
    return json;
}

}  // namespace dlent
