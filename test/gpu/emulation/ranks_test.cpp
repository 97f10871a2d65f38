// One network on several ranks of the CUDA device, whose own code runs here on an emulated runtime and an
// emulated NCCL: threads, as the processes of cards. What holds of the stand-in's ranks
// (test/unit/trainer_ranks_test.cpp) holds of these.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <future>
#include <thread>

#include "core/train/share.h"
#include "core/train/trainer.h"
#include "gpu/cuda/cuda_backend.h"
#include "gpu/fake/forwarding_backend.h"
#include "kept_rows.h"
#include "network_testing.h"
#include "same_training.h"

namespace dlent {
namespace {

constexpr size_t kRows = 40;

class RankRows final : public TrainingData {
 public:
    size_t rows() const override { return kRows; }
    bool has_weights() const override { return true; }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        for (size_t i = 0; i < rows.size(); ++i) {
            RandomStream random(rows[i] + 5);
            const float x[2] = {random.Normal(), random.Normal()};
            for (int c = 0; batch.numeric != nullptr && c < 2; ++c)
                batch.numeric[i * 2 + c] = x[c];
            if (batch.codes != nullptr)
                batch.codes[i] = static_cast<int32_t>(random.NextBelow(4)) - 1;
            if (batch.targets != nullptr)
                static_cast<float*>(batch.targets)[i] = x[0] * x[1] > 0.1f ? 1.0f : 0.0f;
            if (batch.weights != nullptr)
                batch.weights[i] = std::exp(random.Normal());
        }
    }
};

/// What the session does for the ranks of a group: it tells all of them the first one's id.
struct Meeting {
    std::promise<DlentGroupId> made;
    std::shared_future<DlentGroupId> id = made.get_future().share();
};

/// One rank as a process of a card has it.
struct Rank {
    Meeting* meeting;
    const CancelToken* cancel;
    DlentGroup group{};
    std::atomic<bool> has_failed = false;
    std::atomic<int> idle_looks = 0;
    std::atomic<int> busy_looks = 0;

    Rank(Meeting* meeting_, int rank, int ranks, const CancelToken* cancel_)
        : meeting(meeting_), cancel(cancel_) {
        group.rank = rank;
        group.ranks = ranks;
        group.context = this;
        group.publish = [](void* context, const DlentGroupId* id) {
            static_cast<Rank*>(context)->meeting->made.set_value(*id);
        };
        group.must_end = [](void* context, int idle) {
            auto* const self = static_cast<Rank*>(context);
            (idle != 0 ? self->idle_looks : self->busy_looks) += 1;
            return self->cancel->IsCancelled() || self->has_failed ? 1 : 0;
        };
    }
};

struct RanksOutcome {
    Status status;
    std::vector<NamedTensorData> tensors;
    TrainerResult result;
    int idle_looks = 0;
    int busy_looks = 0;
};

struct Plan {
    bool fed = false;  ///< rather than resident
    int batch_size = 16;
    int epochs = 2;
    size_t validation_rows = 0;
    std::vector<const CancelToken*> cancels;  ///< by rank
    int absent_rank = -1;                     ///< that never joins
    bool limited_memory = false;              ///< of the last rank
};

RanksOutcome TrainOne(const Plan& plan, int rank, int ranks, Meeting* meeting) {
    static const NeverCancelled never;
    const CancelToken* const cancel = plan.cancels.empty() ? &never : plan.cancels[static_cast<size_t>(rank)];
    RanksOutcome outcome;
    Rank self(meeting, rank, ranks, cancel);
    std::atomic<size_t> room =
        plan.limited_memory && rank == ranks - 1 ? (size_t{40} << 20) + 3000 : size_t{1} << 40;
    DlentMemoryGate gate = {
        &room,
        [](void* context, size_t bytes) {
            auto* const left = static_cast<std::atomic<size_t>*>(context);
            if (bytes > *left)
                return 0;
            *left -= bytes;
            return 1;
        },
        [](void* context, size_t bytes) { *static_cast<std::atomic<size_t>*>(context) += bytes; }};
    std::string reason;
    std::unique_ptr<Backend> device = cuda::MakeCudaBackend(0, gpu::Precision::kFp32, gate, &reason);
    EXPECT_NE(device, nullptr) << reason;
    if (ranks > 1) {
        if (rank > 0)
            self.group.id = meeting->id.get();
        outcome.status = cuda::JoinCudaGroup(*device, &self.group);
        if (!outcome.status.ok())
            return outcome;
    }
    // fed: no memory for data, and batches that are brought to the device
    std::unique_ptr<Backend> backend = std::move(device);
    if (plan.fed)
        backend = std::make_unique<gpu::ForwardingBackend>(std::move(backend));
    std::vector<uint32_t> train;
    std::vector<uint32_t> validation;
    for (uint32_t row = 0; row < kRows; ++row)
        (validation.size() < plan.validation_rows && row % 2 == 1 ? validation : train).push_back(row);
    const NetworkSpec spec =
        *ParseSpec(R"({"version": 1, "inputs": {"numeric": 2, "plain": 0, "codes": [3]}, "members": 1,
        "layers": [{"name": "h", "type": "dense", "inputs": ["numeric", "codes"], "units": 6, "activation": "relu"},
                   {"name": "output", "type": "dense", "inputs": ["h"], "units": 1}], "output": "output"})");
    const RankRows drawn;
    const KeptRows data(drawn, spec);
    TrainerOptions options;
    options.loss.kind = LossKind::kBinaryCrossEntropy;
    options.optimizer.kind = OptimizerKind::kSgd;
    options.learning_rate = 0.05;
    options.batch_size = plan.batch_size;
    options.max_epochs = plan.epochs;
    options.stopping.rule = StoppingRule::kNone;
    auto network = Network::Create(
        spec, *backend, static_cast<int>(LargestShare(static_cast<size_t>(plan.batch_size), ranks)), true);
    outcome.status = network.status();
    self.has_failed = !network.ok();
    if (!network.ok())
        return outcome;
    EXPECT_TRUE((*network)->Initialize(3).ok());
    auto result = TrainNetwork(**network, *backend, data, train, validation, options, *cancel, nullptr);
    outcome.status = result.status();
    self.has_failed = !result.ok();
    if (result.ok()) {
        outcome.tensors = *(*network)->Save();
        outcome.result = std::move(*result);
    }
    outcome.idle_looks = self.idle_looks;
    outcome.busy_looks = self.busy_looks;
    network->reset();
    backend.reset();  // before the group that it belongs to
    return outcome;
}

std::vector<RanksOutcome> TrainAll(const Plan& plan, int ranks) {
    std::vector<RanksOutcome> outcomes(static_cast<size_t>(ranks));
    Meeting meeting;
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; ++rank)
        if (rank != plan.absent_rank)
            threads.emplace_back(
                [&, rank] { outcomes[static_cast<size_t>(rank)] = TrainOne(plan, rank, ranks, &meeting); });
    for (std::thread& thread : threads)
        thread.join();
    return outcomes;
}

void ExpectAlike(const std::vector<RanksOutcome>& outcomes) {
    for (const RanksOutcome& outcome : outcomes) {
        ASSERT_TRUE(outcome.status.ok()) << outcome.status.message();
        ExpectSameTraining(outcomes[0].tensors, outcomes[0].result, outcome.tensors, outcome.result);
    }
}

/// Cancelled a while after the test began.
class SoonCancelled final : public CancelToken {
 public:
    bool IsCancelled() const override { return std::chrono::steady_clock::now() >= end_; }

 private:
    const std::chrono::steady_clock::time_point end_ =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(150);
};

TEST(EmulatedCudaRanks, GiveTheWeightsOfOneCardUpToRounding) {
    struct Variant {
        bool fed;
        int batch_size;
        int ranks;
        size_t validation_rows;
    };
    // whole shares, uneven ones, and one that is empty in each step
    for (const Variant& v :
         {Variant{false, 16, 2, 0}, {false, 7, 3, 21}, {false, 2, 3, 0}, {true, 7, 2, 21}}) {
        SCOPED_TRACE(std::to_string(v.ranks) + " ranks, batches of " + std::to_string(v.batch_size));
        Plan plan;
        plan.fed = v.fed;
        plan.batch_size = v.batch_size;
        plan.validation_rows = v.validation_rows;
        const std::vector<RanksOutcome> alone = TrainAll(plan, 1);
        ASSERT_TRUE(alone[0].status.ok()) << alone[0].status.message();
        const std::vector<RanksOutcome> together = TrainAll(plan, v.ranks);
        ExpectAlike(together);
        for (size_t t = 0; t < alone[0].tensors.size(); ++t)
            for (size_t i = 0; i < alone[0].tensors[t].values.size(); ++i)
                EXPECT_NEAR(together[0].tensors[t].values[i], alone[0].tensors[t].values[i], 2e-5);
        EXPECT_NEAR(together[0].result.log.back().train_loss, alone[0].result.log.back().train_loss, 1e-5);
    }
}

TEST(EmulatedCudaRanks, OneThatIsCancelledTakesTheOthersAlong) {
    for (const bool fed : {false, true}) {
        const NeverCancelled never;
        const SoonCancelled soon;
        Plan plan;
        plan.fed = fed;
        plan.epochs = 1 << 20;
        plan.cancels = {&never, &soon, &never};
        for (const RanksOutcome& outcome : TrainAll(plan, 3))
            EXPECT_EQ(outcome.status.code(), StatusCode::kCancelled);
    }
}

TEST(EmulatedCudaRanks, OneWithoutMemoryTakesTheOthersAlong) {
    Plan plan;
    plan.epochs = 1 << 20;
    plan.limited_memory = true;
    const std::vector<RanksOutcome> outcomes = TrainAll(plan, 3);
    EXPECT_EQ(outcomes[0].status.code(), StatusCode::kCancelled);
    EXPECT_EQ(outcomes[1].status.code(), StatusCode::kCancelled);
    EXPECT_EQ(outcomes[2].status.code(), StatusCode::kOutOfMemory);
}

TEST(EmulatedCudaRanks, WhoWaitsForOneThatNeverComesCanBeCancelled) {
    const SoonCancelled soon;
    Plan plan;
    plan.cancels = {&soon, &soon, &soon};
    plan.absent_rank = 2;
    const std::vector<RanksOutcome> outcomes = TrainAll(plan, 3);
    EXPECT_EQ(outcomes[0].status.code(), StatusCode::kCancelled);
    EXPECT_EQ(outcomes[1].status.code(), StatusCode::kCancelled);
}

/// A rank that is late keeps the other waiting in the middle of its work, where it says that it is idle: no
/// watchdog is to take that for a card that hangs.
TEST(EmulatedCudaRanks, WaitingForOthersIsBeingIdle) {
    class Late final : public CancelToken {
     public:
        bool IsCancelled() const override {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            return false;
        }
    };
    const NeverCancelled never;
    const Late late;
    Plan plan;
    plan.cancels = {&never, &late};
    const std::vector<RanksOutcome> outcomes = TrainAll(plan, 2);
    ExpectAlike(outcomes);
    EXPECT_GT(outcomes[0].idle_looks, 0);
    EXPECT_EQ(outcomes[0].busy_looks, 0) << "kernels of its own take no time here";
}

}  // namespace
}  // namespace dlent
