#include "core/train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "core/train/calibration.h"
#include "network_testing.h"

namespace dlent {
namespace {

/// Rows in memory: two plain columns, one code of 3 levels, a target.
class MemoryData final : public TrainingData {
 public:
    size_t rows() const override { return plain_.size() / 2; }
    bool has_weights() const override { return !weights_.empty(); }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        for (size_t i = 0; i < rows.size(); ++i) {
            if (batch.plain != nullptr) {
                std::copy_n(&plain_[2 * rows[i]], 2, batch.plain + 2 * i);
            }
            if (batch.codes != nullptr) {
                batch.codes[i] = codes_[rows[i]];
            }
            if (batch.targets != nullptr && labels_.empty()) {
                static_cast<float*>(batch.targets)[i] = targets_[rows[i]];
            } else if (batch.targets != nullptr) {
                static_cast<int32_t*>(batch.targets)[i] = labels_[rows[i]];
            }
            if (batch.weights != nullptr) {
                batch.weights[i] = weights_[rows[i]];
            }
        }
    }

    std::vector<float> plain_;
    std::vector<int32_t> codes_;
    std::vector<float> targets_;
    std::vector<int32_t> labels_;  ///< used instead when not empty
    std::vector<float> weights_;
};

/// A smooth function of the columns that no linear model fits, plus noise.
MemoryData MakeRegression(size_t rows, float noise = 0.0f) {
    MemoryData data;
    RandomStream random(5);
    for (size_t row = 0; row < rows; ++row) {
        const float a = random.Normal();
        const float b = random.Normal();
        const int32_t code = static_cast<int32_t>(random.NextBelow(3));
        data.plain_.insert(data.plain_.end(), {a, b});
        data.codes_.push_back(code);
        data.targets_.push_back(std::sin(2 * a) * (static_cast<float>(code) - 1.0f) + 0.5f * b +
                                noise * random.Normal());
    }
    return data;
}

MemoryData MakeBinary(size_t rows, float noise = 0.0f) {
    MemoryData data = MakeRegression(rows, noise);
    for (float& target : data.targets_) {
        target = target > 0.0f ? 1.0f : 0.0f;
    }
    return data;
}

std::vector<uint32_t> Rows(uint32_t begin, uint32_t end) {
    std::vector<uint32_t> rows(end - begin);
    std::iota(rows.begin(), rows.end(), begin);
    return rows;
}

std::string MlpSpec(const std::string& activation = "relu", int outputs = 1) {
    return R"({"version":1,"inputs":{"plain":2,"codes":[3]},"layers":[
        {"name":"h","type":"dense","inputs":["plain","codes"],"units":32,"activation":")" +
           activation + R"("},
        {"name":"g","type":"dense","inputs":["h"],"units":32,"activation":")" +
           activation + R"("},
        {"name":"out","type":"dense","inputs":["g"],"units":)" +
           std::to_string(outputs) + R"(}],"output":"out"})";
}

TrainerOptions RegressionOptions() {
    TrainerOptions options;
    options.loss.kind = LossKind::kSquared;
    options.learning_rate = 5e-3;
    options.batch_size = 32;
    options.max_epochs = 60;
    options.stopping.rule = StoppingRule::kNone;
    return options;
}

class CancelAfter final : public CancelToken {
 public:
    explicit CancelAfter(double seconds)
        : end_(std::chrono::steady_clock::now() +
               std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds))) {
    }
    bool IsCancelled() const override { return std::chrono::steady_clock::now() >= end_; }

 private:
    std::chrono::steady_clock::time_point end_;
};

class TrainerTest : public testing::Test {
 protected:
    std::unique_ptr<Network> Make(const std::string& text, int max_batch = 256) {
        Expected<NetworkSpec> spec = ParseSpec(text);
        EXPECT_TRUE(spec.ok()) << spec.status().message();
        Expected<std::unique_ptr<Network>> network = Network::Create(*spec, *backend_, max_batch, true);
        EXPECT_TRUE(network.ok()) << network.status().message();
        EXPECT_TRUE((*network)->Initialize(1).ok());
        return std::move(*network);
    }

    Expected<TrainerResult> Train(Network& network, const MemoryData& data, const TrainerOptions& options,
                                  std::span<const uint32_t> train,
                                  std::span<const uint32_t> validation = {}) {
        return TrainNetwork(network, *backend_, data, train, validation, options, NeverCancelled(), {});
    }

    static std::vector<float> Weights(const Network& network) {
        std::vector<float> all;
        const Expected<std::vector<NamedTensorData>> tensors = network.Save();
        EXPECT_TRUE(tensors.ok());
        for (const NamedTensorData& tensor : *tensors) {
            all.insert(all.end(), tensor.values.begin(), tensor.values.end());
        }
        return all;
    }

    std::unique_ptr<Backend> backend_ = MakeCpuBackend();
};

TEST_F(TrainerTest, EveryActivationFitsASmallSet) {
    const MemoryData data = MakeRegression(256);
    for (const char* activation : {"relu", "leaky_relu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid"}) {
        SCOPED_TRACE(activation);
        const std::unique_ptr<Network> network = Make(MlpSpec(activation));
        TrainerOptions options = RegressionOptions();
        options.max_epochs = 400;
        const Expected<TrainerResult> result = Train(*network, data, options, Rows(0, 256));
        ASSERT_OK(result.status());
        EXPECT_LT(result->log.back().train_loss, 0.05);
        EXPECT_GT(result->log.front().train_loss, 0.2);
        EXPECT_EQ(result->epochs, 400);
        EXPECT_EQ(result->steps, 400 * 8);
    }
}

TEST_F(TrainerTest, EveryScheduleAndOptimizerFitsASmallSet) {
    const MemoryData data = MakeRegression(256);
    for (const ScheduleKind schedule : {ScheduleKind::kCycles, ScheduleKind::kCoslog4, ScheduleKind::kCosine,
                                        ScheduleKind::kFlatCos, ScheduleKind::kConstant}) {
        for (const OptimizerKind optimizer : {OptimizerKind::kAdamW, OptimizerKind::kSgd}) {
            SCOPED_TRACE(std::string(ScheduleName(schedule)) + " " + OptimizerName(optimizer));
            const std::unique_ptr<Network> network = Make(MlpSpec());
            TrainerOptions options = RegressionOptions();
            options.schedule = schedule;
            options.optimizer.kind = optimizer;
            options.optimizer.nesterov = true;
            options.learning_rate = optimizer == OptimizerKind::kSgd ? 0.05 : 0.005;
            options.warmup = 0.05;
            options.max_epochs = 120;
            const Expected<TrainerResult> result = Train(*network, data, options, Rows(0, 256));
            ASSERT_OK(result.status());
            EXPECT_LT(result->log.back().train_loss, 0.05);
        }
    }
}

TEST_F(TrainerTest, ClassesAreLearnt) {
    MemoryData data = MakeBinary(1200);
    for (size_t row = 0; row < data.rows(); ++row) {
        data.labels_.push_back(data.targets_[row] > 0.5f ? 1 + (data.plain_[2 * row] > 0.0f) : 0);
    }
    for (const LossKind loss : {LossKind::kSoftmaxCrossEntropy, LossKind::kFocal}) {
        const std::unique_ptr<Network> network = Make(MlpSpec("relu", 3));
        TrainerOptions options = RegressionOptions();
        options.loss.kind = loss;
        options.class_weights = {1.0f, 2.0f, 1.0f};
        const std::vector<uint32_t> validation = Rows(900, 1200);
        const Expected<TrainerResult> result = Train(*network, data, options, Rows(0, 900), validation);
        ASSERT_OK(result.status());
        int right = 0;
        for (size_t i = 0; i < validation.size(); ++i) {
            const float* logits = &result->validation_logits[3 * i];
            right += std::max_element(logits, logits + 3) - logits == data.labels_[validation[i]];
        }
        EXPECT_GT(right, 260);
    }
}

TEST_F(TrainerTest, EnsemblesBatchNormAndDropoutTrain) {
    const MemoryData data = MakeBinary(1000);
    const std::unique_ptr<Network> network =
        Make(R"({"version":1,"inputs":{"plain":2,"codes":[3]},"members":4,
        "layers":[
        {"name":"a","type":"batch_ensemble_dense","inputs":["plain","codes"],"units":32,"init":"random_signs"},
        {"name":"n","type":"batch_norm","inputs":["a"]},
        {"name":"f","type":"activation","inputs":["n"],"activation":"mish","parametric":true},
        {"name":"d","type":"dropout","inputs":["f"],"rate":0.1},
        {"name":"g","type":"dense","inputs":["d"],"units":32,"activation":"relu"},
        {"name":"out","type":"ensemble_heads","inputs":["g"],"units":1}],"output":"out"})");
    TrainerOptions options = RegressionOptions();
    options.loss.kind = LossKind::kBinaryCrossEntropy;
    const std::vector<uint32_t> validation = Rows(800, 1000);
    const Expected<TrainerResult> result = Train(*network, data, options, Rows(0, 800), validation);
    ASSERT_OK(result.status());
    EXPECT_EQ(result->validation_logits.size(), 200u * 4);
    int right = 0;
    for (size_t i = 0; i < validation.size(); ++i) {
        float sum = 0.0f;
        for (int member = 0; member < 4; ++member) {
            sum += result->validation_logits[4 * i + member];
        }
        right += (sum > 0.0f) == (data.targets_[validation[i]] > 0.5f);
    }
    EXPECT_GT(right, 180);
}

TEST_F(TrainerTest, SameSeedSameBytes) {
    const MemoryData data = MakeRegression(500, 0.3f);
    const auto run = [&](uint64_t seed, double ema) {
        const std::unique_ptr<Network> network = Make(MlpSpec());
        TrainerOptions options = RegressionOptions();
        options.max_epochs = 5;
        options.seed = seed;
        options.ema_decay = ema;
        EXPECT_TRUE(Train(*network, data, options, Rows(0, 400), Rows(400, 500)).ok());
        return Weights(*network);
    };
    EXPECT_EQ(run(1, 0.0), run(1, 0.0));
    EXPECT_EQ(run(1, 0.9), run(1, 0.9));
    EXPECT_NE(run(1, 0.0), run(2, 0.0));
    EXPECT_NE(run(1, 0.0), run(1, 0.9));
}

TEST_F(TrainerTest, RestoresTheBestWeights) {
    // Noise alone in few rows: the validation loss soon rises.
    const MemoryData data = MakeRegression(150, 2.0f);
    const std::unique_ptr<Network> network = Make(MlpSpec());
    TrainerOptions options = RegressionOptions();
    options.max_epochs = 200;
    options.stopping.rule = StoppingRule::kCycle;
    const std::vector<uint32_t> validation = Rows(60, 150);
    const Expected<TrainerResult> result = Train(*network, data, options, Rows(0, 60), validation);
    ASSERT_OK(result.status());
    EXPECT_EQ(result->stop_reason, StopReason::kEarlyStopping);
    EXPECT_LT(result->epochs, 200);
    ASSERT_EQ(result->log.size(), static_cast<size_t>(result->epochs));
    double best = std::numeric_limits<double>::infinity();
    int best_epoch = 0;
    for (const EpochRecord& record : result->log) {
        if (record.validation_loss < best) {
            best = record.validation_loss;
            best_epoch = record.epoch;
        }
    }
    EXPECT_LT(best_epoch, result->epochs);
    EXPECT_EQ(result->best_epoch, best_epoch);
    EXPECT_EQ(result->best_validation_loss, best);
    EXPECT_DOUBLE_EQ(result->best_fraction, best_epoch / 200.0);

    // The network holds what the best epoch predicted.
    std::vector<float> logits(validation.size());
    ASSERT_OK(PredictLogits(*network, *backend_, data, validation, logits, NeverCancelled()));
    EXPECT_EQ(logits, result->validation_logits);
    double loss = 0.0;
    for (size_t i = 0; i < validation.size(); ++i) {
        const double error = logits[i] - data.targets_[validation[i]];
        loss += error * error / static_cast<double>(validation.size());
    }
    EXPECT_NEAR(loss, best, 1e-6);
}

TEST_F(TrainerTest, KeepsTheLastWeightsWhenTold) {
    const MemoryData data = MakeRegression(150, 2.0f);
    for (const double ema : {0.0, 0.95}) {
        const std::unique_ptr<Network> network = Make(MlpSpec());
        TrainerOptions options = RegressionOptions();
        options.restore_best = false;
        options.ema_decay = ema;
        const std::vector<uint32_t> validation = Rows(60, 150);
        const Expected<TrainerResult> result = Train(*network, data, options, Rows(0, 60), validation);
        ASSERT_OK(result.status());
        EXPECT_EQ(result->best_epoch, result->epochs);
        EXPECT_EQ(result->best_validation_loss, result->log.back().validation_loss);
        std::vector<float> logits(validation.size());
        ASSERT_OK(PredictLogits(*network, *backend_, data, validation, logits, NeverCancelled()));
        EXPECT_EQ(logits, result->validation_logits);
    }
}

TEST_F(TrainerTest, ARefitStopsOnTheSameSchedule) {
    const MemoryData data = MakeRegression(320);
    const auto rates = [&](double stop_fraction) {
        const std::unique_ptr<Network> network = Make(MlpSpec());
        TrainerOptions options = RegressionOptions();
        options.max_epochs = 40;
        options.stop_fraction = stop_fraction;
        const Expected<TrainerResult> result = Train(*network, data, options, Rows(0, 320));
        EXPECT_TRUE(result.ok());
        std::vector<double> learning_rates;
        for (const EpochRecord& record : result->log) {
            learning_rates.push_back(record.learning_rate);
        }
        return learning_rates;
    };
    const std::vector<double> whole = rates(1.0);
    const std::vector<double> part = rates(0.25);
    ASSERT_EQ(whole.size(), 40u);
    ASSERT_EQ(part.size(), 10u);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin()));
    // A fraction of an epoch is a shorter last epoch.
    EXPECT_EQ(rates(0.26).size(), 11u);
}

TEST_F(TrainerTest, TheBudgetHasAtLeastMinSteps) {
    const MemoryData data = MakeRegression(64);
    const std::unique_ptr<Network> network = Make(MlpSpec());
    TrainerOptions options = RegressionOptions();
    options.max_epochs = 3;
    options.min_steps = 101;
    const Expected<TrainerResult> result = Train(*network, data, options, Rows(0, 64));
    ASSERT_OK(result.status());
    EXPECT_EQ(result->epochs, 51);
    EXPECT_EQ(result->steps, 102);
}

TEST_F(TrainerTest, RowsOfWeightZeroTeachNothing) {
    MemoryData data = MakeRegression(200);
    data.weights_.assign(200, 1.0f);
    for (size_t row = 100; row < 200; ++row) {
        data.weights_[row] = 0.0f;
        data.targets_[row] = 1000.0f;
    }
    const std::unique_ptr<Network> network = Make(MlpSpec());
    const Expected<TrainerResult> result =
        Train(*network, data, RegressionOptions(), Rows(0, 200), Rows(50, 150));
    ASSERT_OK(result.status());
    EXPECT_LT(result->log.back().train_loss, 0.3);
    EXPECT_LT(result->best_validation_loss, 0.3);
}

TEST_F(TrainerTest, AnOddLastRowDoesNotBreakBatchNorm) {
    const MemoryData data = MakeRegression(65);
    const std::string spec = R"({"version":1,"inputs":{"plain":2},"layers":[
        {"name":"h","type":"dense","inputs":["plain"],"units":8},
        {"name":"n","type":"batch_norm","inputs":["h"]},
        {"name":"out","type":"dense","inputs":["n"],"units":1}],"output":"out"})";
    TrainerOptions options = RegressionOptions();
    options.max_epochs = 2;
    options.batch_size = 64;
    const std::unique_ptr<Network> network = Make(spec);
    const Expected<TrainerResult> result = Train(*network, data, options, Rows(0, 65));
    ASSERT_OK(result.status());
    EXPECT_EQ(result->steps, 4);
    EXPECT_EQ(Train(*network, data, options, Rows(0, 1)).status().code(), StatusCode::kInsufficientData);
}

TEST_F(TrainerTest, NonFiniteInputIsAnErrorThatNamesTheStep) {
    MemoryData data = MakeRegression(64);
    data.plain_[2 * 40] = std::numeric_limits<float>::quiet_NaN();
    const std::unique_ptr<Network> network = Make(MlpSpec());
    const Status status = Train(*network, data, RegressionOptions(), Rows(0, 64)).status();
    EXPECT_EQ(status.code(), StatusCode::kNonFinite);
    EXPECT_TRUE(status.message().find("epoch 1, step 1") != std::string::npos ||
                status.message().find("epoch 1, step 2") != std::string::npos)
        << status.message();
    EXPECT_NE(status.hint().find("learning_rate"), std::string::npos);
}

TEST_F(TrainerTest, DivergenceIsAnError) {
    const MemoryData data = MakeRegression(256);
    const std::unique_ptr<Network> network = Make(MlpSpec());
    TrainerOptions options = RegressionOptions();
    options.optimizer.kind = OptimizerKind::kSgd;
    options.learning_rate = 1e6;
    options.clip_norm = 0.0;
    options.schedule = ScheduleKind::kConstant;
    const Status status = Train(*network, data, options, Rows(0, 256)).status();
    EXPECT_EQ(status.code(), StatusCode::kNonFinite);
    EXPECT_NE(status.detail().find("1000000"), std::string::npos) << status.detail();
}

TEST_F(TrainerTest, CancelsQuickly) {
    const MemoryData data = MakeRegression(20000);
    const std::unique_ptr<Network> network = Make(MlpSpec());
    TrainerOptions options = RegressionOptions();
    options.max_epochs = 100000;
    const auto begin = std::chrono::steady_clock::now();
    const Status status =
        TrainNetwork(*network, *backend_, data, Rows(0, 20000), {}, options, CancelAfter(0.2), {}).status();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    EXPECT_EQ(status.code(), StatusCode::kCancelled);
    EXPECT_LT(seconds, 0.3);
}

TEST_F(TrainerTest, TheTimeLimitKeepsTheBest) {
    const MemoryData data = MakeRegression(20000);
    const std::unique_ptr<Network> network = Make(MlpSpec());
    TrainerOptions options = RegressionOptions();
    options.max_epochs = 100000;
    options.max_seconds = 0.2;
    options.schedule = ScheduleKind::kConstant;
    double last_fraction = -1.0;
    const Expected<TrainerResult> result =
        TrainNetwork(*network, *backend_, data, Rows(0, 19000), Rows(19000, 20000), options, NeverCancelled(),
                     [&](const TrainingProgress& progress) {
                         EXPECT_GE(progress.fraction, last_fraction);
                         last_fraction = progress.fraction;
                         EXPECT_LE(progress.seconds_left, 0.2);
                     });
    ASSERT_OK(result.status());
    EXPECT_EQ(result->stop_reason, StopReason::kTimeLimit);
    EXPECT_LT(result->seconds, 0.6);
    EXPECT_GE(result->best_epoch, 1);
    EXPECT_LT(result->best_validation_loss, 1.0);
    EXPECT_GT(last_fraction, 0.0);
    EXPECT_GT(result->rows_per_second, 0.0);
}

TEST_F(TrainerTest, RefusesOptionsThatCannotWork) {
    const MemoryData data = MakeRegression(64);
    const std::unique_ptr<Network> network = Make(MlpSpec());
    const auto refused = [&](auto change, StatusCode code = StatusCode::kInvalidArgument) {
        TrainerOptions options = RegressionOptions();
        change(options);
        EXPECT_EQ(Train(*network, data, options, Rows(0, 64)).status().code(), code);
    };
    refused([](TrainerOptions& options) { options.batch_size = 0; });
    refused([](TrainerOptions& options) { options.batch_size = 257; });
    refused([](TrainerOptions& options) { options.max_epochs = 0; });
    refused([](TrainerOptions& options) { options.learning_rate = 0.0; });
    refused([](TrainerOptions& options) { options.learning_rate = NAN; });
    refused([](TrainerOptions& options) { options.clip_norm = -1.0; });
    refused([](TrainerOptions& options) { options.max_seconds = -1.0; });
    refused([](TrainerOptions& options) { options.stop_fraction = 0.0; });
    refused([](TrainerOptions& options) { options.warmup = 1.0; });
    refused([](TrainerOptions& options) { options.ema_decay = 1.0; });
    refused([](TrainerOptions& options) { options.class_weights = {1.0f}; });
    EXPECT_EQ(Train(*network, data, RegressionOptions(), {}).status().code(), StatusCode::kInsufficientData);
}

}  // namespace
}  // namespace dlent
