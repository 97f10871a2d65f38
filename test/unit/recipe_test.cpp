#include "core/train/recipe.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "model_testing.h"

namespace dlent {
namespace {

Expected<Recipe> Resolve(const std::string& options, Task task = Task::kBinary, size_t rows = 5000) {
    return ResolveRecipe(ParseOptions(options), task, rows);
}

Recipe MustResolve(const std::string& options, Task task = Task::kBinary, size_t rows = 5000) {
    Expected<Recipe> recipe = Resolve(options, task, rows);
    EXPECT_TRUE(recipe.ok()) << recipe.status().message();
    return std::move(*recipe);
}

TEST(Recipe, PresetsAreWhatTheirTableSays) {
    struct Expectation {
        const char* options;
        size_t rows;
        MemberPlan plan;
        int members;
        bool refit;
        bool choose_embedding;
    };
    for (const Expectation& expected : {
             Expectation{R"({"preset":"fast"})", 5000, MemberPlan::kHoldOut, 1, true, false},
             Expectation{R"({"preset":"fast"})", 500000, MemberPlan::kHoldOut, 1, true, false},
             Expectation{"{}", 9999, MemberPlan::kFolds, 5, false, true},
             Expectation{"{}", 10000, MemberPlan::kHoldOut, 2, true, true},
             Expectation{R"({"preset":"best"})", 500000, MemberPlan::kFolds, 10, false, true},
             // one split cannot be dealt out in folds
             Expectation{R"({"validation":{"method":"time","column":"t"}})", 5000, MemberPlan::kHoldOut, 5,
                         true, true},
             Expectation{R"({"preset":"best","validation":{"method":"group","column":"g"}})", 5000,
                         MemberPlan::kHoldOut, 10, true, true},
             Expectation{R"({"members":3})", 5000, MemberPlan::kFolds, 3, false, true},
             Expectation{R"({"members":1})", 5000, MemberPlan::kHoldOut, 1, true, false},
             // nothing held out: nothing to stop or to choose by
             Expectation{R"({"preset":"fast","validation":{"method":"none"}})", 5000, MemberPlan::kHoldOut, 1,
                         false, false},
         }) {
        const Recipe recipe = MustResolve(expected.options, Task::kBinary, expected.rows);
        SCOPED_TRACE(expected.options);
        EXPECT_EQ(recipe.plan, expected.plan);
        EXPECT_EQ(recipe.members, expected.members);
        EXPECT_EQ(recipe.refit, expected.refit);
        EXPECT_EQ(recipe.choose_embedding, expected.choose_embedding);
        EXPECT_EQ(recipe.ensemble_width, 1);
    }
}

TEST(Recipe, TabmHoldsItsMembersInOneNetwork) {
    const Recipe recipe = MustResolve(R"({"kind":"tabm"})");
    EXPECT_EQ(recipe.members, 1);
    EXPECT_EQ(recipe.ensemble_width, 8);
    EXPECT_EQ(recipe.plan, MemberPlan::kHoldOut);
    EXPECT_EQ(MustResolve(R"({"kind":"tabm","preset":"best"})").ensemble_width, 32);
    EXPECT_EQ(MustResolve(R"({"kind":"tabm","members":5})").ensemble_width, 5);
    // without a hidden layer there is nothing for its members to differ in
    EXPECT_EQ(Resolve(R"({"kind":"tabm","hidden":[]})").status().code(), StatusCode::kInvalidArgument);
}

TEST(Recipe, LargerTablesTakeLargerBatchesAndFewerEpochs) {
    int batch = 0;
    int epochs = INT32_MAX;
    for (const size_t rows : {100u, 1000u, 8000u, 30000u, 100000u, 1000000u, 100000000u}) {
        const Recipe recipe = MustResolve("{}", Task::kBinary, rows);
        EXPECT_GE(recipe.trainer.batch_size, batch) << rows;
        EXPECT_LE(recipe.trainer.max_epochs, epochs) << rows;
        batch = recipe.trainer.batch_size;
        epochs = recipe.trainer.max_epochs;
    }
    EXPECT_GT(epochs, 0);
    // whoever says epochs means epochs
    EXPECT_GT(MustResolve("{}").trainer.min_steps, 0);
    const Recipe said = MustResolve(R"({"epochs":7})");
    EXPECT_EQ(said.trainer.max_epochs, 7);
    EXPECT_EQ(said.trainer.min_steps, 0);
}

TEST(Recipe, OptionsOverride) {
    const Recipe recipe = MustResolve(
        R"({"batch_size":77,"learning_rate":0.5,"weight_decay":0.25,"hidden":[3,2],"dropout":0.75,
            "activation":"gelu","optimizer":"sgd","schedule":"cosine","patience":4,"seed":9,
            "numeric_embedding":"periodic","validation":{"method":"random","fraction":0.4},
            "label_smoothing":0.125,"loss":"focal"})");
    EXPECT_EQ(recipe.trainer.batch_size, 77);
    EXPECT_EQ(recipe.trainer.learning_rate, 0.5);
    EXPECT_EQ(recipe.trainer.optimizer.weight_decay, 0.25f);
    EXPECT_EQ(recipe.hidden, (std::vector<int>{3, 2}));
    EXPECT_EQ(recipe.dropout, 0.75);
    EXPECT_EQ(recipe.activation, Activation::kGelu);
    EXPECT_EQ(recipe.trainer.optimizer.kind, OptimizerKind::kSgd);
    EXPECT_EQ(recipe.trainer.schedule, ScheduleKind::kCosine);
    EXPECT_EQ(recipe.trainer.stopping.rule, StoppingRule::kPatience);
    EXPECT_EQ(recipe.trainer.stopping.patience, 4);
    EXPECT_EQ(recipe.trainer.seed, 9u);
    EXPECT_EQ(recipe.numeric_embedding, NumericEmbedding::kPeriodic);
    EXPECT_FALSE(recipe.choose_embedding);
    EXPECT_EQ(recipe.validation_fraction, 0.4);
    EXPECT_EQ(recipe.trainer.loss.kind, LossKind::kFocal);
    EXPECT_EQ(recipe.trainer.loss.label_smoothing, 0.125f);
}

TEST(Recipe, LossesFitTheirTasks) {
    EXPECT_EQ(MustResolve("{}", Task::kBinary).trainer.loss.kind, LossKind::kBinaryCrossEntropy);
    EXPECT_EQ(MustResolve("{}", Task::kMulticlass).trainer.loss.kind, LossKind::kSoftmaxCrossEntropy);
    EXPECT_EQ(MustResolve("{}", Task::kRegression).trainer.loss.kind, LossKind::kSquared);
    const Recipe pinball = MustResolve(R"({"loss":"pinball","quantile":0.9})", Task::kRegression);
    EXPECT_EQ(pinball.trainer.loss.kind, LossKind::kPinball);
    EXPECT_EQ(pinball.trainer.loss.quantile, 0.9f);
    EXPECT_EQ(MustResolve(R"({"loss":"huber"})", Task::kRegression).trainer.loss.kind, LossKind::kHuber);
    for (const char* loss : {"squared", "huber", "pinball"}) {
        const std::string options = Json({{"loss", loss}}).dump();
        EXPECT_EQ(Resolve(options, Task::kMulticlass).status().code(), StatusCode::kInvalidArgument) << loss;
    }
    for (const char* loss : {"log_loss", "focal"}) {
        const std::string options = Json({{"loss", loss}}).dump();
        EXPECT_EQ(Resolve(options, Task::kRegression).status().code(), StatusCode::kInvalidArgument) << loss;
    }
}

TEST(Recipe, NetworksReadWhatThePipelineMakes) {
    const ColumnarTable table = MixedRows(Task::kMulticlass, 900, 2).Build();
    const std::vector<uint32_t> rows = AllRows(table);
    std::vector<Pipeline::Exclusion> excluded;
    const auto pipeline = Pipeline::Fit(table, rows, {}, &excluded, NeverCancelled());
    const auto target = TargetEncoder::Fit(table, rows, Task::kAuto, {});
    ASSERT_TRUE(pipeline.ok() && target.ok());
    for (const char* kind : {"mlp", "tabm"}) {
        for (const char* embedding : {"none", "piecewise_linear", "periodic"}) {
            for (const std::vector<int>& hidden : {std::vector<int>{}, {8}, {8, 6, 4}}) {
                if (std::string(kind) == "tabm" && hidden.empty())
                    continue;
                const Json options = {{"kind", kind}, {"numeric_embedding", embedding}, {"hidden", hidden}};
                SCOPED_TRACE(options.dump());
                const auto spec =
                    BuildNetworkSpec(MustResolve(options.dump(), Task::kMulticlass), *pipeline, *target);
                ASSERT_TRUE(spec.ok()) << spec.status().message();
                EXPECT_EQ(spec->numeric, pipeline->numeric_count());
                EXPECT_EQ(spec->plain, pipeline->plain_count());
                EXPECT_EQ(static_cast<int>(spec->codes.size()), pipeline->field_count());
                // the column of few levels is one-hot, the one of 300 levels embedded
                const auto embedded =
                    std::find_if(spec->layers.begin(), spec->layers.end(),
                                 [](const LayerSpec& layer) { return layer.type == "embedding"; });
                ASSERT_NE(embedded, spec->layers.end());
                EXPECT_EQ(embedded->attributes.at("dims"), Json({40}));  // ⌈1.6 · 300^0.56⌉
                const std::unique_ptr<Backend> backend = MakeCpuBackend();
                const auto network = Network::Create(*spec, *backend, 2, false);
                ASSERT_TRUE(network.ok()) << network.status().message();
                EXPECT_EQ((*network)->outputs(), 3);
            }
        }
    }
}

}  // namespace
}  // namespace dlent
