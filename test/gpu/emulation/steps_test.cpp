// How much a recorded step of the CUDA device is: what a small network's step costs on a card is the number
// of kernels that wait for each other, two to four microseconds each.

#include <gtest/gtest.h>

#include <numeric>

#include "core/train/trainer.h"
#include "gpu/cuda/cuda_backend.h"
#include "graphs.h"
#include "kept_rows.h"
#include "network_testing.h"

namespace dlent {
namespace {

class StepRows final : public TrainingData {
 public:
    size_t rows() const override { return 64; }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        for (size_t i = 0; i < rows.size(); ++i) {
            RandomStream random(rows[i] + 5);
            for (int c = 0; batch.numeric != nullptr && c < 4; ++c)
                batch.numeric[i * 4 + c] = random.Normal();
            for (int c = 0; batch.codes != nullptr && c < 2; ++c)
                batch.codes[i * 2 + c] = static_cast<int32_t>(random.NextBelow(3));
            if (batch.targets != nullptr)
                static_cast<float*>(batch.targets)[i] = random.Normal() > 0.0f ? 1.0f : 0.0f;
        }
    }
};

/// Trains for some steps, of which the last graph is one; the weights.
void Train(const char* network_json, bool averages, std::vector<NamedTensorData>* tensors = nullptr) {
    static const DlentMemoryGate gate = {nullptr, [](void*, size_t) { return 1; }, [](void*, size_t) {}};
    std::string reason;
    const std::unique_ptr<Backend> backend = cuda::MakeCudaBackend(0, gpu::Precision::kFp32, gate, &reason);
    ASSERT_NE(backend, nullptr) << reason;
    auto network = Network::Create(*ParseSpec(network_json), *backend, 16, true);
    ASSERT_TRUE(network.ok()) << network.status().message();
    ASSERT_TRUE((*network)->Initialize(1).ok());
    const StepRows rows;
    const KeptRows data(rows, (*network)->spec());
    std::vector<uint32_t> numbers(rows.rows());
    std::iota(numbers.begin(), numbers.end(), 0u);
    TrainerOptions options;
    options.loss.kind = LossKind::kBinaryCrossEntropy;
    options.batch_size = 16;
    options.max_epochs = 2;
    options.ema_decay = averages ? 0.9 : 0.0;
    options.stopping.rule = StoppingRule::kNone;
    const auto result =
        TrainNetwork(**network, *backend, data, numbers, {}, options, NeverCancelled(), nullptr);
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_EQ(result->steps, 8);
    if (tensors != nullptr)
        *tensors = *(*network)->Save();
}

constexpr const char* kThreeDenseLayers =
    R"({"version":1,"inputs":{"numeric":4,"plain":0,"codes":[]},"layers":[
        {"name":"a","type":"dense","inputs":["numeric"],"units":8,"activation":"relu"},
        {"name":"b","type":"dense","inputs":["a"],"units":8,"activation":"relu"},
        {"name":"c","type":"dense","inputs":["b"],"units":8,"activation":"relu"},
        {"name":"out","type":"dense","inputs":["c"],"units":1}],"output":"out"})";

TEST(RecordedStep, OfThreeDenseLayersIsFewKernels) {
    Train(kThreeDenseLayers, false);
    // The next step, its rows, 4 products, the loss; 7 products and 3 slopes backward, of which 3 products
    // run beside another, and a sum for the one bias whose gradient is no epilogue here; the clip factor and
    // the optimiser.
    EXPECT_EQ(cuda::LastGraphSize().work, 20u);
    EXPECT_EQ(cuda::LastGraphSize().depth, 17u);
}

TEST(RecordedStep, ThatCannotBeRecordedIsCarriedOutAsItIs) {
    std::vector<NamedTensorData> expected;
    Train(kThreeDenseLayers, false, &expected);
    for (const int failures : {1, 2, 100}) {
        cuda::FailRecordings(failures);
        std::vector<NamedTensorData> tensors;
        Train(kThreeDenseLayers, false, &tensors);
        cuda::FailRecordings(0);
        ASSERT_EQ(tensors.size(), expected.size());
        for (size_t i = 0; i < tensors.size(); ++i)
            EXPECT_EQ(tensors[i].values, expected[i].values) << failures << " failures, " << tensors[i].name;
    }
}

TEST(RecordedStep, OfAnEnsembleIsFewKernels) {
    Train(R"({"version":1,"inputs":{"numeric":4,"plain":0,"codes":[3,3]},"members":8,"layers":[
        {"name":"a","type":"batch_ensemble_dense","inputs":["numeric","codes"],"units":8,"activation":"relu",
         "init":"random_signs"},
        {"name":"b","type":"batch_ensemble_dense","inputs":["a"],"units":8,"activation":"relu"},
        {"name":"out","type":"ensemble_heads","inputs":["b"],"units":1}],"output":"out"})",
          true);
    EXPECT_EQ(cuda::LastGraphSize().work, 30u);
    EXPECT_EQ(cuda::LastGraphSize().depth, 28u);
}

}  // namespace
}  // namespace dlent
