#include "core/nn/network.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "network_testing.h"

namespace dlent {
namespace {

class NetworkTest : public testing::Test {
 protected:
    std::unique_ptr<Network> Make(std::string_view text, bool for_training = true, uint64_t seed = 1) {
        Expected<NetworkSpec> spec = ParseSpec(text);
        EXPECT_TRUE(spec.ok()) << spec.status().message();
        Expected<std::unique_ptr<Network>> network = Network::Create(*spec, *backend_, 8, for_training);
        EXPECT_TRUE(network.ok()) << network.status().message();
        EXPECT_TRUE((*network)->Initialize(seed).ok());
        return std::move(*network);
    }

    static constexpr std::string_view kMixed = R"({"version":1,"inputs":{"numeric":2,"codes":[3]},"layers":[
        {"name":"ple","type":"piecewise_linear_embedding","inputs":["numeric"],"width":2,"bins":[2,3]},
        {"name":"h","type":"dense","inputs":["ple","codes"],"units":4,"activation":"relu",
         "learning_rate":0.5,"bias_learning_rate":0.1,"weight_decay":2},
        {"name":"n","type":"batch_norm","inputs":["h"]},
        {"name":"out","type":"dense","inputs":["n"],"units":1}],"output":"out"})";

    std::unique_ptr<Backend> backend_ = MakeCpuBackend();
};

TEST_F(NetworkTest, DescribesItsTensors) {
    const std::unique_ptr<Network> network = Make(kMixed);
    std::vector<std::string> names;
    for (const ParameterInfo& info : network->parameters()) {
        names.push_back(info.name);
        EXPECT_EQ(info.offset % 16, 0u) << info.name;
        if (info.name == "h.weight") {
            EXPECT_EQ(info.shape, (std::vector<int64_t>{4 + 3, 4}));
            EXPECT_EQ(info.learning_rate_multiplier, 0.5f);
            EXPECT_EQ(info.weight_decay_multiplier, 2.0f);
        } else if (info.name == "h.bias") {
            EXPECT_EQ(info.learning_rate_multiplier, 0.1f);
            EXPECT_EQ(info.weight_decay_multiplier, 0.0f);
        }
    }
    EXPECT_EQ(names, (std::vector<std::string>{"ple.linear", "ple.bias", "ple.weight", "ple.edges",
                                               "h.weight", "h.bias", "n.weight", "n.bias", "n.running_mean",
                                               "n.running_variance", "out.weight", "out.bias"}));
    EXPECT_EQ(network->trainable_count(), 4 + 4 + 10 + 28 + 4 + 4 + 4 + 4 + 1);
    EXPECT_TRUE(network->HasLayer("batch_norm"));
    EXPECT_FALSE(network->HasLayer("dropout"));
}

TEST_F(NetworkTest, InitializationDependsOnTheSeedAlone) {
    const auto weights = [this](uint64_t seed) {
        Expected<std::vector<NamedTensorData>> saved = Make(kMixed, true, seed)->Save();
        std::vector<float> all;
        for (const NamedTensorData& tensor : *saved) {
            all.insert(all.end(), tensor.values.begin(), tensor.values.end());
        }
        return all;
    };
    EXPECT_EQ(weights(7), weights(7));
    EXPECT_NE(weights(7), weights(8));
}

TEST_F(NetworkTest, InitializesAsDocumented) {
    const std::unique_ptr<Network> network = Make(kMixed);
    std::vector<float> weight(28);
    ASSERT_OK(network->GetTensor("h.weight", weight));
    const float bound = 1.0f / std::sqrt(7.0f);
    float largest = 0.0f;
    for (const float value : weight) {
        largest = std::max(largest, std::abs(value));
    }
    EXPECT_LE(largest, bound);
    EXPECT_GT(largest, bound / 2);
    std::vector<float> ple(10, 1.0f);
    ASSERT_OK(network->GetTensor("ple.weight", ple));
    EXPECT_EQ(ple, std::vector<float>(10, 0.0f));
    std::vector<float> edges(7);
    ASSERT_OK(network->GetTensor("ple.edges", edges));
    EXPECT_EQ(edges[0], -1.0f);
    EXPECT_EQ(edges[2], 1.0f);
    EXPECT_EQ(edges[3], -1.0f);
    EXPECT_EQ(edges[6], 1.0f);
}

TEST_F(NetworkTest, ComputesADenseLayer) {
    const std::unique_ptr<Network> network =
        Make(R"({"version":1,"inputs":{"plain":2,"codes":[2,3]},"layers":[
        {"name":"d","type":"dense","inputs":["plain","codes"],"units":2,"activation":"relu"}],"output":"d"})");
    const std::vector<float> weight = {1, 2, 3, 4, /* codes */ 10, 20, 30, 40, 100, 200, 300, 400, 500, 600};
    ASSERT_OK(network->SetTensor("d.weight", weight));
    ASSERT_OK(network->SetTensor("d.bias", std::vector<float>{0.5f, -1000.0f}));
    DeviceBuffer<float> plain;
    DeviceBuffer<int32_t> codes;
    ASSERT_OK(plain.Allocate(*backend_, 4));
    ASSERT_OK(codes.Allocate(*backend_, 4));
    const float x[] = {1, -1, 2, 0};
    const int32_t c[] = {1, 2, -1, 0};
    backend_->Upload(plain.data(), x, sizeof(x));
    backend_->Upload(codes.data(), c, sizeof(c));
    ASSERT_OK(network->Forward({2, nullptr, plain.data(), codes.data()}, false));
    EXPECT_EQ(Logits(*backend_, *network, 2), (std::vector<float>{528.5f, 0.0f, 102.5f, 0.0f}));
}

TEST_F(NetworkTest, TakesTheFieldsItIsTold) {
    const std::unique_ptr<Network> network = Make(R"({"version":1,"inputs":{"codes":[2,3,2]},"layers":[
        {"name":"d","type":"dense","inputs":["codes"],"fields":[2,0],"units":1},
        {"name":"e","type":"embedding","inputs":["codes"],"fields":[1],"dims":[1]},
        {"name":"b","type":"concat","inputs":["d","e"]}],"output":"b"})");
    ASSERT_OK(network->SetTensor("d.weight", std::vector<float>{1, 2, 10, 20}));
    ASSERT_OK(network->SetTensor("d.bias", std::vector<float>{0}));
    ASSERT_OK(network->SetTensor("e.weight_1", std::vector<float>{100, 200, 300}));
    DeviceBuffer<int32_t> codes;
    ASSERT_OK(codes.Allocate(*backend_, 6));
    const int32_t c[] = {0, 2, 1, 1, -1, 0};
    backend_->Upload(codes.data(), c, sizeof(c));
    ASSERT_OK(network->Forward({2, nullptr, nullptr, codes.data()}, false));
    EXPECT_EQ(Logits(*backend_, *network, 2), (std::vector<float>{12, 300, 21, 0}));
}

TEST_F(NetworkTest, DropoutIsAFunctionOfSeedAndStep) {
    const std::unique_ptr<Network> network = Make(R"({"version":1,"inputs":{"plain":16},"layers":[
        {"name":"d","type":"dropout","inputs":["plain"],"rate":0.5},
        {"name":"e","type":"dropout","inputs":["plain"],"rate":0.5},
        {"name":"b","type":"concat","inputs":["d","e"]}],"output":"b"})");
    const RandomInputs inputs(*backend_, network->spec(), 8, 5);
    const auto run = [&](bool training, uint64_t seed, uint64_t step) {
        EXPECT_TRUE(network->Forward(inputs.batch(), training, seed, step).ok());
        return Logits(*backend_, *network, 8);
    };
    const std::vector<float> first = run(true, 1, 1);
    EXPECT_EQ(run(true, 1, 1), first);
    EXPECT_NE(run(true, 1, 2), first);
    EXPECT_NE(run(true, 2, 1), first);
    // Two layers of one network drop different elements.
    bool differ = false;
    for (int row = 0; row < 8; ++row) {
        for (int column = 0; column < 16; ++column) {
            differ = differ || first[row * 32 + column] != first[row * 32 + 16 + column];
        }
    }
    EXPECT_TRUE(differ);
    const std::vector<float> plain = run(false, 1, 1);
    EXPECT_EQ(std::vector<float>(plain.begin(), plain.begin() + 16),
              std::vector<float>(plain.begin() + 16, plain.begin() + 32));
}

TEST_F(NetworkTest, SeveralOutputsHaveTheirOwnGradients) {
    const std::unique_ptr<Network> network = Make(R"({"version":1,"inputs":{"plain":2},"layers":[
        {"name":"a","type":"dense","inputs":["plain"],"units":2},
        {"name":"b","type":"dense","inputs":["a"],"units":1}],"output":["b","a"]})");
    const RandomInputs inputs(*backend_, network->spec(), 1, 5);
    ASSERT_EQ(network->output_count(), 2);
    ASSERT_OK(network->SetTensor("b.weight", std::vector<float>{2, 3}));
    ASSERT_OK(network->Forward(inputs.batch(), true));
    const float db = 1.0f;
    const float da[] = {10.0f, 20.0f};
    backend_->Upload(network->output_gradient(0), &db, sizeof(db));
    backend_->Upload(network->output_gradient(1), da, sizeof(da));
    ASSERT_OK(network->Backward());
    // a.bias receives both: what b passes back, and its own.
    std::vector<float> gradient(network->parameter_data_count());
    backend_->Download(gradient.data(), network->gradient_data(), gradient.size() * sizeof(float));
    for (const ParameterInfo& info : network->parameters()) {
        if (info.name == "a.bias") {
            EXPECT_FLOAT_EQ(gradient[info.offset], 12.0f);
            EXPECT_FLOAT_EQ(gradient[info.offset + 1], 23.0f);
        }
    }
}

TEST_F(NetworkTest, LoadTrustsNothingAndChangesNothingOnError) {
    const std::unique_ptr<Network> network = Make(kMixed);
    const std::vector<NamedTensorData> good = *network->Save();
    const auto refused = [&](std::vector<NamedTensorData> tensors, const char* message) {
        tensors[0].values[0] = 99.0f;
        const Status status = network->Load(tensors);
        EXPECT_EQ(status.code(), StatusCode::kCorrupt);
        EXPECT_NE(status.message().find(message), std::string::npos) << status.message();
        EXPECT_EQ((*network->Save())[0].values, good[0].values);
    };
    std::vector<NamedTensorData> bad = good;
    bad.pop_back();
    refused(bad, "missing");
    bad = good;
    bad.push_back(good[1]);
    refused(bad, "twice");
    bad = good;
    bad[1].name = "h.wait";
    refused(bad, "no tensor \"h.wait\"");
    bad = good;
    std::swap(bad[4].shape[0], bad[4].shape[1]);
    refused(bad, "shape");
    bad = good;
    bad[4].values.pop_back();
    refused(bad, "shape");
    bad = good;
    bad[4].values[3] = std::numeric_limits<float>::quiet_NaN();
    refused(bad, "not finite");
    std::vector<NamedTensorData> reversed(good.rbegin(), good.rend());
    EXPECT_TRUE(network->Load(reversed).ok());
    EXPECT_EQ((*network->Save())[0].values, good[0].values);
}

TEST_F(NetworkTest, RefusesUnknownTensorsAndWrongCounts) {
    const std::unique_ptr<Network> network = Make(kMixed);
    std::vector<float> values(3);
    EXPECT_EQ(network->SetTensor("nothing", values).code(), StatusCode::kNotFound);
    EXPECT_EQ(network->GetTensor("nothing", values).code(), StatusCode::kNotFound);
    EXPECT_EQ(network->SetTensor("h.weight", values).code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(network->GetTensor("h.weight", values).code(), StatusCode::kInvalidArgument);
}

TEST_F(NetworkTest, RefusesBatchesItDidNotPlan) {
    const std::unique_ptr<Network> network = Make(kMixed);
    EXPECT_FALSE(network->Forward({9, nullptr, nullptr, nullptr}, false).ok());
    EXPECT_FALSE(network->Forward({0, nullptr, nullptr, nullptr}, false).ok());
    EXPECT_FALSE(Network::Create(network->spec(), *backend_, 0, false).ok());
    EXPECT_EQ(
        Network::Create(network->spec(), *backend_, std::numeric_limits<int>::max(), false).status().code(),
        StatusCode::kResourceLimit);
}

}  // namespace
}  // namespace dlent
