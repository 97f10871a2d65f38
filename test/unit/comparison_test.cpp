#include "core/metrics/comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace dlent {
namespace {

/// Uniform in [0, 1), the same ones every time.
double Uniform(uint64_t i) {
    i = (i + 1) * 0x9E3779B97F4A7C15U;
    i = (i ^ (i >> 30)) * 0xBF58476D1CE4E5B9U;
    i = (i ^ (i >> 27)) * 0x94D049BB133111EBU;
    return static_cast<double>((i ^ (i >> 31)) >> 11) * 0x1p-53;
}

ScoredRows Regression(const std::vector<float>& answers, const std::vector<double>& values) {
    ScoredRows scored;
    scored.answers = answers;
    scored.values = values;
    return scored;
}

TEST(Comparison, KnowsWhichWayAMetricIsBetter) {
    EXPECT_EQ(MetricDirection("roc_auc"), 1);
    EXPECT_EQ(MetricDirection("rmse"), -1);
    EXPECT_EQ(MetricDirection("positive_rate"), 0);
    for (const Task task : {Task::kRegression, Task::kBinary, Task::kMulticlass}) {
        const std::vector<std::string> names = ComparableMetrics(task);
        EXPECT_NE(std::find(names.begin(), names.end(), DefaultMetric(task)), names.end());
        for (const std::string& name : names)
            EXPECT_NE(MetricDirection(name), 0) << name;
    }
}

TEST(Comparison, EveryMetricOfATaskIsReported) {
    const std::vector<std::string> labels = {"a", "b", "c", "d"};
    std::vector<float> binary, multiclass, numbers;
    std::vector<int32_t> two, four;
    std::vector<double> values;
    for (uint64_t i = 0; i < 200; ++i) {
        two.push_back(Uniform(i) < 0.5);
        four.push_back(static_cast<int32_t>(4 * Uniform(i)));
        binary.push_back(static_cast<float>(Uniform(i + 1000)));
        values.push_back(1.0 + Uniform(i));
        numbers.push_back(static_cast<float>(1.0 + Uniform(i + 1000)));
        for (uint64_t c = 0; c < 4; ++c)
            multiclass.push_back(static_cast<float>(0.1 + 0.15 * ((i + c) % 4)));
    }
    std::vector<uint32_t> rows(200);
    std::iota(rows.begin(), rows.end(), 0U);
    const ScoredRows all[] = {{Task::kRegression, {}, numbers, {}, values},
                              {Task::kBinary, {}, binary, two, {}},
                              {Task::kMulticlass, labels, multiclass, four, {}}};
    for (const ScoredRows& scored : all) {
        for (const std::string& metric : ComparableMetrics(scored.task))
            EXPECT_TRUE(MetricOf(scored, rows, metric).has_value()) << metric;
    }
    EXPECT_FALSE(MetricOf(all[0], {}, "rmse").has_value());
}

TEST(Comparison, RowsWeighWhatTheyWeigh) {
    // a weight of 2 is the row twice, a weight of 0 is no row
    const std::vector<std::string> labels = {"a", "b", "c"};
    std::vector<float> probabilities, many, numbers, weights;
    std::vector<int32_t> two, three;
    std::vector<double> values;
    std::vector<uint32_t> rows, repeated;
    for (uint32_t i = 0; i < 90; ++i) {
        two.push_back(Uniform(i) < 0.4);
        three.push_back(static_cast<int32_t>(3 * Uniform(i)));
        probabilities.push_back(static_cast<float>(0.3 * two.back() + 0.6 * Uniform(i + 1000)));
        values.push_back(Uniform(i));
        numbers.push_back(static_cast<float>(Uniform(i + 1000)));
        for (uint32_t c = 0; c < 3; ++c)
            many.push_back(static_cast<float>((1 + (i + c) % 3) / 6.0));
        weights.push_back(static_cast<float>(i % 3));
        rows.push_back(i);
        repeated.insert(repeated.end(), i % 3, i);
    }
    const ScoredRows all[] = {{Task::kRegression, {}, numbers, {}, values},
                              {Task::kBinary, {}, probabilities, two, {}},
                              {Task::kMulticlass, labels, many, three, {}}};
    for (ScoredRows scored : all) {
        const std::string metric = DefaultMetric(scored.task);
        const double expected = MetricOf(scored, repeated, metric).value();
        const double unweighted = MetricOf(scored, rows, metric).value();
        scored.weights = weights;
        EXPECT_NEAR(MetricOf(scored, rows, metric).value(), expected, 1e-9) << metric;
        EXPECT_GT(std::abs(unweighted - expected), 1e-4) << metric;
        const MetricComparison same = CompareModels(scored, scored, metric);
        EXPECT_NEAR(same.first.value(), expected, 1e-9) << metric;
    }
    ScoredRows scored = all[0];
    scored.weights = weights;
    double sum = 0.0;
    for (const uint32_t row : repeated)
        sum += values[row];
    EXPECT_NEAR(ConstantAnswers(scored).front(), sum / static_cast<double>(repeated.size()), 1e-6);
}

TEST(Comparison, TheErrorOfAGainIsThatOfItsSpread) {
    // the mean absolute error is a mean: its gain has the standard error of the mean of the rows' gains
    constexpr size_t kRows = 4000;
    std::vector<double> values(kRows, 0.0);
    std::vector<float> first(kRows), second(kRows);
    double sum = 0.0;
    double squares = 0.0;
    for (size_t i = 0; i < kRows; ++i) {
        first[i] = static_cast<float>(Uniform(i));
        second[i] = static_cast<float>(Uniform(i + kRows) + 0.02);
        const double gain = static_cast<double>(second[i]) - first[i];
        sum += gain;
        squares += gain * gain;
    }
    const double mean = sum / kRows;
    const double error = std::sqrt((squares / kRows - mean * mean) / kRows);
    const MetricComparison comparison =
        CompareModels(Regression(first, values), Regression(second, values), "mae");
    EXPECT_NEAR(comparison.gain, mean, 1e-6);
    EXPECT_NEAR(comparison.standard_error / error, 1.0, 0.4);
    EXPECT_EQ(comparison.rows, kRows);
}

TEST(Comparison, ModelsThatAreAlikeSeldomSeemBetter) {
    constexpr int kTrials = 400;
    constexpr size_t kRows = 300;
    int better = 0;
    for (uint64_t trial = 0; trial < kTrials; ++trial) {
        std::vector<int32_t> classes(kRows);
        std::vector<float> first(kRows), second(kRows);
        for (uint64_t i = 0; i < kRows; ++i) {
            const uint64_t at = (trial * kRows + i) * 4;
            classes[i] = Uniform(at) < 0.3;
            first[i] = static_cast<float>(0.5 * Uniform(at + 1) + 0.2 * classes[i]);
            second[i] = static_cast<float>(0.5 * Uniform(at + 2) + 0.2 * classes[i]);
        }
        const MetricComparison comparison = CompareModels(
            {Task::kBinary, {}, first, classes, {}}, {Task::kBinary, {}, second, classes, {}}, "roc_auc");
        better += comparison.Better(0.0, 0.95);
    }
    EXPECT_LT(better, 0.08 * kTrials);  // 5 % are asked for
    EXPECT_GT(better, 0.02 * kTrials);
}

TEST(Comparison, ABetterModelIsBetter) {
    constexpr size_t kRows = 500;
    std::vector<int32_t> classes(kRows);
    std::vector<float> first(kRows), second(kRows);
    for (uint64_t i = 0; i < kRows; ++i) {
        classes[i] = Uniform(i) < 0.4;
        first[i] = static_cast<float>(0.4 * Uniform(i + 1000) + 0.4 * classes[i]);
        second[i] = static_cast<float>(Uniform(i + 2000));
    }
    const ScoredRows good{Task::kBinary, {}, first, classes, {}};
    const ScoredRows bad{Task::kBinary, {}, second, classes, {}};
    EXPECT_TRUE(CompareModels(good, bad, "roc_auc").Better(0.1, 0.95));
    EXPECT_FALSE(CompareModels(good, bad, "roc_auc").Better(0.9, 0.95));
    EXPECT_FALSE(CompareModels(bad, good, "roc_auc").Better(0.0, 0.95));
    EXPECT_TRUE(CompareModels(good, bad, "brier_score").Better(0.0, 0.95));
    const MetricComparison same = CompareModels(good, good, "roc_auc");
    EXPECT_EQ(same.standard_error, 0.0);
    EXPECT_EQ(same.p_value, 1.0);
    EXPECT_FALSE(same.Better(0.0, 0.95));

    const std::vector<float> constant = ConstantAnswers(good);
    EXPECT_EQ(constant.size(), kRows);
    ScoredRows ignorant = good;
    ignorant.answers = constant;
    EXPECT_EQ(CompareModels(good, ignorant, "roc_auc").second, 0.5);
    EXPECT_TRUE(CompareModels(good, ignorant, "log_loss").Better(0.0, 0.95));
}

TEST(Comparison, WhatHangsOnAFewRowsIsNotJudged) {
    std::vector<int32_t> classes(100, 0);
    classes[7] = 1;
    std::vector<float> first(100, 0.1F);
    first[7] = 0.9F;
    const std::vector<float> second(100, 0.1F);
    const MetricComparison comparison = CompareModels({Task::kBinary, {}, first, classes, {}},
                                                      {Task::kBinary, {}, second, classes, {}}, "roc_auc");
    EXPECT_EQ(comparison.gain, 0.5);
    EXPECT_EQ(comparison.p_value, 1.0);
}

TEST(Comparison, ConstantAnswersFollowTheOutcomes) {
    const std::vector<std::string> labels = {"a", "b"};
    const std::vector<int32_t> classes = {0, 1, 1, 1};
    const ScoredRows multiclass{Task::kMulticlass, labels, {}, classes, {}};
    EXPECT_EQ(ConstantAnswers(multiclass),
              (std::vector<float>{0.25F, 0.75F, 0.25F, 0.75F, 0.25F, 0.75F, 0.25F, 0.75F}));
    const std::vector<double> values = {1.0, 3.0};
    EXPECT_EQ(ConstantAnswers(Regression({}, values)), (std::vector<float>{2.0F, 2.0F}));
}

}  // namespace
}  // namespace dlent
