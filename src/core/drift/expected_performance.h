#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"

namespace dlent {

/// Isotonic regression of outcomes on scores (pool adjacent violators), thinned to at most `max_knots` knots:
/// a score becomes the rate that was observed near it, linearly between knots.
class IsotonicCalibrator {
 public:
    static IsotonicCalibrator Fit(std::span<const float> scores, std::span<const int32_t> labels,
                                  size_t max_knots = 64);
    double operator()(double score) const;
    bool empty() const { return knots_.empty(); }

    Json ToJson() const;
    static Expected<IsotonicCalibrator> FromJson(const Json& json);

 private:
    struct Knot {
        double score;
        double rate;
    };
    std::vector<Knot> knots_;
};

/// A calibrator, or none where calibrating does not lower the expected calibration error: it is fitted on
/// half of the rows (every other one by order) and judged on the others, then fitted on all (NannyML's rule).
std::optional<IsotonicCalibrator> CalibrateIfBetter(std::span<const float> scores,
                                                    std::span<const int32_t> labels);

/// What metrics would be expected of calibrated probabilities without any outcome (NannyML's CBPE): a row
/// that is predicted positive adds p true and 1 − p false positives, and so on. Holds while what the features
/// say of the outcome has not changed.
struct ExpectedPerformance {
    double rows = 0.0;
    double accuracy = 0.0;
    double precision = 0.0;  ///< NaN when nothing is predicted positive
    double recall = 0.0;
    double f1 = 0.0;
    double roc_auc = 0.0;  ///< NaN without both classes
    double positive_rate = 0.0;
    double accuracy_variance = 0.0;  ///< of one row's being right, for an interval
};
/// `scores` decide the order and, at `threshold`, the label; `probabilities` are the same calibrated.
ExpectedPerformance EstimatePerformance(std::span<const double> scores, std::span<const double> probabilities,
                                        double threshold = 0.5);

}  // namespace dlent
