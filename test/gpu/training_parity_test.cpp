// A device trains what the CPU trains: the same rows, options and seed lead to weights that differ by
// rounding alone, and twice on the device to the same bytes.

#include <gtest/gtest.h>

#include <cmath>

#include "backend_parity.h"
#include "core/train/trainer.h"
#include "kept_rows.h"
#include "network_testing.h"

namespace dlent::parity {
namespace {

constexpr int kNumeric = 6;

/// Rows of a function that is worth learning, drawn by number.
class LearnableRows final : public TrainingData {
 public:
    LearnableRows(size_t rows, int classes) : rows_(rows), classes_(classes) {}
    size_t rows() const override { return rows_; }
    bool has_weights() const override { return true; }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        for (size_t i = 0; i < rows.size(); ++i) {
            RandomStream random(rows[i] + 1);
            float x[kNumeric];
            for (float& value : x)
                value = random.Normal();
            const int32_t code = static_cast<int32_t>(random.NextBelow(6)) - 1;
            for (int c = 0; batch.numeric != nullptr && c < kNumeric; ++c)
                batch.numeric[i * kNumeric + c] = x[c];
            if (batch.plain != nullptr)
                batch.plain[i] = x[0] > 0.0f ? 1.0f : -1.0f;
            if (batch.codes != nullptr)
                batch.codes[i] = code;
            const float score = std::sin(2.0f * x[0]) + x[1] * x[2] + 0.3f * static_cast<float>(code) +
                                0.1f * random.Normal();
            if (batch.targets != nullptr && classes_ > 2)
                static_cast<int32_t*>(batch.targets)[i] = score < -0.5f ? 0 : score < 0.7f ? 1 : 2;
            else if (batch.targets != nullptr)
                static_cast<float*>(batch.targets)[i] = classes_ == 2 ? (score > 0.3f ? 1.0f : 0.0f) : score;
            if (batch.weights != nullptr)
                batch.weights[i] = 0.5f + random.NextFloat();
        }
    }

 private:
    size_t rows_;
    int classes_;
};

struct TrainingCase {
    const char* name;
    const char* layers;
    int members;
    int classes;  ///< 0: regression
    LossKind loss;
    OptimizerKind optimizer = OptimizerKind::kAdamW;
    double ema_decay = 0.0;
};

constexpr const char* kMlp =
    R"([{"name":"h","type":"dense","inputs":["numeric","plain","codes"],"units":64,"activation":"relu"},
        {"name":"g","type":"dense","inputs":["h"],"units":64,"activation":"relu"},
        {"name":"d","type":"dropout","inputs":["g"],"rate":0.1},
        {"name":"output","type":"dense","inputs":["d"],"units":%}])";
constexpr const char* kEmbedded =
    R"([{"name":"p","type":"piecewise_linear_embedding","inputs":["numeric"],"width":8,"bins":[2,3,4,5,6,7],"activation":"relu"},
        {"name":"e","type":"embedding","inputs":["codes"],"dims":[4]},
        {"name":"h","type":"dense","inputs":["p","e","plain"],"units":48,"activation":"gelu"},
        {"name":"n","type":"layer_norm","inputs":["h"]},
        {"name":"output","type":"dense","inputs":["n"],"units":%}])";
constexpr const char* kPeriodic =
    R"([{"name":"p","type":"periodic_embedding","inputs":["numeric"],"width":4,"frequencies":8,"activation":"selu"},
        {"name":"h","type":"dense","inputs":["p","plain","codes"],"units":48,"activation":"mish"},
        {"name":"b","type":"batch_norm","inputs":["h"]},
        {"name":"output","type":"dense","inputs":["b"],"units":%}])";
constexpr const char* kTabm =
    R"([{"name":"h","type":"batch_ensemble_dense","inputs":["numeric","codes"],"units":48,"activation":"relu","init":"random_signs"},
        {"name":"c","type":"concat","inputs":["plain","numeric"]},
        {"name":"g","type":"batch_ensemble_dense","inputs":["h"],"units":48,"activation":"relu"},
        {"name":"s","type":"dense","inputs":["c"],"units":48},
        {"name":"output","type":"ensemble_heads","inputs":["g"],"units":%}])";

const TrainingCase kCases[] = {
    {"mlp_binary", kMlp, 1, 2, LossKind::kBinaryCrossEntropy},
    {"mlp_classes", kMlp, 1, 3, LossKind::kSoftmaxCrossEntropy, OptimizerKind::kAdamW, 0.9},
    {"mlp_sgd", kMlp, 1, 0, LossKind::kSquared, OptimizerKind::kSgd},
    {"embedded_focal", kEmbedded, 1, 2, LossKind::kFocal},
    {"embedded_huber", kEmbedded, 1, 0, LossKind::kHuber},
    {"periodic_pinball", kPeriodic, 1, 0, LossKind::kPinball},
    {"tabm_binary", kTabm, 8, 2, LossKind::kBinaryCrossEntropy},
};

class DeviceTraining : public testing::TestWithParam<std::tuple<BackendCase, TrainingCase>> {
 protected:
    struct Outcome {
        std::vector<NamedTensorData> tensors;
        TrainerResult result;
    };

    static NetworkSpec Spec(const TrainingCase& c) {
        std::string layers = c.layers;
        layers.replace(layers.find('%'), 1, c.classes > 2 ? std::to_string(c.classes) : "1");
        Json json = {{"version", 1},
                     {"inputs", {{"numeric", kNumeric}, {"plain", 1}, {"codes", {5}}}},
                     {"members", c.members},
                     {"layers", Json::parse(layers)},
                     {"output", "output"}};
        if (layers.find("\"s\"") != std::string::npos)
            json["output"] = {"output", "s"};
        const Expected<NetworkSpec> spec = NetworkSpec::FromJson(json);
        EXPECT_TRUE(spec.ok()) << spec.status().message();
        return *spec;
    }

    static Outcome Train(Backend& backend, const TrainingCase& c, int epochs) {
        const LearnableRows drawn(1500, c.classes);
        const KeptRows data(drawn, Spec(c));
        std::vector<uint32_t> train;
        std::vector<uint32_t> validation;
        for (uint32_t row = 0; row < data.rows(); ++row)
            (row % 5 == 0 ? validation : train).push_back(row);
        TrainerOptions options;
        options.loss.kind = c.loss;
        options.loss.label_smoothing = c.classes > 0 ? 0.05f : 0.0f;
        options.optimizer.kind = c.optimizer;
        options.optimizer.weight_decay = 0.01f;
        options.learning_rate = c.optimizer == OptimizerKind::kSgd ? 0.01 : 0.002;
        options.batch_size = 131;
        options.max_epochs = epochs;
        options.ema_decay = c.ema_decay;
        options.restore_best = false;
        options.stopping.rule = StoppingRule::kNone;
        if (c.classes > 0)
            options.class_weights.assign(static_cast<size_t>(std::max(c.classes, 2)), 1.5f);
        auto network = Network::Create(Spec(c), backend, 256, true);
        EXPECT_TRUE(network.ok()) << network.status().message();
        EXPECT_TRUE((*network)->Initialize(5).ok());
        Expected<TrainerResult> result =
            TrainNetwork(**network, backend, data, train, validation, options, NeverCancelled(), nullptr);
        EXPECT_TRUE(result.ok()) << result.status().message();
        return {*(*network)->Save(), std::move(*result)};
    }
};

TEST_P(DeviceTraining, OneEpochIsTheCpusUpToRounding) {
    const auto& [device, c] = GetParam();
    const auto backend = device.make();
    ASSERT_NE(backend, nullptr);
    const auto cpu = MakeCpuBackend();
    const Outcome on_device = Train(*backend, c, 1);
    const Outcome on_cpu = Train(*cpu, c, 1);
    ASSERT_EQ(on_device.tensors.size(), on_cpu.tensors.size());
    // AdamW's first steps have the size of the learning rate whatever the gradient's: where that is rounding
    // alone, weights move apart by a few steps at most
    const double factor = std::min(device.tolerance_factor, 30.0);
    for (size_t t = 0; t < on_cpu.tensors.size(); ++t) {
        double difference = 0.0;
        double norm = 1e-6;
        for (size_t i = 0; i < on_cpu.tensors[t].values.size(); ++i) {
            difference += std::pow(on_device.tensors[t].values[i] - on_cpu.tensors[t].values[i], 2);
            norm += std::pow(on_cpu.tensors[t].values[i], 2);
        }
        EXPECT_LE(std::sqrt(difference / norm), 5e-3 * factor) << on_cpu.tensors[t].name;
    }
    EXPECT_NEAR(on_device.result.best_validation_loss, on_cpu.result.best_validation_loss,
                1e-3 * factor * std::max(1.0, std::abs(on_cpu.result.best_validation_loss)));
}

TEST_P(DeviceTraining, TenEpochsLearnAsMuch) {
    const auto& [device, c] = GetParam();
    const auto backend = device.make();
    ASSERT_NE(backend, nullptr);
    const auto cpu = MakeCpuBackend();
    const double on_device = Train(*backend, c, 10).result.best_validation_loss;
    const double on_cpu = Train(*cpu, c, 10).result.best_validation_loss;
    EXPECT_NEAR(on_device, on_cpu, 0.1 * std::max(0.2, on_cpu));
}

TEST_P(DeviceTraining, TheSameSeedGivesTheSameBytes) {
    const auto& [device, c] = GetParam();
    std::vector<NamedTensorData> first;
    for (int run = 0; run < 2; ++run) {
        const auto backend = device.make();
        ASSERT_NE(backend, nullptr);
        const Outcome outcome = Train(*backend, c, 3);
        if (run == 0)
            first = outcome.tensors;
        for (size_t t = 0; t < first.size(); ++t)
            EXPECT_EQ(first[t].values, outcome.tensors[t].values) << first[t].name;
    }
}

INSTANTIATE_TEST_SUITE_P(Every, DeviceTraining,
                         testing::Combine(testing::ValuesIn(DeviceBackends()), testing::ValuesIn(kCases)),
                         [](const auto& test) {
                             return std::get<0>(test.param).name + "_" + std::get<1>(test.param).name;
                         });

}  // namespace
}  // namespace dlent::parity
