#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "network_testing.h"

namespace dlent {
namespace {

constexpr int kLayerRows = 7;

class LayerTest : public testing::TestWithParam<NetworkCase> {
 protected:
    void SetUp() override {
        Expected<NetworkSpec> spec = ParseSpec(GetParam().spec);
        ASSERT_OK(spec.status());
        spec_ = *spec;
        backend_ = MakeCpuBackend();
    }

    std::unique_ptr<Network> Make(bool for_training, int max_batch = kLayerRows) {
        Expected<std::unique_ptr<Network>> network =
            Network::Create(spec_, *backend_, max_batch, for_training);
        EXPECT_TRUE(network.ok()) << network.status().message();
        EXPECT_TRUE((*network)->Initialize(3).ok());
        return std::move(*network);
    }

    NetworkSpec spec_;
    std::unique_ptr<Backend> backend_;
};

/// Gradients of Σ coefficient·logit for every tensor against central differences.
TEST_P(LayerTest, GradientsMatchFiniteDifferences) {
    const std::unique_ptr<Network> network = Make(true);
    Randomize(*network, 11);
    const RandomInputs inputs(*backend_, spec_, kLayerRows, 5);
    std::vector<float> coefficients(static_cast<size_t>(kLayerRows) * network->members() *
                                    network->outputs());
    RandomStream random(17);
    for (float& coefficient : coefficients) {
        coefficient = random.Normal();
    }
    const auto objective = [&] {
        EXPECT_TRUE(network->Forward(inputs.batch(), true, 1, 2).ok());
        double sum = 0.0;
        const std::vector<float> logits = Logits(*backend_, *network, kLayerRows);
        for (size_t i = 0; i < logits.size(); ++i) {
            sum += static_cast<double>(coefficients[i]) * logits[i];
        }
        return sum;
    };

    objective();
    // What an earlier step left behind must not matter.
    std::vector<float> junk(network->parameter_data_count(), 1e3f);
    backend_->Upload(network->gradient_data(), junk.data(), junk.size() * sizeof(float));
    for (int repeat = 0; repeat < 2; ++repeat) {
        backend_->Upload(network->logits_gradient(), coefficients.data(),
                         coefficients.size() * sizeof(float));
        ASSERT_OK(network->Backward());
    }
    std::vector<float> gradient(network->parameter_data_count());
    backend_->Download(gradient.data(), network->gradient_data(), gradient.size() * sizeof(float));

    for (const ParameterInfo& info : network->parameters()) {
        if (!info.trainable) {
            continue;
        }
        SCOPED_TRACE(info.name);
        std::vector<float> values(info.count);
        ASSERT_OK(network->GetTensor(info.name, values));
        float largest = 0.0f;
        for (size_t i = 0; i < info.count; ++i) {
            largest = std::max(largest, std::abs(gradient[info.offset + i]));
        }
        EXPECT_GT(largest, 0.0f);
        for (size_t i = 0; i < info.count; ++i) {
            constexpr float kStep = 4e-3f;
            const float kept = values[i];
            values[i] = kept + kStep;
            ASSERT_OK(network->SetTensor(info.name, values));
            const double above = objective();
            values[i] = kept - kStep;
            ASSERT_OK(network->SetTensor(info.name, values));
            const double below = objective();
            values[i] = kept;
            const double expected = (above - below) / (2.0 * kStep);
            EXPECT_NEAR(gradient[info.offset + i], expected,
                        4e-3 + 0.01 * std::abs(expected) + 0.003 * largest)
                << "element " << i;
        }
        ASSERT_OK(network->SetTensor(info.name, values));
    }
}

/// The same for the numbers that the network reads.
TEST_P(LayerTest, InputGradientsMatchFiniteDifferences) {
    Expected<std::unique_ptr<Network>> made = Network::Create(spec_, *backend_, kLayerRows, true, true);
    ASSERT_OK(made.status());
    Network& network = **made;
    ASSERT_OK(network.Initialize(3));
    Randomize(network, 11);
    const RandomInputs inputs(*backend_, spec_, kLayerRows, 5);
    std::vector<float> coefficients(static_cast<size_t>(kLayerRows) * network.members() * network.outputs());
    RandomStream random(17);
    for (float& coefficient : coefficients) {
        coefficient = random.Normal();
    }
    const auto objective = [&](const BatchInputs& batch) {
        EXPECT_TRUE(network.Forward(batch, true, 1, 2).ok());
        double sum = 0.0;
        const std::vector<float> logits = Logits(*backend_, network, kLayerRows);
        for (size_t i = 0; i < logits.size(); ++i) {
            sum += static_cast<double>(coefficients[i]) * logits[i];
        }
        return sum;
    };
    for (const bool plain : {false, true}) {
        const size_t count = static_cast<size_t>(kLayerRows) * (plain ? spec_.plain : spec_.numeric);
        BatchInputs batch = inputs.batch();
        const float* original = plain ? batch.plain : batch.numeric;
        std::vector<float> gradient(count);
        // twice, so that what an earlier step left behind must not matter
        for (int repeat = 0; repeat < 2; ++repeat) {
            objective(batch);
            backend_->Upload(network.logits_gradient(), coefficients.data(),
                             coefficients.size() * sizeof(float));
            ASSERT_OK(network.Backward());
            backend_->Download(gradient.data(), plain ? network.plain_gradient() : network.numeric_gradient(),
                               count * sizeof(float));
        }
        std::vector<float> values(count);
        backend_->Download(values.data(), original, count * sizeof(float));
        float largest = 0.0f;
        for (const float value : gradient) {
            largest = std::max(largest, std::abs(value));
        }
        if (count > 0) {
            EXPECT_GT(largest, 0.0f);
        }
        int wrong = 0;
        for (size_t i = 0; i < count; ++i) {
            constexpr float kStep = 2e-3f;
            (plain ? batch.plain : batch.numeric) = values.data();
            const float kept = values[i];
            values[i] = kept + kStep;
            const double above = objective(batch);
            values[i] = kept - kStep;
            const double below = objective(batch);
            values[i] = kept;
            const double expected = (above - below) / (2.0 * kStep);
            wrong += std::abs(gradient[i] - expected) > 4e-3 + 0.02 * std::abs(expected) + 0.005 * largest;
        }
        // a step may straddle the edge of a bin
        EXPECT_LE(wrong, static_cast<int>(count) / 10);
    }
}

TEST_P(LayerTest, InferencePlanGivesWhatTheTrainingNetworkGives) {
    const std::unique_ptr<Network> trained = Make(true);
    Randomize(*trained, 11);
    const RandomInputs inputs(*backend_, spec_, kLayerRows, 5);
    // Running statistics that are not the initial ones.
    ASSERT_OK(trained->Forward(inputs.batch(), true, 1, 0));
    const Expected<std::vector<NamedTensorData>> weights = trained->Save();
    ASSERT_OK(weights.status());

    const std::unique_ptr<Network> loaded = Make(false, 2 * kLayerRows);
    ASSERT_OK(loaded->Load(*weights));
    ASSERT_OK(trained->Forward(inputs.batch(), false));
    ASSERT_OK(loaded->Forward(inputs.batch(), false));
    const std::vector<float> expected = Logits(*backend_, *trained, kLayerRows);
    const std::vector<float> actual = Logits(*backend_, *loaded, kLayerRows);
    for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_FLOAT_EQ(actual[i], expected[i]);
    }
    // Again: nothing of the first pass may linger in shared memory.
    ASSERT_OK(loaded->Forward(inputs.batch(), false));
    EXPECT_EQ(Logits(*backend_, *loaded, kLayerRows), actual);
}

TEST_P(LayerTest, RowsDoNotInfluenceEachOtherInInference) {
    const std::unique_ptr<Network> network = Make(false);
    Randomize(*network, 11);
    const RandomInputs inputs(*backend_, spec_, kLayerRows, 5);
    ASSERT_OK(network->Forward(inputs.batch(), false));
    const std::vector<float> together = Logits(*backend_, *network, kLayerRows);
    BatchInputs first = inputs.batch();
    first.rows = 1;
    ASSERT_OK(network->Forward(first, false));
    const std::vector<float> alone = Logits(*backend_, *network, 1);
    for (size_t i = 0; i < alone.size(); ++i) {
        EXPECT_NEAR(alone[i], together[i], 1e-5f * std::max(1.0f, std::abs(together[i])));
    }
}

INSTANTIATE_TEST_SUITE_P(AllLayers, LayerTest, testing::ValuesIn(kNetworkCases),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace dlent
