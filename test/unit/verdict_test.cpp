// What becomes of a rollout: every check and every verdict, and how often chance alone moves it.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "core/rollout/verdict.h"

namespace dlent {
namespace {

MetricNumbers Rate(double hits, double n) {
    MetricNumbers numbers;
    numbers.units = RateStatistics(hits, n);
    numbers.step_units = n;
    return numbers;
}

ArmNumbers Arm(int arm, double units, std::vector<MetricNumbers> metrics) {
    ArmNumbers numbers;
    numbers.arm = arm;
    numbers.name = arm == 0 ? "champion" : "candidate";
    numbers.version = arm + 1;
    numbers.weight = 0.5;
    numbers.units = numbers.step_units = numbers.answers = units;
    numbers.metrics = std::move(metrics);
    return numbers;
}

/// A canary in which 12 instead of 10 % of 10,000 units an arm convert, and as many complain.
RolloutNumbers Canary() {
    RolloutNumbers numbers;
    numbers.metrics = {"converted", "complained"};
    numbers.arms = {Arm(0, 10000, {Rate(1000, 10000), Rate(300, 10000)}),
                    Arm(1, 10000, {Rate(1200, 10000), Rate(300, 10000)})};
    numbers.seconds_in_step = 7200;
    return numbers;
}

DecisionRule Rule() {
    DecisionRule rule;
    rule.goal = JudgedMetric{"converted", true, 0.0};
    rule.guardrails = {{"complained", false, 0.02}};
    return rule;
}

const RolloutCheck& Find(const Verdict& verdict, const std::string& name, int arm = -1) {
    for (const RolloutCheck& check : verdict.checks) {
        if (check.name == name && (arm < 0 || check.arm == arm))
            return check;
    }
    ADD_FAILURE() << "no check " << name;
    return verdict.checks.front();
}

void ExpectOnly(const Verdict& verdict, const std::string& name, CheckStatus status) {
    for (const RolloutCheck& check : verdict.checks)
        EXPECT_EQ(check.status, check.name == name ? status : CheckStatus::kPass)
            << check.name << ": " << check.sentence;
}

TEST(Verdict, AdvancesWhatPasses) {
    const Verdict verdict = JudgeRollout(Canary(), Rule());
    EXPECT_EQ(verdict.decision, Decision::kAdvance) << verdict.reason;
    EXPECT_EQ(verdict.arm, 1);
    EXPECT_EQ(verdict.reason, "candidate (version 2) passes every check.");
    ExpectOnly(verdict, "", CheckStatus::kPass);
    const RolloutCheck& goal = Find(verdict, "goal");
    EXPECT_NEAR(goal.numbers["difference"].get<double>(), 0.02, 1e-12);
    EXPECT_NEAR(goal.numbers["p_value"].get<double>(), 2.83495e-4, 5e-10);  // GrowthBook's
    EXPECT_NEAR(Find(verdict, "sample_ratio").numbers["p_value"].get<double>(), 1.0, 1e-12);
    const Json json = VerdictJson(verdict, Canary());
    EXPECT_EQ(json["verdict"], "advance");
    EXPECT_EQ(json["version"], 2);
    EXPECT_EQ(json["checks"].size(), verdict.checks.size());
}

TEST(Verdict, WaitsForTime) {
    RolloutNumbers numbers = Canary();
    numbers.seconds_in_step = 3599;
    const Verdict verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kWait);
    EXPECT_EQ(verdict.reason, "The step has lasted 59 min of at least 60 min.");
    ExpectOnly(verdict, "duration", CheckStatus::kInconclusive);
}

TEST(Verdict, WaitsForOutcomesOfTheStep) {
    RolloutNumbers numbers = Canary();
    numbers.arms[0].metrics[1].step_units = 99;
    const Verdict verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kWait);
    ExpectOnly(verdict, "outcomes", CheckStatus::kInconclusive);
    EXPECT_EQ(Find(verdict, "outcomes").numbers["outcomes"], 99.0);
}

TEST(Verdict, SilenceIsNoConsent) {
    RolloutNumbers numbers = Canary();
    for (ArmNumbers& arm : numbers.arms)
        arm = Arm(arm.arm, 0, {MetricNumbers(), MetricNumbers()});
    numbers.seconds_in_step = 1e9;
    for (const bool with_goal : {true, false}) {
        DecisionRule rule = Rule();
        if (!with_goal) {
            rule.goal.reset();
            rule.guardrails.clear();
        }
        const Verdict verdict = JudgeRollout(numbers, rule);
        EXPECT_EQ(verdict.decision, Decision::kWait);
        for (const RolloutCheck& check : verdict.checks)
            EXPECT_NE(check.status, CheckStatus::kFail) << check.name;
    }
}

TEST(Verdict, GoesOnWithoutAGoal) {
    DecisionRule rule;
    EXPECT_EQ(JudgeRollout(Canary(), rule).decision, Decision::kAdvance);
    rule.min_outcomes = 10001;  // units, when there is no metric
    EXPECT_EQ(JudgeRollout(Canary(), rule).decision, Decision::kWait);
}

TEST(Verdict, HoldsOnSampleRatioMismatch) {
    RolloutNumbers numbers = Canary();
    numbers.arms[0].units = 5000;
    numbers.arms[1].units = 5400;
    const Verdict verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kHold);
    EXPECT_NEAR(Find(verdict, "sample_ratio").numbers["p_value"].get<double>(), 8.76994e-5, 5e-11);
    ExpectOnly(verdict, "sample_ratio", CheckStatus::kFail);
    numbers.arms[0].units = 500;
    numbers.arms[1].units = 600;
    EXPECT_EQ(JudgeRollout(numbers, Rule()).decision, Decision::kAdvance);
    // what fails ends even what cannot be compared
    numbers.arms[0].units = 5000;
    numbers.arms[1].units = 5400;
    numbers.arms[1].non_finite = 1;
    EXPECT_EQ(JudgeRollout(numbers, Rule()).decision, Decision::kRollBack);
}

TEST(Verdict, RollsBackAtABrokenGuardrail) {
    RolloutNumbers numbers = Canary();
    numbers.arms[1].metrics[1] = Rate(700, 10000);
    Verdict verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kRollBack);
    ExpectOnly(verdict, "guardrail", CheckStatus::kFail);
    EXPECT_EQ(verdict.reason, Find(verdict, "guardrail").sentence);
    // more complaints, but perhaps within the margin: wait
    numbers.arms[1].metrics[1] = Rate(480, 10000);
    verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kWait);
    ExpectOnly(verdict, "guardrail", CheckStatus::kInconclusive);
}

TEST(Verdict, RollsBackWhatMissesTheGoal) {
    RolloutNumbers numbers = Canary();
    numbers.arms[1].metrics[0] = Rate(800, 10000);
    const Verdict verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kRollBack);
    ExpectOnly(verdict, "goal", CheckStatus::kFail);
}

TEST(Verdict, AMarginForgivesALittle) {
    RolloutNumbers numbers = Canary();
    numbers.arms[1].metrics[0] = Rate(1000, 10000);
    DecisionRule rule = Rule();
    EXPECT_EQ(JudgeRollout(numbers, rule).decision, Decision::kWait);
    rule.goal->margin = 0.02;
    EXPECT_EQ(JudgeRollout(numbers, rule).decision, Decision::kAdvance);
}

TEST(Verdict, RollsBackErrors) {
    RolloutNumbers numbers = Canary();
    numbers.arms[1].answers = 20;
    numbers.arms[1].errors = 1;
    Verdict verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kWait);
    ExpectOnly(verdict, "error_rate", CheckStatus::kInconclusive);
    numbers.arms[1].errors = 2;  // 1 % of 100 would be 1
    verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kRollBack);
    ExpectOnly(verdict, "error_rate", CheckStatus::kFail);
    numbers.arms[1].answers = 200;
    EXPECT_EQ(JudgeRollout(numbers, Rule()).decision, Decision::kAdvance);
}

TEST(Verdict, RollsBackWhatIsSlow) {
    RolloutNumbers numbers = Canary();
    DecisionRule rule = Rule();
    rule.max_latency_us = 50.0;
    EXPECT_EQ(JudgeRollout(numbers, rule).decision, Decision::kWait);  // nobody measured
    numbers.arms[1].latency_us = 49.0;
    EXPECT_EQ(JudgeRollout(numbers, rule).decision, Decision::kAdvance);
    numbers.arms[1].latency_us = 51.0;
    const Verdict verdict = JudgeRollout(numbers, rule);
    EXPECT_EQ(verdict.decision, Decision::kRollBack);
    ExpectOnly(verdict, "latency", CheckStatus::kFail);
    numbers.arms[1].answers = 99;
    EXPECT_EQ(JudgeRollout(numbers, rule).decision, Decision::kWait);
}

TEST(Verdict, RollsBackWhatIsNotFinite) {
    RolloutNumbers numbers = Canary();
    numbers.arms[1].non_finite = 1;
    const Verdict verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kRollBack);
    ExpectOnly(verdict, "finite", CheckStatus::kFail);
}

TEST(Verdict, RollsBackAtTheDeadlineUnlessAllPasses) {
    RolloutNumbers numbers = Canary();
    DecisionRule rule = Rule();
    rule.max_duration = 7200;
    EXPECT_EQ(JudgeRollout(numbers, rule).decision, Decision::kAdvance);
    numbers.arms[1].metrics[0] = Rate(1010, 10000);
    EXPECT_EQ(JudgeRollout(numbers, rule).decision, Decision::kRollBack);
    rule.max_duration = 7201;
    EXPECT_EQ(JudgeRollout(numbers, rule).decision, Decision::kWait);
}

TEST(Verdict, HoldsOnBrokenExpectations) {
    RolloutNumbers numbers = Canary();
    numbers.broken_expectations = {std::nullopt, std::vector<std::string>{}};
    EXPECT_EQ(JudgeRollout(numbers, Rule()).decision, Decision::kAdvance);
    numbers.broken_expectations[1] = std::vector<std::string>{"bounded"};
    const Verdict verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kHold);
    ExpectOnly(verdict, "expectations", CheckStatus::kFail);
}

TEST(Verdict, HoldsWhereAMetricHasNoMeaning) {
    RolloutNumbers numbers = Canary();
    numbers.arms[0].metrics[0].invalid = 3;
    const Verdict verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kHold);
    ExpectOnly(verdict, "goal", CheckStatus::kError);
}

TEST(Verdict, NoVariationIsNoCertainty) {
    RolloutNumbers numbers = Canary();
    numbers.arms[0].metrics[1] = Rate(0, 200);
    numbers.arms[1].metrics[1] = Rate(0, 200);
    const Verdict verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kWait);
    ExpectOnly(verdict, "guardrail", CheckStatus::kInconclusive);
    // nor is what rounding makes of equal values
    for (ArmNumbers& arm : numbers.arms)
        arm.metrics[1].units = {10000, 0.3, 1e-32};
    ExpectOnly(JudgeRollout(numbers, Rule()), "guardrail", CheckStatus::kInconclusive);
}

TEST(Verdict, AnExperimentTakesItsBestArm) {
    RolloutNumbers numbers = Canary();
    numbers.arms.push_back(Arm(2, 10000, {Rate(1300, 10000), Rate(300, 10000)}));
    for (ArmNumbers& arm : numbers.arms)
        arm.weight = 1.0 / 3.0;
    Verdict verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(verdict.decision, Decision::kAdvance);
    EXPECT_EQ(verdict.arm, 2);
    // alpha is shared
    EXPECT_NEAR(
        Find(verdict, "goal", 1).numbers["low"].get<double>(),
        SequentialInterval(DifferenceOf(RateStatistics(1000, 10000), RateStatistics(1200, 10000)), 0.025).low,
        1e-12);
    // one that misses the goal ends nothing
    numbers.arms[2].metrics[0] = Rate(800, 10000);
    numbers.arms[1].metrics[0] = Rate(1010, 10000);
    verdict = JudgeRollout(numbers, Rule());
    EXPECT_EQ(Find(verdict, "goal", 2).status, CheckStatus::kFail);
    EXPECT_EQ(verdict.decision, Decision::kWait);
    // all that miss it do
    numbers.arms[1].metrics[0] = Rate(800, 10000);
    EXPECT_EQ(JudgeRollout(numbers, Rule()).decision, Decision::kRollBack);
    // and one that does harm
    numbers.arms[1].metrics[0] = Rate(1010, 10000);
    numbers.arms[2].metrics[1] = Rate(900, 10000);
    EXPECT_EQ(JudgeRollout(numbers, Rule()).decision, Decision::kRollBack);
}

TEST(Verdict, AShadowIsComparedByPairs) {
    RolloutNumbers numbers;
    numbers.metrics = {"log_loss"};
    numbers.arms = {Arm(0, 1000, {MetricNumbers()}), Arm(1, 1000, {MetricNumbers()})};
    ArmNumbers& shadow = numbers.arms[1];
    shadow.shadow = true;
    shadow.weight = 0.0;
    shadow.metrics[0].pairs = {1000, -0.02, 0.01, 0.5, 1.0, 0.0};
    shadow.metrics[0].step_pairs = 1000;
    numbers.seconds_in_step = 1e5;
    DecisionRule rule;
    rule.goal = JudgedMetric{"log_loss", false, 0.0};
    Verdict verdict = JudgeRollout(numbers, rule);
    EXPECT_EQ(verdict.decision, Decision::kAdvance) << verdict.reason;
    EXPECT_EQ(Find(verdict, "goal").numbers["units"], 1000.0);
    for (const RolloutCheck& check : verdict.checks)
        EXPECT_NE(check.name, "sample_ratio");
    shadow.metrics[0].pairs.mean = 0.05;
    EXPECT_EQ(JudgeRollout(numbers, rule).decision, Decision::kRollBack);
    shadow.metrics[0].step_pairs = 50;
    shadow.metrics[0].pairs.mean = -0.02;
    EXPECT_EQ(JudgeRollout(numbers, rule).decision, Decision::kWait);
}

TEST(Verdict, KnowsItsMetrics) {
    EXPECT_EQ(DefineMetric("log_loss").more_is_better, false);
    EXPECT_EQ(DefineMetric("accuracy").more_is_better, true);
    EXPECT_EQ(DefineMetric("absolute_error").source, MetricSource::kNumberAndRow);
    EXPECT_EQ(DefineMetric("score").more_is_better, std::nullopt);
    EXPECT_EQ(DefineMetric("converted").source, MetricSource::kOutcome);
}

TEST(Sequential, PairsByTheDeltaMethod) {
    const PairedStatistics pairs{400, 0.1, 0.04, 2.0, 1.0, 0.02};
    EXPECT_DOUBLE_EQ(PairedDifferenceOf(pairs).standard_error, 0.01);
    const Difference relative = RelativePairedDifferenceOf(pairs);
    EXPECT_DOUBLE_EQ(relative.value, 0.05);
    EXPECT_NEAR(relative.standard_error, std::sqrt((0.04 - 2 * 0.05 * 0.02 + 0.0025) / 400) / 2, 1e-15);
}

/// The share of A/A tests, `looks` looks each, in which `metric` is ever judged to be better or worse.
double FalseAlarms(int tests, int looks, int units_a_look, uint64_t seed,
                   const std::function<double(std::mt19937_64&)>& draw) {
    std::mt19937_64 random(seed);
    const JudgedMetric judged{"m", true, 0.0};
    int alarms = 0;
    for (int test = 0; test < tests; ++test) {
        double n = 0;
        double sum[2] = {0, 0};
        double squares[2] = {0, 0};
        for (int look = 0; look < looks; ++look) {
            for (int i = 0; i < units_a_look; ++i) {
                for (int arm = 0; arm < 2; ++arm) {
                    const double value = draw(random);
                    sum[arm] += value;
                    squares[arm] += value * value;
                }
            }
            n += units_a_look;
            MetricNumbers arms[2];
            for (int arm = 0; arm < 2; ++arm)
                arms[arm].units = MeanStatistics(n, sum[arm], squares[arm]);
            const Comparison comparison = CompareMetric(arms[0], arms[1], false, 0.05, 5000.0, false);
            if (JudgeComparison(judged, comparison) != CheckStatus::kInconclusive) {
                ++alarms;
                break;
            }
        }
    }
    return static_cast<double>(alarms) / tests;
}

TEST(Verdict, ChanceAloneSeldomMovesIt) {
    const auto rate = [](double p) {
        return [p](std::mt19937_64& random) { return std::bernoulli_distribution(p)(random) ? 1.0 : 0.0; };
    };
    const auto amount = [](std::mt19937_64& random) {
        return std::lognormal_distribution<double>(0.0, 1.5)(random);
    };
    // 200 looks from 10 units an arm on: one alarm in 20 tests would be allowed
    EXPECT_LE(FalseAlarms(1000, 200, 10, 1, rate(0.5)), 0.05);
    EXPECT_LE(FalseAlarms(1000, 200, 10, 2, rate(0.02)), 0.05);
    EXPECT_LE(FalseAlarms(1000, 200, 10, 3, amount), 0.05);
    EXPECT_LE(FalseAlarms(300, 200, 100, 4, rate(0.1)), 0.05);
    // the same looks at a test that allows for one are another matter
    std::mt19937_64 random(5);
    int alarms = 0;
    for (int test = 0; test < 300; ++test) {
        double hits[2] = {0, 0};
        for (int look = 1; look <= 200; ++look) {
            for (int i = 0; i < 20; ++i)
                hits[i % 2] += rate(0.5)(random);
            const double n = look * 10;
            if (look > 3 &&
                FixedPValue(DifferenceOf(RateStatistics(hits[0], n), RateStatistics(hits[1], n))) < 0.05) {
                ++alarms;
                break;
            }
        }
    }
    EXPECT_GT(alarms, 90);
}

}  // namespace
}  // namespace dlent
