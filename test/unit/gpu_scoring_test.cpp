// What a session and dlent-gpud say to each other about rows to be scored, and that neither believes the
// other. The whole conversation is tested on a server by test/tap/t/153_gpu_scoring.pl.

#include "gpu/protocol/scoring.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "core/formats/safetensors.h"
#include "core/formats/sha256.h"
#include "core/model/scoring_route.h"
#include "gpu/protocol/channel.h"
#include "network_testing.h"
#include "testing.h"

namespace dlent::gpu {
namespace {

NetworkSpec Spec() {
    return *ParseSpec(R"({"version": 1, "inputs": {"numeric": 3, "plain": 0, "codes": [4, 4]}, "members": 1,
        "layers": [{"name": "output", "type": "dense", "inputs": ["numeric", "codes"], "units": 3}],
        "output": "output"})");
}

/// Two members' weights, as the catalog has them.
std::string Weights() {
    const auto backend = MakeCpuBackend(CpuIsa::kGeneric);
    std::vector<NamedTensorData> tensors;
    for (int member = 0; member < 2; ++member) {
        const auto network = Network::Create(Spec(), *backend, 1, false);
        EXPECT_TRUE((*network)->Initialize(static_cast<uint64_t>(member)).ok());
        auto saved = (*network)->Save();
        EXPECT_TRUE(saved.ok());
        for (NamedTensorData& tensor : *saved) {
            tensor.name = std::to_string(member) + "/" + tensor.name;
            tensors.push_back(std::move(tensor));
        }
    }
    return WriteSafetensors(tensors, {});
}

Parcel Model() {
    const std::string description = DescribeModel(Spec(), 2);
    const std::string weights = Weights();
    auto parcel = PackModel(ModelKey(description, Sha256Hex(weights)), 128, description, weights, kNever);
    EXPECT_TRUE(parcel.ok());
    return std::move(*parcel);
}

std::span<const std::byte> MemoryOf(const Parcel& parcel) {
    return {parcel.memory.data(), parcel.memory.size()};
}

TEST(GpuScoring, AModelArrivesAsItWasSent) {
    const Parcel parcel = Model();
    const auto use = ModelUse::FromJson(parcel.body);
    ASSERT_TRUE(use.ok());
    EXPECT_TRUE(use->has_weights());
    EXPECT_EQ(use->rows, 128u);
    EXPECT_EQ(*use->Bytes(), parcel.memory.size());
    const auto model = UnpackModel(*use, MemoryOf(parcel));
    ASSERT_TRUE(model.ok()) << model.status().message();
    EXPECT_EQ(model->network.ToJson(), Spec().ToJson());
    ASSERT_EQ(model->members.size(), 2u);
    EXPECT_EQ(model->members[0].size(), model->members[1].size());
    EXPECT_EQ(model->members[0][0].name.substr(0, 7), "output.");
    EXPECT_NE(model->members[0][0].values, model->members[1][0].values);
}

TEST(GpuScoring, AKeyNeverMeansOtherWeights) {
    Parcel parcel = Model();
    const auto use = ModelUse::FromJson(parcel.body);
    for (size_t byte : {size_t{40}, parcel.memory.size() - 1}) {
        parcel.memory.data()[byte] ^= std::byte{1};
        EXPECT_EQ(UnpackModel(*use, MemoryOf(parcel)).status().code(), StatusCode::kCorrupt) << byte;
        parcel.memory.data()[byte] ^= std::byte{1};
    }
    EXPECT_TRUE(UnpackModel(*use, MemoryOf(parcel)).ok());
    EXPECT_NE(ModelKey("a", "bc"), ModelKey("ab", "c"));
}

TEST(GpuScoring, ModelsThatCannotBeAreRefused) {
    const Parcel parcel = Model();
    const auto refused = [&](const char* name, const Json& value) {
        Json body = parcel.body;
        body[name] = value;
        const auto use = ModelUse::FromJson(body);
        return !use.ok() || !UnpackModel(*use, MemoryOf(parcel)).ok();
    };
    for (const Json& value : {Json("x"), Json(std::string(64, 'g')), Json(std::string(65, 'a')), Json(1)})
        EXPECT_TRUE(refused("key", value)) << value.dump();
    for (const Json& value : {Json(0), Json(-1), Json(uint64_t{1} << 40), Json("1")})
        EXPECT_TRUE(refused("rows", value)) << value.dump();
    for (const char* name : {"description", "weights"}) {
        for (const Json& value : {Json(0), Json(-1), Json(~uint64_t{0}), Json(uint64_t{1} << 50), Json()})
            EXPECT_TRUE(refused(name, value)) << name << " " << value.dump();
    }
    const auto use = ModelUse::FromJson(parcel.body);
    EXPECT_FALSE(UnpackModel(*use, MemoryOf(parcel).first(parcel.memory.size() - 1)).ok());
    // a description that asks for other members than there are
    const std::string weights = Weights();
    for (const size_t members : {size_t{0}, size_t{1}, size_t{257}}) {
        const std::string description = DescribeModel(Spec(), members);
        const auto other =
            PackModel(ModelKey(description, Sha256Hex(weights)), 1, description, weights, kNever);
        ASSERT_TRUE(other.ok());
        EXPECT_FALSE(UnpackModel(*ModelUse::FromJson(other->body), MemoryOf(*other)).ok()) << members;
    }
    ModelUse known;
    known.key = std::string(64, 'a');
    known.rows = 1;
    EXPECT_FALSE(ModelUse::FromJson(known.ToJson())->has_weights());
}

TEST(GpuScoring, SlotsDoNotOverlap) {
    const auto layout = BlockLayout::Of({5, 3, 1, 2, 6});
    ASSERT_TRUE(layout.ok());
    std::vector<std::byte> memory(layout->bytes());
    const auto fill = [&](int slot, float value) {
        std::fill_n(layout->At<float>(memory.data(), slot, layout->numeric), 15, value);
        std::fill_n(layout->At<float>(memory.data(), slot, layout->plain), 5, value + 1.0f);
        std::fill_n(layout->At<float>(memory.data(), slot, layout->codes), 10, value + 2.0f);
        std::fill_n(layout->At<float>(memory.data(), slot, layout->logits), 30, value + 3.0f);
    };
    fill(0, 10.0f);
    fill(1, 20.0f);
    for (int slot = 0; slot < kBlockSlots; ++slot) {
        const float value = slot == 0 ? 10.0f : 20.0f;
        EXPECT_EQ(layout->At<float>(memory.data(), slot, layout->numeric)[14], value);
        EXPECT_EQ(layout->At<float>(memory.data(), slot, layout->plain)[4], value + 1.0f);
        EXPECT_EQ(layout->At<float>(memory.data(), slot, layout->codes)[9], value + 2.0f);
        EXPECT_EQ(layout->At<float>(memory.data(), slot, layout->logits)[29], value + 3.0f);
    }
}

TEST(GpuScoring, BlocksThatCannotBeAreRefused) {
    const BlockShape shape = BlockShape::Of(Spec(), 100, 6);
    EXPECT_EQ(*BlockShape::FromJson(shape.ToJson()), shape);
    for (const char* name : {"rows", "numeric", "plain", "fields", "logits"}) {
        for (const Json& value : {Json(-1), Json(uint64_t{1} << 33), Json("1"), Json()}) {
            Json body = shape.ToJson();
            body[name] = value;
            EXPECT_FALSE(BlockShape::FromJson(body).ok()) << name << " " << value.dump();
        }
    }
    for (const char* name : {"rows", "logits"}) {
        Json body = shape.ToJson();
        body[name] = 0;
        EXPECT_FALSE(BlockShape::FromJson(body).ok()) << name;
    }
    const BlockReady ready{1, 100};
    const auto back = BlockReady::FromJson(ready.ToJson(), shape);
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->slot, 1);
    EXPECT_EQ(back->rows, 100u);
    EXPECT_FALSE(BlockReady::FromJson({{"slot", kBlockSlots}, {"rows", 1}}, shape).ok());
    EXPECT_FALSE(BlockReady::FromJson({{"slot", 0}, {"rows", 0}}, shape).ok());
    EXPECT_FALSE(BlockReady::FromJson({{"slot", 0}, {"rows", 101}}, shape).ok());
    EXPECT_FALSE(BlockReady::FromJson({{"rows", 1}}, shape).ok());
}

TEST(GpuScoring, BothEndsWriteTheMemoryOfBlocks) {
    auto made = SharedMemory::Create(4096, kNever);
    ASSERT_TRUE(made.ok());
    auto mapped = SharedMemory::Map(FileDescriptor(dup(made->fd())), 4096, SharedMemory::Access::kWrite);
    ASSERT_TRUE(mapped.ok());
    made->data()[7] = std::byte{1};
    mapped->data()[8] = std::byte{2};
    EXPECT_EQ(mapped->data()[7], std::byte{1});
    EXPECT_EQ(made->data()[8], std::byte{2});
}

// ---- where rows are scored when that is left open

ScoringWork Work(double rows, double cpu_us, double weights) {
    ScoringWork work;
    work.rows = rows;
    work.cpu_seconds_per_row = 1e-6 * cpu_us;
    work.flops_per_row = 2.0 * weights;
    work.bytes_per_row = 120.0;
    work.weight_bytes = 4.0 * weights;
    work.block_rows = 8192;
    return work;
}

TEST(ScoringRoute, SmallNetworksStayOnTheCpu) {
    // 10 million rows of a fraction of a microsecond: encoding and sending them costs as much
    const RoutingDecision decision = RouteScoring(Work(1e7, 0.15, 12000), {});
    EXPECT_FALSE(decision.gpu);
    EXPECT_NE(decision.reason.find("the GPU would not be clearly faster"), std::string::npos)
        << decision.reason;
}

TEST(ScoringRoute, FewRowsStayOnTheCpu) {
    const RoutingDecision decision = RouteScoring(Work(1000, 200.0, 1e7), {});
    EXPECT_FALSE(decision.gpu);
    EXPECT_NE(decision.reason.find("the CPU is quick enough"), std::string::npos) << decision.reason;
}

TEST(ScoringRoute, ManyRowsOfALargeNetworkGo) {
    const ScoringWork work = Work(1e6, 200.0, 1e7);
    const RoutingDecision decision = RouteScoring(work, {});
    EXPECT_TRUE(decision.gpu);
    EXPECT_NEAR(decision.cpu_seconds, 200.0, 1e-9);
    // 2e13 operations, 123 blocks, 120 MB of rows, 40 MB of weights, a cold start
    EXPECT_NEAR(decision.gpu_seconds, 4.0 + 0.0369 + 0.12 + 0.04 + 2.0, 1e-6);
    ScoringOffer busy;
    busy.is_warm = true;
    busy.jobs = 99;
    EXPECT_FALSE(RouteScoring(work, busy).gpu) << "others are there already";
}

}  // namespace
}  // namespace dlent::gpu
