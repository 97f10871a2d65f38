#include "core/train/checkpoint.h"

#include <gtest/gtest.h>

#include <map>

#include "core/formats/safetensors.h"
#include "core/train/train_model.h"
#include "cpu/cpu_backend.h"
#include "cpu/cpu_training_pool.h"
#include "model_testing.h"

namespace dlent {
namespace {

/// Keeps checkpoints in memory, counts, and gives up after `limit` of them.
class MemoryStore final : public CheckpointStore {
 public:
    Expected<std::optional<Checkpoint>> Find(const std::string& key) override {
        const auto found = kept.find(key);
        std::optional<Checkpoint> checkpoint;
        if (found != kept.end()) {
            checkpoint = found->second;
            ++hits;
        }
        return checkpoint;
    }
    Status Keep(const std::string& key, const Checkpoint& checkpoint) override {
        EXPECT_FALSE(kept.contains(key));
        kept[key] = checkpoint;
        return static_cast<int>(kept.size()) == limit ? Status::Cancelled() : Status::Ok();
    }

    std::map<std::string, Checkpoint> kept;
    int hits = 0;
    int limit = -1;
};

Expected<TrainedModel> TrainWith(const ColumnarTable& table, const char* options, CheckpointStore* store,
                                 int threads = 1) {
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    const std::unique_ptr<TrainingPool> pool = threads > 1 ? MakeCpuTrainingPool(threads) : nullptr;
    return TrainModel(table, ParseOptions(options),
                      {*backend, NeverCancelled(), {}, pool.get(), nullptr, store});
}

class Resume : public testing::TestWithParam<const char*> {};

TEST_P(Resume, GivesTheBytesOfAnUninterruptedTraining) {
    const ColumnarTable table = MixedRows(Task::kBinary, 300, 1).Build();
    const Expected<TrainedModel> straight = TrainWith(table, GetParam(), nullptr);
    ASSERT_TRUE(straight.ok()) << straight.status().message();
    MemoryStore whole;
    ASSERT_TRUE(TrainWith(table, GetParam(), &whole).ok());
    const int networks = static_cast<int>(whole.kept.size());
    ASSERT_GE(networks, 2);
    for (int cut = 1; cut <= networks; ++cut) {
        MemoryStore store;
        store.limit = cut;
        EXPECT_EQ(TrainWith(table, GetParam(), &store).status().code(), StatusCode::kCancelled);
        store.limit = -1;
        const Expected<TrainedModel> resumed = TrainWith(table, GetParam(), &store);
        ASSERT_TRUE(resumed.ok()) << resumed.status().message();
        EXPECT_EQ(store.hits, cut);
        EXPECT_EQ(static_cast<int>(store.kept.size()), networks);
        EXPECT_EQ(Artifact::Of(resumed->model), Artifact::Of(straight->model)) << "cut after " << cut;
        EXPECT_EQ(resumed->metrics, straight->metrics);
        EXPECT_EQ(resumed->epochs, straight->epochs);
        ASSERT_EQ(resumed->log.size(), straight->log.size());
        for (size_t i = 0; i < resumed->log.size(); ++i) {
            EXPECT_EQ(resumed->log[i].member, straight->log[i].member);
            EXPECT_EQ(resumed->log[i].train_loss, straight->log[i].train_loss);
        }
    }
}

/// The same on threads: what was finished when the training broke off is kept, on this thread.
TEST_P(Resume, GoesOnOnThreads) {
    const ColumnarTable table = MixedRows(Task::kBinary, 300, 1).Build();
    const Expected<TrainedModel> straight = TrainWith(table, GetParam(), nullptr);
    ASSERT_TRUE(straight.ok());
    MemoryStore store;
    store.limit = 1;
    EXPECT_EQ(TrainWith(table, GetParam(), &store, 2).status().code(), StatusCode::kCancelled);
    const int kept = static_cast<int>(store.kept.size());
    EXPECT_EQ(kept, 1);
    store.limit = -1;
    const Expected<TrainedModel> resumed = TrainWith(table, GetParam(), &store, 2);
    ASSERT_TRUE(resumed.ok()) << resumed.status().message();
    EXPECT_EQ(store.hits, kept);
    EXPECT_EQ(Artifact::Of(resumed->model), Artifact::Of(straight->model));
    EXPECT_EQ(resumed->metrics, straight->metrics);
}

INSTANTIATE_TEST_SUITE_P(
    Plans, Resume,
    testing::Values(
        R"({"epochs":2,"hidden":[8],"members":3})",
        R"({"epochs":2,"hidden":[8],"members":2,"validation":{"method":"random","fraction":0.3}})",
        R"({"epochs":2,"hidden":[8],"members":2,"validation":{"method":"none"}})",
        R"({"epochs":2,"hidden":[8],"kind":"tabm","members":4})"));

TEST(Checkpoints, OtherRowsOptionsOrSeedsFindNothing) {
    MemoryStore store;
    ASSERT_TRUE(TrainWith(MixedRows(Task::kBinary, 300, 1).Build(),
                          R"({"epochs":2,"hidden":[8],"members":2})", &store)
                    .ok());
    const auto hits = [&store](int rows, const char* options) {
        store.hits = 0;
        EXPECT_TRUE(TrainWith(MixedRows(Task::kBinary, rows, 1).Build(), options, &store).ok());
        return store.hits;
    };
    EXPECT_GT(hits(300, R"({"epochs":2,"hidden":[8],"members":2})"), 0);
    EXPECT_EQ(hits(301, R"({"epochs":2,"hidden":[8],"members":2})"), 0);
    EXPECT_EQ(hits(300, R"({"epochs":3,"hidden":[8],"members":2})"), 0);
    EXPECT_EQ(hits(300, R"({"epochs":2,"hidden":[8],"members":2,"learning_rate":0.01})"), 0);
    EXPECT_EQ(hits(300, R"({"epochs":2,"hidden":[8],"members":2,"seed":43})"), 0);
    EXPECT_EQ(hits(300, R"({"epochs":2,"hidden":[8],"members":2,"class_weight":"balanced"})"), 0);
}

TEST(Checkpoints, WhatTheClockEndedIsNotKept) {
    MemoryStore store;
    ASSERT_TRUE(TrainWith(MixedRows(Task::kBinary, 3000, 1).Build(),
                          R"({"epochs":4000,"members":2,"max_seconds":0.2})", &store)
                    .ok());
    EXPECT_TRUE(store.kept.empty());
}

/// Every damage is noticed; a training that meets it trains the network anew.
TEST(Checkpoints, TrustNothing) {
    const ColumnarTable table = MixedRows(Task::kBinary, 300, 1).Build();
    constexpr const char* kOptions = R"({"epochs":2,"hidden":[8],"members":2})";
    MemoryStore intact;
    const Expected<TrainedModel> straight = TrainWith(table, kOptions, &intact);
    ASSERT_TRUE(straight.ok());
    const auto damaged = [&](const auto& damage) {
        MemoryStore store = intact;
        store.hits = 0;
        for (auto& [key, checkpoint] : store.kept)
            damage(&checkpoint);
        // kept again under the same key
        class Replacing final : public CheckpointStore {
         public:
            explicit Replacing(MemoryStore* inner) : inner_(inner) {}
            Expected<std::optional<Checkpoint>> Find(const std::string& key) override {
                return inner_->Find(key);
            }
            Status Keep(const std::string&, const Checkpoint&) override {
                ++trained;
                return Status::Ok();
            }
            int trained = 0;

         private:
            MemoryStore* inner_;
        } replacing(&store);
        const Expected<TrainedModel> again = TrainWith(table, kOptions, &replacing);
        ASSERT_TRUE(again.ok());
        EXPECT_EQ(Artifact::Of(again->model), Artifact::Of(straight->model));
        EXPECT_EQ(replacing.trained, static_cast<int>(intact.kept.size()));
    };
    damaged([](Checkpoint* c) { c->tensors.clear(); });
    damaged([](Checkpoint* c) { c->tensors.resize(c->tensors.size() / 2); });
    damaged([](Checkpoint* c) { c->tensors[8] = '!'; });
    damaged([](Checkpoint* c) {
        c->tensors[c->tensors.size() - 1] = c->tensors[c->tensors.size() - 2] = '\xff';
    });
    damaged([](Checkpoint* c) { c->tensors = WriteSafetensors({}, {}); });
    damaged([](Checkpoint* c) {
        std::vector<NamedTensorData> tensors = *ReadSafetensors(c->tensors);
        tensors.push_back({"other", {1}, {1.0f}});
        c->tensors = WriteSafetensors(tensors, {});
    });
    damaged([](Checkpoint* c) {
        std::vector<NamedTensorData> tensors = *ReadSafetensors(c->tensors);
        tensors.erase(tensors.begin());
        c->tensors = WriteSafetensors(tensors, {});
    });
    damaged([](Checkpoint* c) {
        std::vector<NamedTensorData> tensors = *ReadSafetensors(c->tensors);
        for (NamedTensorData& tensor : tensors)
            if (tensor.name == "validation_logits")
                tensor = {tensor.name, {1}, {0.0f}};
        c->tensors = WriteSafetensors(tensors, {});
    });
    damaged([](Checkpoint* c) { c->description = nullptr; });
    damaged([](Checkpoint* c) { c->description = Json::array({1, 2}); });
    for (const char* name : {"format", "epochs", "best_epoch", "best_fraction", "log", "stop_reason"}) {
        damaged([name](Checkpoint* c) { c->description.erase(name); });
        damaged([name](Checkpoint* c) { c->description[name] = -1; });
        damaged([name](Checkpoint* c) { c->description[name] = Json::array({"x"}); });
    }
    damaged([](Checkpoint* c) { c->description["epochs"] = 1e300; });
    damaged([](Checkpoint* c) { c->description["log"] = Json::array({{{"epoch", "one"}}}); });
}

}  // namespace
}  // namespace dlent
