// A device as a rank: where there is one card, it is a group of its own, whose sums are what they were, by
// the same library, waits and recorded steps as those of several.

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

#include "core/train/trainer.h"
#include "device_under_test.h"
#include "kept_rows.h"
#include "network_testing.h"

namespace dlent::gpu {
namespace {

constexpr size_t kRows = 700;

class CountedRows final : public TrainingData {
 public:
    size_t rows() const override { return kRows; }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        for (size_t i = 0; i < rows.size(); ++i) {
            RandomStream random(rows[i] + 1);
            const float x[3] = {random.Normal(), random.Normal(), random.Normal()};
            for (int c = 0; batch.numeric != nullptr && c < 3; ++c)
                batch.numeric[i * 3 + c] = x[c];
            if (batch.targets != nullptr)
                static_cast<float*>(batch.targets)[i] = x[0] * x[1] + x[2];
        }
    }
};

class DeviceGroup : public testing::Test {
 protected:
    void SetUp() override {
        group_.rank = 0;
        group_.ranks = 1;
        group_.context = this;
        group_.publish = [](void* context, const DlentGroupId*) {
            ++static_cast<DeviceGroup*>(context)->published_;
        };
        group_.must_end = [](void* context, int) {
            return static_cast<DeviceGroup*>(context)->must_end_.load() ? 1 : 0;
        };
        Expected<DeviceBackend> made = ThePlugin().MakeBackend(0, Precision::kFp32, Unlimited());
        ASSERT_TRUE(made.ok()) << made.status().message();
        backend_ = std::move(*made);
    }

    /// Skips where the library that ranks need is not there.
    void Join() {
        const Status joined = ThePlugin().JoinGroup(0, *backend_, &group_);
        if (joined.code() == StatusCode::kUnsupported)
            GTEST_SKIP() << joined.detail();
        ASSERT_TRUE(joined.ok()) << joined.message();
        EXPECT_EQ(published_, 1);
    }

    std::vector<float> Train() {
        const NetworkSpec spec =
            *ParseSpec(R"({"version": 1, "inputs": {"numeric": 3, "plain": 0, "codes": []}, "members": 1,
            "layers": [{"name": "h", "type": "dense", "inputs": ["numeric"], "units": 32, "activation": "relu"},
                       {"name": "output", "type": "dense", "inputs": ["h"], "units": 1}], "output": "output"})");
        const CountedRows drawn;
        const KeptRows data(drawn, spec);
        std::vector<uint32_t> rows(kRows);
        std::iota(rows.begin(), rows.end(), 0u);
        TrainerOptions options;
        options.batch_size = 64;
        options.max_epochs = 5;
        auto network = Network::Create(spec, *backend_, 64, true);
        EXPECT_TRUE(network.ok() && (*network)->Initialize(3).ok());
        const auto result = TrainNetwork(**network, *backend_, data, std::span(rows).first(600),
                                         std::span(rows).subspan(600), options, NeverCancelled(), nullptr);
        EXPECT_TRUE(result.ok()) << result.status().message();
        const std::vector<NamedTensorData> tensors = *(*network)->Save();
        std::vector<float> weights;
        for (const NamedTensorData& tensor : tensors)
            weights.insert(weights.end(), tensor.values.begin(), tensor.values.end());
        return weights;
    }

    std::atomic<bool> must_end_ = false;
    int published_ = 0;
    DlentGroup group_{};  // outlives the backend
    DeviceBackend backend_{nullptr, {nullptr}};
};

TEST_F(DeviceGroup, OfOneCardSumsUpToItself) {
    Join();
    EXPECT_EQ(backend_->ranks(), 1);
    std::vector<float> values(100000);
    std::iota(values.begin(), values.end(), 0.5f);
    std::vector<double> wide = {1.0, -2.5};
    auto* const device = static_cast<float*>(backend_->Allocate(values.size() * sizeof(float)));
    auto* const device_wide = static_cast<double*>(backend_->Allocate(wide.size() * sizeof(double)));
    backend_->Upload(device, values.data(), values.size() * sizeof(float));
    backend_->Upload(device_wide, wide.data(), wide.size() * sizeof(double));
    for (int i = 0; i < 100; ++i)
        backend_->AllReduceSum(values.size(), device);
    backend_->AllReduceSum(wide.size(), device_wide);
    std::vector<float> sums(values.size());
    std::vector<double> wide_sums(wide.size());
    backend_->Download(sums.data(), device, sums.size() * sizeof(float));
    backend_->Download(wide_sums.data(), device_wide, wide_sums.size() * sizeof(double));
    ASSERT_TRUE(backend_->Synchronize().ok());
    EXPECT_EQ(sums, values);
    EXPECT_EQ(wide_sums, wide);
    backend_->Free(device);
    backend_->Free(device_wide);
}

TEST_F(DeviceGroup, SumsStandBetweenTheGraphsOfRecordedSteps) {
    Join();
    constexpr size_t kCount = 1000;
    auto* const value = static_cast<float*>(backend_->Allocate(kCount * sizeof(float)));
    auto* const copy = static_cast<float*>(backend_->Allocate(kCount * sizeof(float)));
    const std::vector<float> ones(kCount, 1.0f);
    backend_->Upload(value, ones.data(), kCount * sizeof(float));
    {
        const auto program = backend_->MakeStepProgram([&](const StepScalars&) {
            backend_->Axpy(kCount, 1.0f, value, value);  // twice as much
            backend_->AllReduceSum(kCount, value);
            backend_->Copy(copy, value, kCount * sizeof(float));
            return Status::Ok();
        });
        std::vector<StepScalars> steps(10);
        for (StepScalars& step : steps)
            step.rows = 1;
        ASSERT_TRUE(program->Run(steps).ok());
        std::vector<float> result(kCount);
        backend_->Download(result.data(), copy, kCount * sizeof(float));
        ASSERT_TRUE(backend_->Synchronize().ok());
        EXPECT_EQ(result, std::vector<float>(kCount, 1024.0f));
    }
    backend_->Free(value);
    backend_->Free(copy);
}

TEST_F(DeviceGroup, OfOneCardTrainsToTheBytesOfACardAlone) {
    const std::vector<float> alone = Train();
    SetUp();
    Join();
    EXPECT_EQ(Train(), alone);
}

TEST_F(DeviceGroup, ThatMustEndSaysSoAndLeavesTheDeviceUsable) {
    Join();
    must_end_ = true;
    auto* const value = static_cast<float*>(backend_->Allocate(sizeof(float)));
    for (int i = 0; i < 10000; ++i)
        backend_->AllReduceSum(1, value);
    const Status ended = backend_->Synchronize();
    EXPECT_TRUE(ended.ok() || ended.code() == StatusCode::kCancelled) << ended.message();
    backend_->Free(value);
    backend_.reset();
    must_end_ = false;
    SetUp();
    EXPECT_FALSE(Train().empty());
}

}  // namespace
}  // namespace dlent::gpu
