#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace dlent {

// All metrics have scikit-learn's names and definitions, count in double, and take optional row weights
// (empty span: all 1). A metric that is undefined for the rows at hand (one class only, no rows) is absent,
// never NaN. A prediction that is NaN, of a network whose sums overflow, ranks below all others and makes the
// sums that it enters NaN.

/// A log-loss takes no probability for smaller than this, nor for nearer to 1.
inline constexpr double kSmallestProbability = 1e-7;

std::optional<double> RocAuc(std::span<const float> scores, std::span<const int32_t> labels,
                             std::span<const float> weights = {});
/// The step-wise sum Σ (R_n − R_{n−1}) P_n over distinct scores.
std::optional<double> AveragePrecision(std::span<const float> scores, std::span<const int32_t> labels,
                                       std::span<const float> weights = {});

/// Counts at one threshold: predicted positive when score ≥ threshold.
struct ThresholdCounts {
    double threshold = 0.0;
    double true_positives = 0.0;
    double false_positives = 0.0;
    double true_negatives = 0.0;
    double false_negatives = 0.0;

    std::optional<double> precision() const;
    std::optional<double> recall() const;
    std::optional<double> false_positive_rate() const;
    double f1() const;  ///< 0 when nothing is predicted or true
};

struct CalibrationBin {
    double mean_predicted = 0.0;
    double observed_rate = 0.0;  ///< of positives, or the mean target
    double weight = 0.0;
};

struct CurvePoint {
    double x = 0.0;
    double y = 0.0;
};

struct BinaryReport {
    uint64_t rows = 0;
    double positive_rate = 0.0;
    std::optional<double> roc_auc;
    std::optional<double> average_precision;
    double log_loss = 0.0;  ///< probabilities clipped to [1e-7, 1 − 1e-7], the float32 resolution
    double brier_score = 0.0;
    double ece = 0.0;  ///< expected calibration error over 15 bins of equal width
    std::optional<double> ks;
    double threshold = 0.5;
    ThresholdCounts at_threshold;
    double accuracy = 0.0;
    std::optional<double> balanced_accuracy;
    double matthews_corrcoef = 0.0;
    ThresholdCounts best_f1;
    std::vector<CalibrationBin> calibration;
    std::vector<ThresholdCounts> thresholds;  ///< 0.00, 0.01, ... 1.00
    std::vector<CurvePoint> roc_curve;  ///< (false positive rate, true positive rate), at most 200 points
    std::vector<CurvePoint> pr_curve;   ///< (recall, precision), at most 200 points
};

/// `probabilities` of the positive class; `labels` 0 or 1.
BinaryReport EvaluateBinary(std::span<const float> probabilities, std::span<const int32_t> labels,
                            std::span<const float> weights = {}, double threshold = 0.5);
Json ToJson(const BinaryReport& report);

struct ClassReport {
    std::string label;
    double precision = 0.0;
    double recall = 0.0;
    double f1 = 0.0;
    double support = 0.0;
};

struct MulticlassReport {
    uint64_t rows = 0;
    double accuracy = 0.0;
    double balanced_accuracy = 0.0;  ///< mean recall over the classes that occur
    double log_loss = 0.0;
    double f1_macro = 0.0;
    double f1_weighted = 0.0;
    std::optional<double>
        roc_auc_ovr;  ///< macro average over the classes that occur and are missed by some row
    std::optional<double> top_3_accuracy;  ///< with more than three classes
    std::vector<ClassReport> classes;
    std::vector<std::vector<double>> confusion;  ///< [actual][predicted]
};

/// `probabilities` [rows × labels.size()]; `actual` class numbers.
MulticlassReport EvaluateMulticlass(std::span<const float> probabilities, std::span<const int32_t> actual,
                                    const std::vector<std::string>& labels,
                                    std::span<const float> weights = {});
Json ToJson(const MulticlassReport& report);

struct RegressionReport {
    uint64_t rows = 0;
    double rmse = 0.0;
    double mae = 0.0;
    std::optional<double> r2;
    std::optional<double> mape;  ///< over rows whose target is not 0
    double median_absolute_error = 0.0;
    double max_error = 0.0;
    double bias = 0.0;  ///< mean of prediction − target
    std::vector<double>
        residual_quantiles;  ///< of target − prediction at 1, 5, 25, 50, 75, 95, 99 %, unweighted
    std::vector<CalibrationBin> calibration;  ///< tenths of the rows by prediction
};

RegressionReport EvaluateRegression(std::span<const double> predicted, std::span<const double> actual,
                                    std::span<const float> weights = {});
Json ToJson(const RegressionReport& report);

}  // namespace dlent
