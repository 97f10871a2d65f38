#include "core/train/embedding_choice.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/random.h"
#include "network_testing.h"

namespace dlent {
namespace {

TEST(EmbeddingChoice, RowLossesAreThoseOfTheTask) {
    EXPECT_EQ(
        RowLosses(Task::kRegression, std::vector<float>{1.0f, 4.0f}, std::vector<float>{1.5f, 1.0f}, {}, {}),
        (std::vector<float>{0.25f, 9.0f}));
    const std::vector<float> binary =
        RowLosses(Task::kBinary, std::vector<float>{0.25f, 0.25f, 0.0f}, std::vector<float>{1.0f, 0.0f, 1.0f},
                  {}, std::vector<float>{1, 2, 1});
    EXPECT_FLOAT_EQ(binary[0], -std::log(0.25f));
    EXPECT_FLOAT_EQ(binary[1], -2.0f * std::log(0.75f));
    EXPECT_TRUE(std::isfinite(binary[2]));
    const std::vector<float> classes =
        RowLosses(Task::kMulticlass, std::vector<float>{0.2f, 0.3f, 0.5f, 0.6f, 0.3f, 0.1f},
                  std::vector<float>(2), std::vector<int32_t>{2, 1}, {});
    EXPECT_FLOAT_EQ(classes[0], -std::log(0.5f));
    EXPECT_FLOAT_EQ(classes[1], -std::log(0.3f));
}

TEST(EmbeddingChoice, DifferencesAreJudgedByTheirStandardError) {
    // differences 1, 2, 3, 4: mean 2.5, standard deviation 1.2909944
    const PairedDifference difference =
        CompareLosses(std::vector<float>{0, 0, 0, 0}, std::vector<float>{1, 2, 3, 4}, {});
    EXPECT_DOUBLE_EQ(difference.mean, 2.5);
    EXPECT_NEAR(difference.standard_error, 1.2909944 / 2.0, 1e-6);
    EXPECT_TRUE(difference.IsClear());
    EXPECT_FALSE(CompareLosses(std::vector<float>{0, 0}, std::vector<float>{-1, 2}, {}).IsClear());
    EXPECT_FALSE(CompareLosses(std::vector<float>{0}, std::vector<float>{5}, {}).IsClear());
}

TEST(EmbeddingChoice, DependentNeighboursCountAsOne) {
    // 2,000 rows whose differences are the same for stretches of 100: 20 independent values, not 2,000
    RandomStream random(3);
    std::vector<float> a(2000);
    std::vector<float> b(2000);
    std::vector<uint32_t> positions(2000);
    for (size_t row = 0; row < a.size(); ++row) {
        positions[row] = static_cast<uint32_t>((row * 997) % 2000);
        RandomStream stretch(positions[row] / 100 + 1);
        b[row] = stretch.Normal() + 0.1f;
    }
    const double independent = CompareLosses(a, b, {}).standard_error;
    const double dependent = CompareLosses(a, b, positions).standard_error;
    EXPECT_NEAR(dependent / independent, 10.0, 1.0);
}

TEST(EmbeddingChoice, AnIdleEmbeddingChangesNoAnswer) {
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    auto make = [&](const std::string& numbers, uint64_t seed) {
        const Expected<NetworkSpec> spec = ParseSpec(
            R"({"version":1,"inputs":{"numeric":3,"plain":2,"codes":[4]},"layers":[)" + numbers +
            R"(,{"name":"hidden_1","type":"dense","inputs":["numbers","plain","codes"],"units":5,"activation":"relu"},
            {"name":"output","type":"dense","inputs":["hidden_1"],"units":2}],"output":"output"})");
        EXPECT_TRUE(spec.ok()) << spec.status().message();
        Expected<std::unique_ptr<Network>> network = Network::Create(*spec, *backend, 4, false);
        EXPECT_TRUE(network.ok());
        EXPECT_TRUE((*network)->Initialize(seed).ok());
        return std::move(*network);
    };
    const auto plain = make(R"({"name":"numbers","type":"smooth_clip","inputs":["numeric"]})", 1);
    const auto embedded = make(
        R"({"name":"numbers","type":"piecewise_linear_embedding","inputs":["numeric"],"width":4,"bins":[2,1,3]})",
        2);
    ASSERT_TRUE(embedded->SetTensor("numbers.edges", std::vector<float>{-1, 0, 1, -1, 1, -2, -1, 1, 2}).ok());
    const auto widened = WithIdleEmbedding(*plain->Save(), *embedded->Save(), "hidden_1");
    ASSERT_TRUE(embedded->Load(widened).ok());

    const std::vector<float> numeric = {0.5f, -4.0f, 1.0f, 0.0f, 2.0f, -0.25f};
    const std::vector<float> flags = {1.0f, -1.0f, 0.5f, 0.0f};
    const std::vector<int32_t> codes = {2, -1};
    const BatchInputs batch{2, numeric.data(), flags.data(), codes.data()};
    ASSERT_TRUE(plain->Forward(batch, false).ok());
    ASSERT_TRUE(embedded->Forward(batch, false).ok());
    for (int i = 0; i < 4; ++i)
        EXPECT_NEAR(embedded->logits()[i], plain->logits()[i], 1e-6) << i;
}

}  // namespace
}  // namespace dlent
