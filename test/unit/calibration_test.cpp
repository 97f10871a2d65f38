#include "core/train/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/base/random.h"
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
