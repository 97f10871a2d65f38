// One network on several ranks, each of which computes a share of every batch: threads here, whose sums go
// over the stand-in's memory. All ranks have the same bytes, whatever happens, and those of one device up to
// rounding.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <numeric>
#include <set>
#include <thread>

#include "core/train/share.h"
#include "core/train/trainer.h"
#include "gpu/fake/ranked_backend.h"
#include "kept_rows.h"
#include "network_testing.h"
#include "same_training.h"

namespace dlent {
namespace {

using gpu::RankedBackend;
using gpu::SharedGroup;

/// Rows whose weights differ much from batch to batch and rank to rank: a mean of means would be another.
class WeightedRows final : public TrainingData {
 public:
    WeightedRows(size_t rows, int classes, bool weighted)
        : rows_(rows), classes_(classes), weighted_(weighted) {}
    size_t rows() const override { return rows_; }
    bool has_weights() const override { return weighted_; }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        for (size_t i = 0; i < rows.size(); ++i) {
            RandomStream random(rows[i] + 11);
            const float x[3] = {random.Normal(), random.Normal(), random.Normal()};
            for (int c = 0; batch.numeric != nullptr && c < 3; ++c)
                batch.numeric[i * 3 + c] = x[c];
            if (batch.codes != nullptr)
                batch.codes[i] = static_cast<int32_t>(rows[i] % 4) - 1;
            const float score = x[0] * x[1] + 0.5f * x[2];
            if (batch.targets != nullptr && classes_ > 2)
                static_cast<int32_t*>(batch.targets)[i] = score < -0.4f ? 0 : score < 0.5f ? 1 : 2;
            else if (batch.targets != nullptr)
                static_cast<float*>(batch.targets)[i] = classes_ == 2 ? (score > 0.2f ? 1.0f : 0.0f) : score;
            if (batch.weights != nullptr)
                batch.weights[i] = rows[i] % 5 == 0 ? 0.0f : std::exp(2.0f * random.Normal());
        }
    }

 private:
    size_t rows_;
    int classes_;
    bool weighted_;
};

struct Case {
    size_t rows = 300;
    size_t validation_rows = 0;
    int classes = 2;
    bool weighted = true;
    bool resident = false;
    int members = 1;
    std::string extra_layers;  ///< before the output, which reads "last"
    std::string last = "h";
    TrainerOptions options;
};

Case MakeCase(int batch_size) {
    Case c;
    c.options.loss.kind = LossKind::kBinaryCrossEntropy;
    c.options.optimizer.kind = OptimizerKind::kSgd;
    c.options.optimizer.weight_decay = 0.01f;
    c.options.learning_rate = 0.05;
    c.options.clip_norm = 0.4;
    c.options.batch_size = batch_size;
    c.options.max_epochs = 3;
    c.options.stopping.rule = StoppingRule::kNone;
    return c;
}

NetworkSpec SpecOf(const Case& c) {
    const std::string units = c.classes > 2 ? std::to_string(c.classes) : "1";
    const std::string layers =
        c.members > 1
            ? R"({"name": "h", "type": "batch_ensemble_dense", "inputs": ["numeric", "codes"], "units": 12, "activation": "relu", "init": "random_signs"},
                 {"name": "output", "type": "ensemble_heads", "inputs": ["h"], "units": )" +
                  units + "}"
            : R"({"name": "h", "type": "dense", "inputs": ["numeric", "codes"], "units": 12, "activation": "gelu"},)" +
                  c.extra_layers + R"({"name": "output", "type": "dense", "inputs": [")" + c.last +
                  R"("], "units": )" + units + "}";
    return *ParseSpec(R"({"version": 1, "inputs": {"numeric": 3, "plain": 0, "codes": [3]}, "members": )" +
                      std::to_string(c.members) + R"(, "layers": [)" + layers + R"(], "output": "output"})");
}

/// A rank whose backend can be watched, and made to fail.
class WatchedBackend final : public RankedBackend {
 public:
    explicit WatchedBackend(bool resident) : RankedBackend(MakeCpuBackend()), resident_(resident) {}
    size_t ResidentBytes() const override { return resident_ ? size_t{1} << 30 : 0; }
    void* Allocate(size_t bytes) override {
        return --allocations_left == 0 ? nullptr : RankedBackend::Allocate(bytes);
    }
    void Dropout(size_t count, float rate, uint64_t seed, uint64_t step, const float* x, float* y) override {
        dropout_seeds.insert(seed);
        RankedBackend::Dropout(count, rate, seed, step, x, y);
    }
    void Loss(const LossSpec& spec, int rows, int outputs, int members, const float* logits,
              const void* targets, const float* row_weights, double* accumulator, float* dlogits,
              float* weight_sum) override {
        most_rows = std::max(most_rows, rows);
        ++shares;
        RankedBackend::Loss(spec, rows, outputs, members, logits, targets, row_weights, accumulator, dlogits,
                            weight_sum);
    }

    void GatherRows(int rows, std::span<const RowGather> parts, const uint32_t* order,
                    size_t first) override {
        ++gathers;
        RankedBackend::GatherRows(rows, parts, order, first);
    }

    int allocations_left = -1;
    int gathers = 0;  ///< of rows that the device holds
    std::set<uint64_t> dropout_seeds;
    int most_rows = 0;
    int shares = 0;  ///< that were not empty

 private:
    bool resident_;
};

struct RankOutcome {
    Status status;
    std::vector<NamedTensorData> tensors;
    TrainerResult result;
    std::set<uint64_t> dropout_seeds;
    int most_rows = 0;
    int shares = 0;
};

/// After a while.
class CancelledLater final : public CancelToken {
 public:
    explicit CancelledLater(std::chrono::milliseconds when) : end_(std::chrono::steady_clock::now() + when) {}
    bool IsCancelled() const override { return std::chrono::steady_clock::now() >= end_; }

 private:
    const std::chrono::steady_clock::time_point end_;
};

struct Trouble {
    std::vector<const CancelToken*> cancels;  ///< by rank; null: never
    std::vector<double> max_seconds;          ///< by rank
    int failing_rank = -1;                    ///< whose memory ends
    int failing_allocation = 0;
};

RankOutcome TrainRank(const Case& c, int rank, int ranks, std::unique_ptr<SharedGroup> group,
                      const Trouble& trouble) {
    RankOutcome outcome;
    const WeightedRows drawn(c.rows, c.classes, c.weighted);
    const KeptRows data(drawn, SpecOf(c));
    std::vector<uint32_t> train;
    std::vector<uint32_t> validation;
    for (uint32_t row = 0; row < data.rows(); ++row)
        (validation.size() < c.validation_rows && row % 3 == 1 ? validation : train).push_back(row);
    TrainerOptions options = c.options;
    if (!trouble.max_seconds.empty())
        options.max_seconds = trouble.max_seconds[static_cast<size_t>(rank)];
    WatchedBackend backend(c.resident);
    if (group != nullptr)
        backend.Join(std::move(group));
    // no rank needs room for more than its share
    auto network =
        Network::Create(SpecOf(c), backend,
                        static_cast<int>(LargestShare(static_cast<size_t>(options.batch_size), ranks)), true);
    EXPECT_TRUE(network.ok() && (*network)->Initialize(3).ok());
    if (trouble.failing_rank == rank)
        backend.allocations_left = trouble.failing_allocation;
    const NeverCancelled never;
    const CancelToken* const given =
        trouble.cancels.empty() ? nullptr : trouble.cancels[static_cast<size_t>(rank)];
    const CancelToken& cancel = given == nullptr ? never : *given;
    auto result = TrainNetwork(**network, backend, data, train, validation, options, cancel, nullptr);
    outcome.status = result.status();
    if (result.ok()) {
        outcome.tensors = *(*network)->Save();
        outcome.result = std::move(*result);
    }
    outcome.dropout_seeds = backend.dropout_seeds;
    EXPECT_EQ(backend.gathers > 0, c.resident && result.ok());
    outcome.most_rows = backend.most_rows;
    outcome.shares = backend.shares;
    return outcome;
}

/// As many ranks as are wanted, one for each thread.
std::vector<std::unique_ptr<SharedGroup>> MakeGroup(int ranks) {
    std::vector<std::unique_ptr<SharedGroup>> group;
    const auto add = [&group](Expected<std::unique_ptr<SharedGroup>> rank) {
        EXPECT_TRUE(rank.ok()) << rank.status().message();
        group.push_back(std::move(*rank));
    };
    add(SharedGroup::Create(ranks, [] { return false; }));
    for (int rank = 1; rank < ranks; ++rank)
        add(SharedGroup::Join(group[0]->id(), rank, ranks, [] { return false; }));
    return group;
}

std::vector<RankOutcome> Train(const Case& c, int ranks, const Trouble& trouble = {}) {
    std::vector<RankOutcome> outcomes(static_cast<size_t>(ranks));
    if (ranks == 1) {
        outcomes[0] = TrainRank(c, 0, 1, nullptr, trouble);
        return outcomes;
    }
    std::vector<std::unique_ptr<SharedGroup>> group = MakeGroup(ranks);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; ++rank)
        threads.emplace_back([&, rank, mine = std::move(group[static_cast<size_t>(rank)])]() mutable {
            outcomes[static_cast<size_t>(rank)] = TrainRank(c, rank, ranks, std::move(mine), trouble);
        });
    for (std::thread& thread : threads)
        thread.join();
    return outcomes;
}

void ExpectSameBytes(const std::vector<RankOutcome>& outcomes) {
    for (const RankOutcome& outcome : outcomes) {
        ASSERT_TRUE(outcome.status.ok()) << outcome.status.message();
        ExpectSameTraining(outcomes[0].tensors, outcomes[0].result, outcome.tensors, outcome.result);
    }
}

/// ‖a − b‖ / ‖b‖ of the tensor where that is largest.
double Distance(const std::vector<NamedTensorData>& a, const std::vector<NamedTensorData>& b) {
    double largest = 0.0;
    for (size_t t = 0; t < a.size(); ++t) {
        double difference = 0.0;
        double norm = 1e-12;
        for (size_t i = 0; i < a[t].values.size(); ++i) {
            difference += std::pow(static_cast<double>(a[t].values[i]) - b[t].values[i], 2);
            norm += std::pow(static_cast<double>(b[t].values[i]), 2);
        }
        largest = std::max(largest, std::sqrt(difference / norm));
    }
    return largest;
}

TEST(Share, SharesFollowEachOtherAndDifferByOne) {
    for (const int ranks : {1, 2, 3, 7})
        for (size_t count = 0; count < 40; ++count) {
            size_t next = 0;
            for (int rank = 0; rank < ranks; ++rank) {
                const Share share = ShareOf(count, rank, ranks);
                EXPECT_EQ(share.begin, next);
                EXPECT_LE(share.count, LargestShare(count, ranks));
                EXPECT_LE(LargestShare(count, ranks), share.count + 1);
                next += share.count;
            }
            EXPECT_EQ(next, count);
        }
}

TEST(SharedGroup, SumsOfAnyLengthAreTheSameBitsOnAllRanks) {
    constexpr int kRanks = 3;
    constexpr size_t kCount = 40000;  // more than are added up at a time
    const std::vector<std::unique_ptr<SharedGroup>> group = MakeGroup(kRanks);
    std::vector<std::vector<float>> values(kRanks);
    std::vector<float> expected(kCount, 0.0f);
    for (int rank = 0; rank < kRanks; ++rank) {
        RandomStream random(static_cast<uint64_t>(rank));
        for (size_t i = 0; i < kCount; ++i) {
            values[static_cast<size_t>(rank)].push_back(random.Normal());
            expected[i] = rank == 0 ? values[0][i] : expected[i] + values[static_cast<size_t>(rank)][i];
        }
    }
    std::vector<std::thread> threads;
    for (size_t rank = 0; rank < kRanks; ++rank)
        threads.emplace_back([&, rank] {
            double one = 1.0;
            EXPECT_TRUE(group[rank]->Sum(1, &one).ok());
            EXPECT_EQ(one, kRanks);
            EXPECT_TRUE(group[rank]->Sum(kCount, values[rank].data()).ok());
            EXPECT_TRUE(group[rank]->Sum(0, values[rank].data()).ok());
        });
    for (std::thread& thread : threads)
        thread.join();
    for (const std::vector<float>& of_rank : values)
        EXPECT_EQ(of_rank, expected);
}

TEST(SharedGroup, WhoWaitsIsToldThatOneHasLeft) {
    std::vector<std::unique_ptr<SharedGroup>> group = MakeGroup(2);
    std::thread leaves([&group] {
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
        group[1].reset();
    });
    double value = 1.0;
    EXPECT_EQ(group[0]->Sum(1, &value).code(), StatusCode::kCancelled);
    EXPECT_EQ(group[0]->Sum(1, &value).code(), StatusCode::kCancelled) << "and again";
    leaves.join();
    EXPECT_FALSE(SharedGroup::Join("nonsense", 1, 2, [] { return false; }).ok());
    const std::string id = group[0]->id();
    EXPECT_FALSE(SharedGroup::Join(id, 1, 5, [] { return false; }).ok()) << "a group of another size";
    group[0].reset();
    EXPECT_FALSE(SharedGroup::Join(id, 1, 2, [] { return false; }).ok()) << "a group that is gone";
}

TEST(TrainerRanks, GiveTheWeightsOfOneDeviceUpToRounding) {
    struct Variant {
        const char* name;
        Case c;
        double tolerance;
    };
    std::vector<Variant> variants;
    const auto add = [&variants](const char* name, double tolerance, int batch_size, auto change) {
        Case c = MakeCase(batch_size);
        change(c);
        variants.push_back({name, c, tolerance});
    };
    add("rows of many weights", 2e-6, 64, [](Case&) {});
    add("uneven shares", 2e-6, 7, [](Case&) {});
    // a batch of two rows may have next to no weight, and its gradient next to no length
    add("empty shares", 1e-4, 2, [](Case& c) { c.rows = 61; });
    add("one row a batch", 2e-6, 1, [](Case& c) { c.rows = 30; });
    add("rows and classes of many weights", 2e-6, 50, [](Case& c) {
        c.classes = 3;
        c.options.loss.kind = LossKind::kSoftmaxCrossEntropy;
        c.options.class_weights = {0.2f, 1.0f, 6.0f};
    });
    add("a regression without weights", 2e-6, 40, [](Case& c) {
        c.classes = 0;
        c.weighted = false;
        c.options.loss.kind = LossKind::kHuber;
    });
    add("members of one network", 2e-6, 33, [](Case& c) { c.members = 4; });
    add("an average of the weights", 2e-6, 64, [](Case& c) { c.options.ema_decay = 0.9; });
    // its first steps have one size, whatever the gradient's: where that is rounding alone, its sign decides
    add("AdamW", 1e-3, 64, [](Case& c) {
        c.options.optimizer.kind = OptimizerKind::kAdamW;
        c.options.learning_rate = 0.005;
    });
    for (const Variant& variant : variants)
        for (const bool resident : {false, true}) {
            Case c = variant.c;
            c.resident = resident;
            const std::vector<RankOutcome> alone = Train(c, 1);
            ASSERT_TRUE(alone[0].status.ok()) << alone[0].status.message();
            for (const int ranks : {2, 3}) {
                SCOPED_TRACE(std::string(variant.name) + (resident ? ", resident, " : ", fed, ") +
                             std::to_string(ranks) + " ranks");
                const std::vector<RankOutcome> together = Train(c, ranks);
                ExpectSameBytes(together);
                EXPECT_LE(Distance(together[0].tensors, alone[0].tensors), variant.tolerance);
                EXPECT_EQ(together[0].result.steps, alone[0].result.steps);
                for (size_t i = 0; i < alone[0].result.log.size(); ++i)
                    EXPECT_NEAR(together[0].result.log[i].train_loss, alone[0].result.log[i].train_loss,
                                1e-4 * std::abs(alone[0].result.log[i].train_loss) + 1e-6);
                for (const RankOutcome& outcome : together)
                    EXPECT_LE(outcome.most_rows,
                              c.members * static_cast<int>(LargestShare(
                                              static_cast<size_t>(c.options.batch_size), ranks)));
            }
        }
}

TEST(TrainerRanks, SharesThatAreEmptyComputeNothing) {
    Case c = MakeCase(1);
    c.rows = 20;
    const std::vector<RankOutcome> together = Train(c, 3);
    ExpectSameBytes(together);
    EXPECT_EQ(together[0].shares + together[1].shares + together[2].shares, together[0].result.steps);
}

TEST(TrainerRanks, ValidationStopsAllRanksAtTheSameEpoch) {
    for (const bool resident : {false, true})
        for (const bool restore_best : {true, false}) {
            Case c = MakeCase(32);
            c.resident = resident;
            c.rows = 500;
            c.validation_rows = 101;
            c.options.learning_rate = 0.3;
            c.options.max_epochs = 60;
            c.options.stopping = {StoppingRule::kPatience, 3};
            c.options.restore_best = restore_best;
            const std::vector<RankOutcome> alone = Train(c, 1);
            ASSERT_EQ(alone[0].result.stop_reason, StopReason::kEarlyStopping);
            for (const int ranks : {2, 3}) {
                const std::vector<RankOutcome> together = Train(c, ranks);
                ExpectSameBytes(together);
                EXPECT_EQ(together[0].result.best_epoch, alone[0].result.best_epoch);
                EXPECT_EQ(together[0].result.stop_reason, StopReason::kEarlyStopping);
                ASSERT_EQ(together[0].result.validation_logits.size(), 101u);
                for (size_t i = 0; i < 101; ++i)
                    EXPECT_NEAR(together[0].result.validation_logits[i], alone[0].result.validation_logits[i],
                                1e-3);
            }
        }
}

TEST(TrainerRanks, FewerValidationRowsThanRanks) {
    Case c = MakeCase(32);
    c.validation_rows = 2;
    const std::vector<RankOutcome> together = Train(c, 3);
    ExpectSameBytes(together);
    EXPECT_LE(Distance(together[0].tensors, Train(c, 1)[0].tensors), 2e-6);
}

TEST(TrainerRanks, RanksDropOtherUnits) {
    Case c = MakeCase(64);
    c.extra_layers = R"({"name": "d", "type": "dropout", "inputs": ["h"], "rate": 0.3},)";
    c.last = "d";
    const std::vector<RankOutcome> together = Train(c, 3);
    ExpectSameBytes(together);
    std::set<uint64_t> seeds;
    for (const RankOutcome& outcome : together)
        seeds.insert(outcome.dropout_seeds.begin(), outcome.dropout_seeds.end());
    EXPECT_EQ(seeds.size(), 3u);
    EXPECT_EQ(together[0].dropout_seeds, Train(c, 1)[0].dropout_seeds) << "the first as one device would";
    ExpectSameBytes({together[0], Train(c, 3)[0]});
}

TEST(TrainerRanks, TheFirstRanksClockCounts) {
    Case c = MakeCase(1);
    c.rows = 200;
    c.options.max_epochs = 1 << 20;
    for (const bool resident : {false, true}) {
        c.resident = resident;
        Trouble trouble;
        trouble.max_seconds = {0.15, 1e9};
        const std::vector<RankOutcome> limited = Train(c, 2, trouble);
        ExpectSameBytes(limited);
        EXPECT_EQ(limited[0].result.stop_reason, StopReason::kTimeLimit);
        c.options.max_epochs = 3;
        trouble.max_seconds = {1e9, 1e-9};
        const std::vector<RankOutcome> unlimited = Train(c, 2, trouble);
        ExpectSameBytes(unlimited);
        EXPECT_EQ(unlimited[0].result.stop_reason, StopReason::kBudget);
        c.options.max_epochs = 1 << 20;
    }
}

TEST(TrainerRanks, ARankThatIsCancelledOrFailsTakesTheOthersAlong) {
    Case c = MakeCase(16);
    c.options.max_epochs = 1 << 20;
    for (const int rank : {0, 2}) {
        const CancelledLater cancel(std::chrono::milliseconds(60));
        Trouble trouble;
        trouble.cancels.resize(3);
        trouble.cancels[static_cast<size_t>(rank)] = &cancel;
        for (const RankOutcome& outcome : Train(c, 3, trouble))
            EXPECT_EQ(outcome.status.code(), StatusCode::kCancelled);
        Trouble failure;
        failure.failing_rank = rank;
        failure.failing_allocation = 3;
        const std::vector<RankOutcome> failed = Train(c, 3, failure);
        for (size_t i = 0; i < failed.size(); ++i)
            EXPECT_EQ(failed[i].status.code(),
                      static_cast<int>(i) == rank ? StatusCode::kOutOfMemory : StatusCode::kCancelled);
    }
}

TEST(TrainerRanks, DivergenceIsEveryRanks) {
    Case c = MakeCase(16);
    c.classes = 0;
    c.options.loss.kind = LossKind::kSquared;
    c.options.learning_rate = 1e20;
    c.options.clip_norm = 0.0;
    const std::vector<RankOutcome> outcomes = Train(c, 3);
    for (const RankOutcome& outcome : outcomes) {
        EXPECT_EQ(outcome.status.code(), StatusCode::kNonFinite);
        EXPECT_EQ(outcome.status.message(), outcomes[0].status.message());
    }
}

TEST(TrainerRanks, BatchNormalizationIsRefused) {
    Case c = MakeCase(16);
    c.extra_layers = R"({"name": "b", "type": "batch_norm", "inputs": ["h"]},)";
    c.last = "b";
    EXPECT_TRUE(Train(c, 1)[0].status.ok());
    for (const RankOutcome& outcome : Train(c, 2))
        EXPECT_EQ(outcome.status.code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace dlent
