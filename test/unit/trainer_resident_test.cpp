// Training on a device that holds the data itself: what a step reads is gathered there, by recorded steps,
// and leads to the same bytes as batches that are brought to it.

#include <cmath>
#include <numeric>

#include "backend_parity.h"
#include "core/train/step_cost.h"
#include "core/train/trainer.h"
#include "gpu/fake/forwarding_backend.h"
#include "kept_rows.h"
#include "network_testing.h"
#include "same_training.h"

namespace dlent {
namespace {

class DrawnRows final : public TrainingData {
 public:
    explicit DrawnRows(size_t rows) : rows_(rows) {}
    size_t rows() const override { return rows_; }
    bool has_weights() const override { return true; }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        for (size_t i = 0; i < rows.size(); ++i) {
            RandomStream random(rows[i]);
            const float x[3] = {random.Normal(), random.Normal(), random.Normal()};
            for (int c = 0; batch.numeric != nullptr && c < 3; ++c)
                batch.numeric[i * 3 + c] = x[c];
            if (batch.codes != nullptr)
                batch.codes[i] = static_cast<int32_t>(rows[i] % 4) - 1;
            if (batch.targets != nullptr)
                static_cast<float*>(batch.targets)[i] = x[0] * x[1] > 0.2f ? 1.0f : 0.0f;
            if (batch.weights != nullptr)
                batch.weights[i] = 1.0f + static_cast<float>(rows[i] % 3);
        }
    }

 private:
    size_t rows_;
};

/// The CPU as a device that holds data.
class ResidentBackend final : public gpu::ForwardingBackend {
 public:
    explicit ResidentBackend(size_t bytes) : ForwardingBackend(MakeCpuBackend()), bytes_(bytes) {}
    size_t ResidentBytes() const override { return bytes_; }
    void GatherRows(int rows, std::span<const RowGather> parts, const uint32_t* order,
                    size_t first) override {
        ++gathers;
        ForwardingBackend::GatherRows(rows, parts, order, first);
    }
    void* Allocate(size_t bytes) override {
        return bytes > largest ? nullptr : ForwardingBackend::Allocate(bytes);
    }

    int gathers = 0;
    size_t largest = static_cast<size_t>(-1);

 private:
    size_t bytes_;
};

struct Outcome {
    std::vector<NamedTensorData> tensors;
    TrainerResult result;
};

/// `kept`: whether the rows lie in memory.
Outcome Train(Backend& backend, TrainerOptions options, size_t validation_rows, bool kept = true) {
    const DrawnRows drawn(500);
    const NetworkSpec spec =
        *ParseSpec(R"({"version": 1, "inputs": {"numeric": 3, "plain": 0, "codes": [3]}, "members": 1,
        "layers": [{"name": "h", "type": "dense", "inputs": ["numeric", "codes"], "units": 12, "activation": "gelu"},
                   {"name": "d", "type": "dropout", "inputs": ["h"], "rate": 0.2},
                   {"name": "output", "type": "dense", "inputs": ["d"], "units": 1}], "output": "output"})");
    const KeptRows in_memory(drawn, spec);
    const TrainingData& data = kept ? static_cast<const TrainingData&>(in_memory) : drawn;
    std::vector<uint32_t> train;
    std::vector<uint32_t> validation;
    for (uint32_t row = 0; row < data.rows(); ++row)
        (validation.size() < validation_rows && row % 3 == 1 ? validation : train).push_back(row);
    options.loss.kind = LossKind::kBinaryCrossEntropy;
    options.optimizer.weight_decay = 0.01f;
    options.learning_rate = 0.01;
    options.batch_size = 37;
    auto network = Network::Create(spec, backend, 37, true);
    EXPECT_TRUE(network.ok() && (*network)->Initialize(3).ok());
    auto result =
        TrainNetwork(**network, backend, data, train, validation, options, NeverCancelled(), nullptr);
    EXPECT_TRUE(result.ok()) << result.status().message();
    return {*(*network)->Save(), std::move(*result)};
}

void ExpectSame(const Outcome& a, const Outcome& b) {
    ExpectSameTraining(a.tensors, a.result, b.tensors, b.result);
}

TEST(TrainerResident, GivesTheSameBytesAsFedBatches) {
    for (const bool average : {false, true})
        for (const OptimizerKind kind : {OptimizerKind::kAdamW, OptimizerKind::kSgd})
            for (const size_t validation_rows : {0, 101}) {
                TrainerOptions options;
                options.optimizer.kind = kind;
                options.ema_decay = average ? 0.95 : 0.0;
                options.max_epochs = 6;
                options.stop_fraction = validation_rows == 0 ? 0.55 : 1.0;
                const auto fed = MakeCpuBackend();
                ResidentBackend resident(size_t{1} << 30);
                ExpectSame(Train(*fed, options, validation_rows), Train(resident, options, validation_rows));
                EXPECT_GT(resident.gathers, 0);
            }
}

TEST(TrainerResident, DataThatOutgrowTheDeviceAreFed) {
    TrainerOptions options;
    options.max_epochs = 2;
    const auto fed = MakeCpuBackend();
    const Outcome expected = Train(*fed, options, 101);
    ResidentBackend small(1000);
    ExpectSame(expected, Train(small, options, 101));
    EXPECT_EQ(small.gathers, 0);
    // it said that it had the room
    ResidentBackend boastful(size_t{1} << 30);
    boastful.largest = 5000;
    ExpectSame(expected, Train(boastful, options, 101));
    EXPECT_EQ(boastful.gathers, 0);
}

TEST(TrainerResident, RowsThatAreMadeWhenTheyAreGatheredAreFed) {
    TrainerOptions options;
    options.max_epochs = 2;
    ResidentBackend resident(size_t{1} << 30);
    const Outcome fed = Train(resident, options, 101, false);
    EXPECT_EQ(resident.gathers, 0);
    ExpectSame(fed, Train(resident, options, 101));
    EXPECT_GT(resident.gathers, 0);
}

/// A device that holds no data, and counts the steps whose operators are enqueued one by one.
class FedBackend final : public gpu::ForwardingBackend {
 public:
    using ForwardingBackend::ForwardingBackend;
    void Loss(const LossSpec& spec, int rows, int outputs, int members, const float* logits,
              const void* targets, const float* row_weights, double* accumulator, float* dlogits,
              float* weight_sum) override {
        ++losses;
        ForwardingBackend::Loss(spec, rows, outputs, members, logits, targets, row_weights, accumulator,
                                dlogits, weight_sum);
    }

    int losses = 0;
};

TEST(TrainerResident, DevicesThatAreFedGiveTheBytesOfThoseThatHoldTheData) {
    TrainerOptions options;
    options.max_epochs = 3;
    for (const parity::BackendCase& device : parity::DeviceBackends()) {
        const std::unique_ptr<Backend> holds = device.make();
        FedBackend is_fed(device.make());
        ASSERT_EQ(is_fed.ResidentBytes(), 0u);
        const Outcome fed = Train(is_fed, options, 101);
        ExpectSame(Train(*holds, options, 101), fed);
        // batches of two sizes, of which some are sized, one is recorded, and the others repeat that
        EXPECT_GT(fed.result.steps, 30) << device.name;
        EXPECT_LT(is_fed.losses, 10) << device.name;
    }
}

TEST(StepsToEnqueue, AreFewerOfLongSteps) {
    EXPECT_EQ(StepsToEnqueue(TrainingFlopsPerRow(139265, 1) * 256, 64), 64);
    EXPECT_EQ(StepsToEnqueue(TrainingFlopsPerRow(139265, 1) * 65536, 64), 36);
    EXPECT_EQ(StepsToEnqueue(TrainingFlopsPerRow(139265, 32) * 65536, 64), 1);
    EXPECT_EQ(StepsToEnqueue(TrainingFlopsPerRow(1000000000, 32) * 65536, 64), 1);
    EXPECT_EQ(StepsToEnqueue(1.0, 1), 1);
}

/// A device that takes many steps at once, and notes how many it was given.
class AheadBackend final : public gpu::ForwardingBackend {
 public:
    AheadBackend() : ForwardingBackend(MakeCpuBackend()) {}
    size_t ResidentBytes() const override { return size_t{1} << 30; }
    int StepsAhead() const override { return 64; }
    std::unique_ptr<StepProgram> MakeStepProgram(StepFunction enqueue) override {
        class Noting final : public StepProgram {
         public:
            Noting(std::unique_ptr<StepProgram> inner, size_t* most)
                : inner_(std::move(inner)), most_(most) {}
            Status Run(std::span<const StepScalars> steps) override {
                *most_ = std::max(*most_, steps.size());
                return inner_->Run(steps);
            }

         private:
            std::unique_ptr<StepProgram> inner_;
            size_t* most_;
        };
        return std::make_unique<Noting>(ForwardingBackend::MakeStepProgram(std::move(enqueue)), &most);
    }

    size_t most = 0;
};

TEST(TrainerResident, StepsThatAreEnqueuedAtOnceGiveTheSameBytes) {
    TrainerOptions options;
    options.max_epochs = 3;
    AheadBackend ahead;
    const Outcome many = Train(ahead, options, 101);
    EXPECT_EQ(ahead.most, 11u);  // of an epoch of 399 rows
    const auto one = MakeCpuBackend();
    ExpectSame(Train(*one, options, 101), many);
}

TEST(TrainerResident, LongStepsAreEnqueuedFewAtATime) {
    const DrawnRows drawn(16 * 2000);
    // a table of many weights, of which a row reads one: the bound is from above
    const NetworkSpec spec =
        *ParseSpec(R"({"version": 1, "inputs": {"numeric": 3, "plain": 0, "codes": [1000000]}, "members": 1,
        "layers": [{"name": "output", "type": "dense", "inputs": ["numeric", "codes"], "units": 12},
                   {"name": "sum", "type": "dense", "inputs": ["output"], "units": 1}], "output": "sum"})");
    const KeptRows data(drawn, spec);
    std::vector<uint32_t> train(data.rows());
    std::iota(train.begin(), train.end(), 0U);
    AheadBackend ahead;
    TrainerOptions options;
    options.loss.kind = LossKind::kBinaryCrossEntropy;
    options.batch_size = 2000;
    options.max_epochs = 1;
    auto network = Network::Create(spec, ahead, options.batch_size, true);
    ASSERT_TRUE(network.ok() && (*network)->Initialize(3).ok());
    const auto result = TrainNetwork(**network, ahead, data, train, {}, options, NeverCancelled(), nullptr);
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_EQ(result->steps, 16);
    EXPECT_EQ(ahead.most, 13u);
}

TEST(TrainerResident, DivergenceIsNoticed) {
    const DrawnRows drawn(200);
    ResidentBackend backend(size_t{1} << 30);
    const NetworkSpec spec =
        *ParseSpec(R"({"version": 1, "inputs": {"numeric": 3, "plain": 0, "codes": [3]}, "members": 1,
        "layers": [{"name": "h", "type": "dense", "inputs": ["numeric", "codes"], "units": 8},
                   {"name": "output", "type": "dense", "inputs": ["h"], "units": 1}], "output": "output"})");
    const KeptRows data(drawn, spec);
    auto network = Network::Create(spec, backend, 10, true);
    ASSERT_TRUE((*network)->Initialize(3).ok());
    std::vector<uint32_t> train(200);
    for (uint32_t row = 0; row < 200; ++row)
        train[row] = row;
    TrainerOptions options;
    options.optimizer.kind = OptimizerKind::kSgd;
    options.learning_rate = 1e20;
    options.clip_norm = 0.0;
    options.batch_size = 10;
    const auto result = TrainNetwork(**network, backend, data, train, {}, options, NeverCancelled(), nullptr);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().code(), StatusCode::kNonFinite);
}

}  // namespace
}  // namespace dlent
