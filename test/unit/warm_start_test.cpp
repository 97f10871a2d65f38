// Training that goes on from a version's networks.

#include <gtest/gtest.h>

#include <cmath>

#include "core/train/train_model.h"
#include "cpu/row_scorer.h"
#include "model_testing.h"

namespace dlent {
namespace {

Expected<TrainedModel> TrainFurther(const ColumnarTable& table, const TrainedModel& from,
                                    const std::string& more) {
    Json json = Json::parse(more);
    json["warm_start"] = 3;
    TrainingOptions options = ParseOptions(json.dump());
    options.initial = std::make_shared<const Model>(from.model);
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    return TrainModel(table, options, {*backend, NeverCancelled()});
}

std::vector<float> Answers(const Model& model, int rows) {
    Expected<std::unique_ptr<Scorer>> scorer = MakeCpuScorer(model);
    EXPECT_TRUE(scorer.ok());
    const std::vector<Cell> cells = RandomCells(model.pipeline, rows, 5);
    std::vector<float> answers(static_cast<size_t>(rows) * (*scorer)->output_count());
    (*scorer)->Score(rows, cells.data(), answers.data());
    return answers;
}

class WarmStart : public testing::TestWithParam<std::pair<Task, const char*>> {};

TEST_P(WarmStart, GoesOnFromWhatWasLearnt) {
    const auto& [task, more] = GetParam();
    const ColumnarTable table = MixedRows(task, 900, 1).Build();
    const Expected<TrainedModel> first = Train(table, more);
    ASSERT_TRUE(first.ok()) << first.status().message();
    const ColumnarTable later = MixedRows(task, 700, 2).Build();

    // next to nothing is learnt: the answers are the first model's
    const Expected<TrainedModel> still =
        TrainFurther(later, *first, R"({"epochs":1,"learning_rate":1e-7,"weight_decay":0,"preset":"fast"})");
    ASSERT_TRUE(still.ok()) << still.status().message() << still.status().detail();
    ASSERT_TRUE(still->model.Validate().ok());
    EXPECT_EQ(still->model.members.size(), first->model.members.size());
    EXPECT_EQ(still->model.network.ToJson(), first->model.network.ToJson());
    EXPECT_EQ(still->model.PipelineJson(), first->model.PipelineJson());
    EXPECT_EQ(still->details.at("warm_start"), 3);
    Model same = still->model;
    same.temperature = first->model.temperature;
    const std::vector<float> before = Answers(first->model, 200);
    const std::vector<float> after = Answers(same, 200);
    const float scale = task == Task::kRegression ? 250.0f : 1.0f;
    for (size_t i = 0; i < before.size(); ++i)
        EXPECT_NEAR(after[i], before[i], 2e-3f * scale) << i;

    // and with a rate that learns they are not
    const Expected<TrainedModel> moved = TrainFurther(later, *first, R"({"epochs":3,"preset":"fast"})");
    ASSERT_TRUE(moved.ok());
    EXPECT_NE(Answers(moved->model, 200), before);
    const Expected<TrainedModel> again = TrainFurther(later, *first, R"({"epochs":3,"preset":"fast"})");
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(Artifact::Of(moved->model), Artifact::Of(again->model));
}

INSTANTIATE_TEST_SUITE_P(
    Every, WarmStart,
    testing::Values(std::pair{Task::kBinary, R"({"preset":"fast","epochs":6,"hidden":[12]})"},
                    std::pair{Task::kRegression, R"({"preset":"fast","epochs":6,"hidden":[12]})"},
                    std::pair{Task::kBinary, R"({"preset":"default","epochs":6,"hidden":[12, 8]})"},
                    std::pair{Task::kMulticlass, R"({"preset":"fast","kind":"tabm","members":3,"epochs":6})"},
                    std::pair{Task::kRegression,
                              R"({"preset":"fast","numeric_embedding":"periodic","epochs":4})"}));

TEST(WarmStartRecipe, DescribesTheNetworksItTookOver) {
    const ColumnarTable table = MixedRows(Task::kBinary, 600, 1).Build();
    const Expected<TrainedModel> first =
        Train(table, R"({"epochs":2,"hidden":[12, 8],"dropout":0.3,"numeric_embedding":"none"})");
    ASSERT_TRUE(first.ok());
    const Expected<TrainedModel> next = TrainFurther(table, *first, R"({"epochs":2})");
    ASSERT_TRUE(next.ok());
    for (const char* key : {"kind", "members", "hidden", "dropout", "numeric_embedding", "plan"})
        EXPECT_EQ(next->details.at("recipe").at(key), first->details.at("recipe").at(key)) << key;
    EXPECT_LT(next->details.at("recipe").at("learning_rate"),
              first->details.at("recipe").at("learning_rate"));
    EXPECT_TRUE(std::any_of(next->findings.begin(), next->findings.end(),
                            [](const Finding& finding) { return finding.code == "WARM_START"; }));
}

TEST(WarmStartErrors, WhatDoesNotFitIsRefused) {
    const Expected<TrainedModel> first =
        Train(MixedRows(Task::kBinary, 400, 1).Build(), R"({"preset":"fast","epochs":2,"hidden":[8]})");
    ASSERT_TRUE(first.ok());
    const auto refused = [&](const ColumnarTable& table, const char* detail) {
        const Expected<TrainedModel> trained = TrainFurther(table, *first, R"({"preset":"fast","epochs":1})");
        ASSERT_FALSE(trained.ok());
        EXPECT_EQ(trained.status().code(), StatusCode::kInvalidArgument);
        EXPECT_EQ(trained.status().message(), "training cannot go on from version 3");
        EXPECT_NE(trained.status().detail().find(detail), std::string::npos) << trained.status().detail();
    };
    refused(MixedRows(Task::kMulticlass, 400, 1).Build(), "other labels");
    refused(MixedRows(Task::kRegression, 400, 1).Build(), "another task");
    refused(MixedRows(Task::kBinary, 400, 1, true).Build(), "\"shop\"");

    for (const char* json : {R"({"warm_start":true,"hidden":[8]})", R"({"warm_start":2,"kind":"mlp"})",
                             R"({"warm_start":true,"max_score_us":1})", R"({"warm_start":0})",
                             R"({"warm_start":"champion"})", R"({"warm_start":1.5})"})
        EXPECT_FALSE(TrainingOptions::Parse(Json::parse(json)).ok()) << json;
    EXPECT_FALSE(ParseOptions(R"({"warm_start":false,"hidden":[8]})").warm_start.has_value());
    EXPECT_EQ(ParseOptions(R"({"warm_start":true})").warm_start, 0);
}

}  // namespace
}  // namespace dlent
