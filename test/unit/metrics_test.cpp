#include "core/metrics/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/random.h"
#include "testing.h"

namespace dlent {
namespace {

// The expected numbers are scikit-learn 1.2's on the same rows, computed once; the function is named beside
// each. The inputs are exact in binary, so only the order of summation differs.
constexpr double kTolerance = 1e-12;

std::vector<float> ThirtySeconds(const std::vector<int>& numbers) {
    std::vector<float> values;
    for (const int number : numbers)
        values.push_back(static_cast<float>(number) / 32.0f);
    return values;
}

// ---- binary ----

/// 16 rows with three groups of tied scores, in both classes.
const std::vector<int32_t> kLabels = {1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0};
const std::vector<float> kScores = ThirtySeconds({29, 3, 16, 24, 16, 8, 31, 24, 5, 1, 12, 16, 20, 8, 27, 2});
const std::vector<float> kWeights = {1, 2, 0.5f, 1, 3, 1, 1, 0.25f, 2, 1, 1, 1.5f, 1, 1, 4, 1};

TEST(BinaryMetrics, AreScikitLearns) {
    const BinaryReport report = EvaluateBinary(kScores, kLabels);
    EXPECT_EQ(report.rows, 16u);
    EXPECT_EQ(report.positive_rate, 0.4375);
    EXPECT_NEAR(*report.roc_auc, 0.8174603174603174, kTolerance);                   // roc_auc_score
    EXPECT_NEAR(*report.average_precision, 0.81025641025641, kTolerance);           // average_precision_score
    EXPECT_NEAR(report.log_loss, 0.5081705058104244, kTolerance);                   // log_loss(eps=1e-7)
    EXPECT_NEAR(report.brier_score, 0.1744384765625, kTolerance);                   // brier_score_loss
    EXPECT_NEAR(report.accuracy, 0.75, kTolerance);                                 // accuracy_score
    EXPECT_NEAR(*report.balanced_accuracy, 0.7619047619047619, kTolerance);         // balanced_accuracy_score
    EXPECT_NEAR(*report.at_threshold.precision(), 0.6666666666666666, kTolerance);  // precision_score
    EXPECT_NEAR(*report.at_threshold.recall(), 0.8571428571428571, kTolerance);     // recall_score
    EXPECT_NEAR(report.at_threshold.f1(), 0.75, kTolerance);                        // f1_score
    EXPECT_NEAR(report.matthews_corrcoef, 0.5238095238095238, kTolerance);          // matthews_corrcoef
    EXPECT_EQ(report.at_threshold.true_negatives, 6);                               // confusion_matrix
    EXPECT_EQ(report.at_threshold.false_positives, 3);
    EXPECT_EQ(report.at_threshold.false_negatives, 1);
    EXPECT_EQ(report.at_threshold.true_positives, 6);
    EXPECT_NEAR(*report.ks, 0.5238095238095237, kTolerance);  // max of tpr − fpr of roc_curve
    EXPECT_NEAR(report.best_f1.f1(), 0.75, kTolerance);       // max of F1 over precision_recall_curve
    EXPECT_NEAR(report.ece, 0.23828125, kTolerance);          // over the bins of calibration_curve
    EXPECT_EQ(RocAuc(kScores, kLabels), report.roc_auc);
    EXPECT_EQ(AveragePrecision(kScores, kLabels), report.average_precision);
}

TEST(BinaryMetrics, WeightsAreSampleWeights) {
    const BinaryReport report = EvaluateBinary(kScores, kLabels, kWeights);
    EXPECT_NEAR(report.positive_rate, 0.4943820224719101, kTolerance);
    EXPECT_NEAR(*report.roc_auc, 0.8373737373737373, kTolerance);
    EXPECT_NEAR(*report.average_precision, 0.8663170235883492, kTolerance);
    EXPECT_NEAR(report.log_loss, 0.4917634542387342, kTolerance);
    EXPECT_NEAR(report.brier_score, 0.16463307584269662, kTolerance);
    EXPECT_NEAR(report.accuracy, 0.7191011235955056, kTolerance);
    EXPECT_NEAR(*report.balanced_accuracy, 0.7202020202020203, kTolerance);
    EXPECT_NEAR(*report.at_threshold.precision(), 0.6792452830188679, kTolerance);
    EXPECT_NEAR(*report.at_threshold.recall(), 0.8181818181818182, kTolerance);
    EXPECT_NEAR(report.at_threshold.f1(), 0.7422680412371134, kTolerance);
    EXPECT_NEAR(report.matthews_corrcoef, 0.44863660409362965, kTolerance);
    EXPECT_EQ(report.at_threshold.true_negatives, 7);
    EXPECT_EQ(report.at_threshold.false_positives, 4.25);
    EXPECT_EQ(report.at_threshold.false_negatives, 2);
    EXPECT_EQ(report.at_threshold.true_positives, 9);
    EXPECT_NEAR(*report.ks, 0.6141414141414141, kTolerance);
    EXPECT_NEAR(report.best_f1.f1(), 0.7671232876712328, kTolerance);
    EXPECT_EQ(report.best_f1.threshold, 0.75);
    EXPECT_NEAR(report.ece, 0.21488764044943826, kTolerance);
}

TEST(BinaryMetrics, WeightsOfTwoAreRowsTwice) {
    std::vector<float> scores = kScores;
    std::vector<int32_t> labels = kLabels;
    std::vector<float> weights(kScores.size(), 1.0f);
    for (size_t row = 0; row < kScores.size(); row += 3) {
        scores.push_back(kScores[row]);
        labels.push_back(kLabels[row]);
        weights[row] = 2.0f;
    }
    const BinaryReport repeated = EvaluateBinary(scores, labels);
    const BinaryReport weighted = EvaluateBinary(kScores, kLabels, weights);
    EXPECT_NEAR(*repeated.roc_auc, *weighted.roc_auc, kTolerance);
    EXPECT_NEAR(*repeated.average_precision, *weighted.average_precision, kTolerance);
    EXPECT_NEAR(repeated.log_loss, weighted.log_loss, kTolerance);
    EXPECT_NEAR(repeated.ece, weighted.ece, kTolerance);
}

TEST(BinaryMetrics, CalibrationBinsAreScikitLearns) {
    // calibration_curve(n_bins=15)
    const std::vector<double> predicted = {0.046875, 0.09375, 0.15625, 0.25,    0.375,  0.5,
                                           0.625,    0.75,    0.84375, 0.90625, 0.96875};
    const std::vector<double> observed = {0, 0, 1, 0, 0, 0.6666666666666666, 0, 0.5, 1, 1, 1};
    const BinaryReport report = EvaluateBinary(kScores, kLabels);
    ASSERT_EQ(report.calibration.size(), predicted.size());
    double weight = 0.0;
    for (size_t i = 0; i < predicted.size(); ++i) {
        EXPECT_NEAR(report.calibration[i].mean_predicted, predicted[i], kTolerance);
        EXPECT_NEAR(report.calibration[i].observed_rate, observed[i], kTolerance);
        weight += report.calibration[i].weight;
    }
    EXPECT_EQ(weight, 16.0);
}

TEST(BinaryMetrics, AScoreAtTheThresholdIsPositive) {
    const BinaryReport report = EvaluateBinary(kScores, kLabels, {}, 0.75);
    EXPECT_EQ(report.threshold, 0.75);
    EXPECT_EQ(report.at_threshold.true_positives, 4);  // 29, 24, 31, 27
    EXPECT_EQ(report.at_threshold.false_positives, 1);
    ASSERT_EQ(report.thresholds.size(), 101u);
    EXPECT_EQ(report.thresholds[75].true_positives, 4);
    EXPECT_EQ(report.thresholds[76].true_positives, 3);
    EXPECT_EQ(report.thresholds[0].false_positives, 9);
    EXPECT_EQ(report.thresholds[0].true_negatives, 0);
    EXPECT_EQ(report.thresholds[100].true_positives + report.thresholds[100].false_positives, 0);
    EXPECT_FALSE(report.thresholds[100].precision());
    for (size_t i = 0; i < report.thresholds.size(); ++i)
        EXPECT_DOUBLE_EQ(report.thresholds[i].threshold, static_cast<double>(i) / 100.0);
}

TEST(BinaryMetrics, CertaintyThatIsWrongCostsAFiniteLogLoss) {
    const std::vector<float> scores = {0, 1, 1};
    const std::vector<int32_t> labels = {1, 0, 1};
    // log_loss(eps=1e-7)
    EXPECT_NEAR(EvaluateBinary(scores, labels).log_loss, 10.745397134147668, 1e-9);
}

TEST(BinaryMetrics, AllScoresTiedRankNothing) {
    const std::vector<float> scores(16, 0.3f);
    const BinaryReport report = EvaluateBinary(scores, kLabels);
    EXPECT_EQ(*report.roc_auc, 0.5);
    EXPECT_EQ(*report.average_precision, 0.4375);
    EXPECT_EQ(*report.ks, 0.0);
    EXPECT_EQ(report.matthews_corrcoef, 0.0);
    EXPECT_EQ(report.at_threshold.f1(), 0.0);
    EXPECT_FALSE(report.at_threshold.precision());
}

TEST(BinaryMetrics, PerfectAndReversedRankings) {
    const std::vector<float> scores = {0.1f, 0.2f, 0.8f, 0.9f};
    EXPECT_EQ(*RocAuc(scores, std::vector<int32_t>{0, 0, 1, 1}), 1.0);
    EXPECT_EQ(*AveragePrecision(scores, std::vector<int32_t>{0, 0, 1, 1}), 1.0);
    EXPECT_EQ(*RocAuc(scores, std::vector<int32_t>{1, 1, 0, 0}), 0.0);
    EXPECT_EQ(EvaluateBinary(scores, std::vector<int32_t>{1, 1, 0, 0}).matthews_corrcoef, -1.0);
}

TEST(BinaryMetrics, WhatOneClassLeavesUndefinedIsAbsent) {
    for (const int32_t label : {0, 1}) {
        const std::vector<int32_t> labels(16, label);
        const BinaryReport report = EvaluateBinary(kScores, labels);
        EXPECT_FALSE(report.roc_auc || report.balanced_accuracy || report.ks) << label;
        EXPECT_EQ(report.average_precision.has_value(), label == 1);
        EXPECT_EQ(report.at_threshold.recall().has_value(), label == 1);
        EXPECT_EQ(report.matthews_corrcoef, 0.0);
        const Json json = ToJson(report);
        EXPECT_FALSE(json.contains("roc_auc") || json.contains("ks") || json.contains("balanced_accuracy"));
        EXPECT_EQ(json.dump().find("null"), std::string::npos);
    }
}

TEST(BinaryMetrics, NoRowsAndNoWeightGiveNoMetrics) {
    EXPECT_FALSE(RocAuc({}, {}));
    EXPECT_FALSE(AveragePrecision({}, {}));
    const BinaryReport none = EvaluateBinary({}, {});
    EXPECT_EQ(none.rows, 0u);
    EXPECT_EQ(ToJson(none), Json({{"rows", 0}}));
    const BinaryReport weightless = EvaluateBinary(kScores, kLabels, std::vector<float>(16, 0.0f));
    EXPECT_FALSE(weightless.roc_auc || weightless.average_precision || weightless.ks);
    EXPECT_EQ(ToJson(weightless).dump().find("null"), std::string::npos);
}

TEST(BinaryMetrics, NanRanksBelowAllScores) {
    std::vector<float> scores = kScores;
    std::vector<float> lowest = kScores;
    for (const size_t row : {4u, 7u, 10u, 12u}) {  // negatives
        scores[row] = kNanFloat;
        lowest[row] = 0.0f;
    }
    EXPECT_EQ(RocAuc(scores, kLabels), RocAuc(lowest, kLabels));
    const BinaryReport report = EvaluateBinary(scores, kLabels);
    EXPECT_EQ(report.accuracy, EvaluateBinary(lowest, kLabels).accuracy);
    EXPECT_TRUE(std::isnan(report.log_loss));
}

TEST(BinaryMetrics, CurvesAreThinnedToTheirEnds) {
    RandomStream random(3);
    std::vector<float> scores(5000);
    std::vector<int32_t> labels(5000);
    for (size_t row = 0; row < scores.size(); ++row) {
        scores[row] = random.NextFloat();
        labels[row] = random.NextFloat() < scores[row];
    }
    const BinaryReport report = EvaluateBinary(scores, labels);
    ASSERT_EQ(report.roc_curve.size(), 200u);
    ASSERT_EQ(report.pr_curve.size(), 200u);
    EXPECT_EQ(report.roc_curve.back().x, 1.0);
    EXPECT_EQ(report.roc_curve.back().y, 1.0);
    EXPECT_EQ(report.pr_curve.back().x, 1.0);
    EXPECT_NEAR(report.pr_curve.back().y, report.positive_rate, kTolerance);
    for (size_t i = 1; i < 200; ++i) {
        EXPECT_GE(report.roc_curve[i].x, report.roc_curve[i - 1].x);
        EXPECT_GE(report.roc_curve[i].y, report.roc_curve[i - 1].y);
        EXPECT_GE(report.pr_curve[i].x, report.pr_curve[i - 1].x);
    }
}

// ---- multi-class ----

const std::vector<std::string> kNames = {"a", "b", "c", "d"};
const std::vector<int32_t> kClasses = {0, 1, 2, 3, 1, 0, 2, 2, 1, 3, 0, 1};
const std::vector<float> kProbabilities =
    ThirtySeconds({16, 8,  6, 2, 4, 20, 5,  3, 9, 4,  16, 3, 1,  6, 10, 15, 14, 10, 5,  3, 20, 5, 4,  3,
                   2,  18, 8, 4, 3, 4,  19, 6, 1, 25, 4,  2, 10, 3, 12, 7,  5,  12, 11, 4, 11, 3, 10, 8});
const std::vector<float> kClassWeights = {1, 2, 1, 1, 0.5f, 1, 3, 1, 1, 2, 1, 1};

TEST(MulticlassMetrics, AreScikitLearns) {
    const MulticlassReport report = EvaluateMulticlass(kProbabilities, kClasses, kNames);
    EXPECT_EQ(report.rows, 12u);
    EXPECT_NEAR(report.accuracy, 0.5833333333333334, kTolerance);           // accuracy_score
    EXPECT_NEAR(report.balanced_accuracy, 0.5833333333333333, kTolerance);  // balanced_accuracy_score
    EXPECT_NEAR(report.log_loss, 1.0120697376700765, kTolerance);           // log_loss
    EXPECT_NEAR(report.f1_macro, 0.6011904761904762, kTolerance);           // f1_score(average="macro")
    EXPECT_NEAR(report.f1_weighted, 0.5873015873015873, kTolerance);        // f1_score(average="weighted")
    EXPECT_NEAR(*report.roc_auc_ovr, 0.8392071759259259, kTolerance);     // roc_auc_score(multi_class="ovr")
    EXPECT_NEAR(*report.top_3_accuracy, 0.9166666666666666, kTolerance);  // top_k_accuracy_score(k=3)
    EXPECT_EQ(report.confusion,
              (std::vector<std::vector<double>>{{2, 1, 0, 0}, {2, 2, 0, 0}, {0, 1, 2, 0}, {0, 0, 1, 1}}));
    // precision_recall_fscore_support
    const double precision[] = {0.5, 0.5, 0.6666666666666666, 1.0};
    const double recall[] = {0.6666666666666666, 0.5, 0.6666666666666666, 0.5};
    const double f1[] = {0.5714285714285715, 0.5, 0.6666666666666666, 0.6666666666666666};
    ASSERT_EQ(report.classes.size(), 4u);
    for (size_t c = 0; c < 4; ++c) {
        EXPECT_EQ(report.classes[c].label, kNames[c]);
        EXPECT_NEAR(report.classes[c].precision, precision[c], kTolerance);
        EXPECT_NEAR(report.classes[c].recall, recall[c], kTolerance);
        EXPECT_NEAR(report.classes[c].f1, f1[c], kTolerance);
    }
    EXPECT_EQ(report.classes[1].support, 4.0);
}

TEST(MulticlassMetrics, WeightsAreSampleWeights) {
    const MulticlassReport report = EvaluateMulticlass(kProbabilities, kClasses, kNames, kClassWeights);
    EXPECT_NEAR(report.accuracy, 0.5161290322580645, kTolerance);
    EXPECT_NEAR(report.balanced_accuracy, 0.5166666666666667, kTolerance);
    EXPECT_NEAR(report.log_loss, 1.0532696485398716, kTolerance);
    EXPECT_NEAR(report.f1_macro, 0.5203920475659606, kTolerance);
    EXPECT_NEAR(report.f1_weighted, 0.5107227196988767, kTolerance);
    EXPECT_NEAR(*report.roc_auc_ovr, 0.8246320346320347, kTolerance);
    EXPECT_NEAR(*report.top_3_accuracy, 0.9354838709677419, kTolerance);
    EXPECT_EQ(report.confusion[1], (std::vector<double>{1.5, 3, 0, 0}));
    EXPECT_NEAR(report.classes[2].f1, 0.4444444444444445, kTolerance);
}

TEST(MulticlassMetrics, ClassesThatDoNotOccurDoNotCount) {
    // as scikit-learn without labels=: c is neither true nor predicted, b is predicted only
    const std::vector<float> probabilities = {0.7f, 0.2f, 0.1f, 0.2f, 0.7f, 0.1f, 0.9f, 0.1f, 0.0f};
    const std::vector<int32_t> actual = {0, 0, 0};
    const MulticlassReport report = EvaluateMulticlass(probabilities, actual, {"a", "b", "c"});
    EXPECT_NEAR(report.balanced_accuracy, 2.0 / 3.0, kTolerance);
    EXPECT_NEAR(report.f1_macro, 0.4, kTolerance);  // (0.8 + 0) / 2
    EXPECT_FALSE(report.roc_auc_ovr);
    EXPECT_FALSE(report.top_3_accuracy);  // of three classes it says nothing
}

TEST(MulticlassMetrics, TiesCountAgainstTopThree) {
    const std::vector<float> probabilities = {0.25f, 0.25f, 0.25f, 0.25f, 0.4f, 0.2f, 0.2f, 0.2f};
    const std::vector<int32_t> actual = {0, 0};
    EXPECT_EQ(*EvaluateMulticlass(probabilities, actual, kNames).top_3_accuracy, 0.5);
}

TEST(MulticlassMetrics, EdgesAreFinite) {
    EXPECT_EQ(ToJson(EvaluateMulticlass({}, {}, kNames)), Json({{"rows", 0}}));
    const std::vector<float> certain = {0, 0, 0, 1};
    const std::vector<int32_t> actual = {0};
    const MulticlassReport report = EvaluateMulticlass(certain, actual, kNames);
    EXPECT_NEAR(report.log_loss, -std::log(1e-7), 1e-9);
    EXPECT_EQ(ToJson(report).dump().find("null"), std::string::npos);
    const MulticlassReport weightless = EvaluateMulticlass(certain, actual, kNames, std::vector<float>{0.0f});
    EXPECT_EQ(ToJson(weightless).dump().find("null"), std::string::npos);
    const std::vector<float> broken(8, kNanFloat);
    EXPECT_FALSE(EvaluateMulticlass(broken, std::vector<int32_t>{0, 1}, kNames).confusion.empty());
}

// ---- regression ----

const std::vector<double> kActual = {3.0, -0.5, 2.0, 7.0, 1.5, -4.0, 10.0, 0.25, 6.0, -2.5, 8.0, 5.5};
const std::vector<double> kPredicted = {2.5, 0.5, 2.0, 8.0, 1.0, -5.5, 7.0, 0.75, 6.5, -2.0, 9.25, 5.0};
const std::vector<float> kRowWeights = {1, 2, 1, 0.5f, 1, 1, 3, 1, 1, 0.25f, 1, 2};

TEST(RegressionMetrics, AreScikitLearns) {
    const RegressionReport report = EvaluateRegression(kPredicted, kActual);
    EXPECT_EQ(report.rows, 12u);
    EXPECT_NEAR(report.rmse, 1.165922381636102, kTolerance);     // mean_squared_error(squared=False)
    EXPECT_NEAR(report.mae, 0.8958333333333334, kTolerance);     // mean_absolute_error
    EXPECT_NEAR(*report.r2, 0.9214072419763619, kTolerance);     // r2_score
    EXPECT_NEAR(*report.mape, 0.48736246392496385, kTolerance);  // mean_absolute_percentage_error
    EXPECT_NEAR(report.median_absolute_error, 0.5, kTolerance);  // median_absolute_error
    EXPECT_NEAR(report.max_error, 3.0, kTolerance);              // max_error
    EXPECT_NEAR(report.bias, -0.10416666666666667, kTolerance);
    // numpy.percentile of target − prediction
    const std::vector<double> quantiles = {-1.2225, -1.1125, -0.625, -0.25, 0.5, 2.175, 2.835};
    ASSERT_EQ(report.residual_quantiles.size(), quantiles.size());
    for (size_t i = 0; i < quantiles.size(); ++i)
        EXPECT_NEAR(report.residual_quantiles[i], quantiles[i], kTolerance);
    ASSERT_EQ(report.calibration.size(), 10u);
    EXPECT_EQ(report.calibration[0].mean_predicted, -5.5);
    EXPECT_EQ(report.calibration[0].observed_rate, -4.0);
}

TEST(RegressionMetrics, WeightsAreSampleWeights) {
    const RegressionReport report = EvaluateRegression(kPredicted, kActual, kRowWeights);
    EXPECT_NEAR(report.rmse, 1.5376627652580448, kTolerance);
    EXPECT_NEAR(report.mae, 1.1779661016949152, kTolerance);
    EXPECT_NEAR(*report.r2, 0.874255682404122, kTolerance);
    EXPECT_NEAR(*report.mape, 0.5639206838359381, kTolerance);
    EXPECT_NEAR(report.bias, -0.5169491525423728, kTolerance);
    EXPECT_NEAR(report.max_error, 3.0, kTolerance);
}

TEST(RegressionMetrics, WhatIsUndefinedIsAbsent) {
    EXPECT_EQ(ToJson(EvaluateRegression({}, {})), Json({{"rows", 0}}));
    const std::vector<double> zeros = {0.0, 0.0};
    const std::vector<double> predicted = {1.0, -2.0};
    const RegressionReport report = EvaluateRegression(predicted, zeros);
    EXPECT_FALSE(report.r2 || report.mape);
    EXPECT_NEAR(report.rmse, std::sqrt(2.5), kTolerance);
    const RegressionReport one = EvaluateRegression(std::vector<double>{3.0}, std::vector<double>{1.0});
    EXPECT_FALSE(one.r2);
    EXPECT_EQ(*one.mape, 2.0);
    EXPECT_EQ(one.residual_quantiles, std::vector<double>(7, -2.0));
    const RegressionReport weightless = EvaluateRegression(kPredicted, kActual, std::vector<float>(12, 0.0f));
    EXPECT_EQ(ToJson(weightless).dump().find("null"), std::string::npos);
    // a target of 0 is left out of the percentage error only
    const RegressionReport some =
        EvaluateRegression(std::vector<double>{1.0, 3.0}, std::vector<double>{0.0, 2.0});
    EXPECT_EQ(*some.mape, 0.5);
    EXPECT_EQ(some.mae, 1.0);
}

TEST(RegressionMetrics, NanSpoilsSumsOnly) {
    std::vector<double> predicted = kPredicted;
    for (const size_t row : {1u, 4u, 5u, 9u})
        predicted[row] = kNanFloat;
    const RegressionReport report = EvaluateRegression(predicted, kActual);
    EXPECT_TRUE(std::isnan(report.rmse));
    EXPECT_EQ(report.max_error, 3.0);
    EXPECT_EQ(report.calibration.size(), 10u);
}

}  // namespace
}  // namespace dlent
