#include "core/train/calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/random.h"
#include "core/train/rough_log_loss.h"
#include "testing.h"

namespace dlent {
namespace {

/// Labels drawn from softmax(z) (or the logistic function), logits z · temperature.
struct Synthetic {
    std::vector<float> logits;
    std::vector<float> targets;
    std::vector<int32_t> labels;
    LabelledLogits view;

    Synthetic(size_t rows, int outputs, int members, float temperature) {
        RandomStream random(42, static_cast<uint64_t>(outputs));
        for (size_t row = 0; row < rows; ++row) {
            std::vector<float> z(static_cast<size_t>(outputs));
            double sum = outputs == 1 ? 1.0 : 0.0;
            for (float& value : z) {
                value = 2.0f * random.Normal();
                sum += std::exp(value);
            }
            double u = random.NextFloat() * sum;
            int label = 0;
            while (label + 1 < outputs && (u -= std::exp(z[label])) > 0.0) {
                ++label;
            }
            labels.push_back(label);
            targets.push_back(u < std::exp(z[0]) ? 1.0f : 0.0f);
            for (int member = 0; member < members; ++member) {
                for (const float value : z) {
                    logits.push_back(value * temperature);
                }
            }
        }
        view.rows = rows;
        view.outputs = outputs;
        view.members = members;
        view.logits = logits.data();
        view.targets = outputs == 1 ? targets.data() : nullptr;
        view.labels = outputs == 1 ? nullptr : labels.data();
    }
};

TEST(Calibration, RecoversTheTemperature) {
    for (const int outputs : {1, 4}) {
        for (const int members : {1, 3}) {
            for (const float temperature : {0.4f, 1.0f, 3.5f}) {
                const Synthetic data(20000, outputs, members, temperature);
                const Expected<double> fitted = FitTemperature(data.view, NeverCancelled());
                ASSERT_TRUE(fitted.ok());
                EXPECT_NEAR(*fitted / temperature, 1.0, 0.05)
                    << outputs << " outputs, " << members << " members";
            }
        }
    }
}

TEST(Calibration, LogLossOfKnownNumbers) {
    const float logits[] = {0.0f, std::log(3.0f)};
    const float targets[] = {1.0f, 0.0f};
    LabelledLogits data;
    data.rows = 2;
    data.logits = logits;
    data.targets = targets;
    EXPECT_NEAR(LogLoss(data, 1.0), 0.5 * (std::log(2.0) + std::log(4.0)), 1e-7);
    const float weights[] = {3.0f, 1.0f};
    data.row_weights = weights;
    EXPECT_NEAR(LogLoss(data, 1.0), 0.25 * (3 * std::log(2.0) + std::log(4.0)), 1e-7);
    const float class_weights[] = {3.0f, 1.0f};
    data.class_weights = class_weights;
    EXPECT_NEAR(LogLoss(data, 1.0), 0.5 * (std::log(2.0) + std::log(4.0)), 1e-7);

    // One row of two members: the probabilities 1/2 and 3/4 are averaged, not the logits.
    LabelledLogits ensemble;
    ensemble.rows = 1;
    ensemble.members = 2;
    ensemble.logits = logits;
    ensemble.targets = targets;
    EXPECT_NEAR(LogLoss(ensemble, 1.0), -std::log(0.625), 1e-7);

    // Two outputs say the same as one.
    const float pair[] = {0.0f, 0.0f, 0.0f, std::log(3.0f)};
    const int32_t labels[] = {1, 0};
    LabelledLogits softmax;
    softmax.rows = 2;
    softmax.outputs = 2;
    softmax.logits = pair;
    softmax.labels = labels;
    EXPECT_NEAR(LogLoss(softmax, 1.0), 0.5 * (std::log(2.0) + std::log(4.0)), 1e-7);
    EXPECT_NEAR(LogLoss(softmax, 1.0, 0.5),
                0.5 * (std::log(2.0) - 0.75 * std::log(0.25) - 0.25 * std::log(0.75)), 1e-7);
}

TEST(Calibration, ExtremeLogitsDoNotOverflow) {
    const float logits[] = {1e30f, -1e30f};
    const float targets[] = {1.0f, 0.0f};
    LabelledLogits data;
    data.rows = 2;
    data.logits = logits;
    data.targets = targets;
    EXPECT_EQ(LogLoss(data, 1.0), 0.0);
    EXPECT_TRUE(std::isfinite(LogLoss(data, 1.0, 0.1)));
    EXPECT_TRUE(FitTemperature(data, NeverCancelled()).ok());
}

TEST(Calibration, IsBoundedOnSeparableAndTinyData) {
    const float logits[] = {2.0f, 3.0f, -2.0f, -1.0f};
    const float targets[] = {1.0f, 1.0f, 0.0f, 0.0f};
    LabelledLogits data;
    data.rows = 4;
    data.logits = logits;
    data.targets = targets;
    const Expected<double> separable = FitTemperature(data, NeverCancelled());
    ASSERT_TRUE(separable.ok());
    // Smoothing keeps the confidence of four rows near 1 − 1/10, far from the bound of 0.05.
    EXPECT_GT(*separable, 0.3);
    EXPECT_LT(*separable, 2.0);
    data.rows = 0;
    EXPECT_EQ(*FitTemperature(data, NeverCancelled()), 1.0);
}

TEST(Calibration, BestTemperatureForgivesOverConfidence) {
    const Synthetic calm(5000, 1, 1, 1.0f);
    const Synthetic confident(5000, 1, 1, 5.0f);
    const double calm_loss = *BestTemperatureLogLoss(calm.view, NeverCancelled());
    const double confident_loss = *BestTemperatureLogLoss(confident.view, NeverCancelled());
    EXPECT_GT(LogLoss(confident.view, 1.0), 1.5 * LogLoss(calm.view, 1.0));
    EXPECT_NEAR(confident_loss, calm_loss, 0.005);
    EXPECT_LE(calm_loss, LogLoss(calm.view, 1.0) + 0.001);
}

/// The smallest loss of the grid, from every one of them.
double SmallestOfAll(const LabelledLogits& data) {
    double smallest = std::numeric_limits<double>::infinity();
    for (int i = 0; i < TemperatureGrid::kCount; ++i) {
        smallest = std::min(smallest, LogLoss(data, TemperatureGrid::Inverse(i)));
    }
    return smallest;
}

/// Whether rough losses are as close as they say, where they say anything.
void ExpectCloseRoughLosses(const LabelledLogits& data, bool can_tell) {
    const Expected<GridLosses> rough = RoughLogLosses(data, NeverCancelled());
    ASSERT_TRUE(rough.ok());
    for (int i = 0; i < TemperatureGrid::kCount; ++i) {
        ASSERT_EQ(std::isfinite((*rough)[i]), can_tell);
        if (can_tell) {
            const double loss = LogLoss(data, TemperatureGrid::Inverse(i));
            EXPECT_NEAR((*rough)[i], loss, 0.1 * RoughError(loss));
        }
    }
}

TEST(Calibration, BestTemperatureLogLossIsTheSmallestToTheLastBit) {
    for (const int outputs : {1, 2, 5}) {
        for (const int members : {1, 3, 32}) {
            // temperatures whose best inverse lies within the grid and beyond its ends, and those that all do
            // as well
            for (const float temperature : {0.0f, 0.3f, 1.7f, 20.0f}) {
                for (const size_t rows : {1, 16, 203}) {
                    Synthetic data(rows, outputs, members, temperature);
                    EXPECT_EQ(*BestTemperatureLogLoss(data.view, NeverCancelled()), SmallestOfAll(data.view));
                    ExpectCloseRoughLosses(data.view, true);
                }
            }
        }
    }
}

TEST(Calibration, BestTemperatureLogLossCountsWeights) {
    for (const int outputs : {1, 3}) {
        Synthetic data(500, outputs, 2, 1.5f);
        std::vector<float> weights;
        for (size_t row = 0; row < data.view.rows; ++row) {
            weights.push_back(static_cast<float>(row % 7) * 1e3f);
        }
        const std::vector<float> class_weights = {0.25f, 4.0f, 1e-3f};
        data.view.row_weights = weights.data();
        data.view.class_weights = class_weights.data();
        EXPECT_EQ(*BestTemperatureLogLoss(data.view, NeverCancelled()), SmallestOfAll(data.view));
        ExpectCloseRoughLosses(data.view, true);
        std::fill(weights.begin(), weights.end(), 0.0f);
        EXPECT_EQ(*BestTemperatureLogLoss(data.view, NeverCancelled()), 0.0);
        ExpectCloseRoughLosses(data.view, false);
    }
}

TEST(Calibration, BestTemperatureLogLossOfExtremeLogits) {
    for (const int outputs : {1, 3}) {
        for (const float extreme : {250.0f, 251.0f, 1e30f, std::numeric_limits<float>::infinity()}) {
            for (const float sign : {-1.0f, 1.0f}) {
                Synthetic data(40, outputs, 1, 1.0f);
                data.logits[20] = sign * extreme;
                const double best = *BestTemperatureLogLoss(data.view, NeverCancelled());
                if (!std::isnan(LogLoss(data.view, 1.0))) {
                    EXPECT_EQ(best, SmallestOfAll(data.view)) << outputs << " outputs, " << sign * extreme;
                } else {
                    EXPECT_TRUE(std::isnan(best));
                }
                ExpectCloseRoughLosses(data.view, extreme <= 250.0f);
            }
        }
    }
}

TEST(Calibration, ReportsCancelAndNonFiniteLogits) {
    Synthetic data(100, 3, 1, 1.0f);
    EXPECT_EQ(FitTemperature(data.view, AlwaysCancelled()).status().code(), StatusCode::kCancelled);
    EXPECT_EQ(BestTemperatureLogLoss(data.view, AlwaysCancelled()).status().code(), StatusCode::kCancelled);
    data.logits[7] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(LogLoss(data.view, 1.0)));
    EXPECT_TRUE(std::isnan(*BestTemperatureLogLoss(data.view, NeverCancelled())));
    EXPECT_EQ(FitTemperature(data.view, NeverCancelled()).status().code(), StatusCode::kNonFinite);
}

}  // namespace
}  // namespace dlent
