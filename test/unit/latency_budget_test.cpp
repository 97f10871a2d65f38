#include "core/train/latency_budget.h"

#include <gtest/gtest.h>

#include "cpu/cpu_backend.h"
#include "cpu/row_scorer.h"
#include "cpu/score_cost.h"
#include "model_testing.h"
#include "testing.h"

namespace dlent {
namespace {

constexpr const char* kBudgetOptions = R"({"preset":"default","epochs":2,"hidden":[64,32]})";

/// A machine that takes a nanosecond a weight of a dense layer, and whose times do not vary.
Expected<ScoreCost> NanosecondAWeight(const Model& model) {
    double weights = 0.0;
    for (const auto& member : model.members) {
        for (const NamedTensorData& tensor : member) {
            if (tensor.name.ends_with(".weight") && tensor.shape.size() == 2)
                weights += static_cast<double>(tensor.values.size());
        }
    }
    return ScoreCost{weights / 500.0, weights / 1000.0};
}

Expected<TrainedModel> TrainWithin(const char* more, const ScoreCostFunction& measure = NanosecondAWeight,
                                   Task task = Task::kBinary) {
    Json json = Json::parse(kBudgetOptions);
    json.update(Json::parse(more));
    const auto options = TrainingOptions::Parse(json);
    if (!options.ok())
        return options.status();
    const ColumnarTable table = MixedRows(task, 400, 1).Build();
    const auto backend = MakeCpuBackend();
    return TrainWithinBudget(table, *options,
                             {*backend,
                              NeverCancelled(),
                              {},
                              nullptr,
                              nullptr,
                              nullptr,
                              [](const Model& model) { return MakeCpuScorer(model); },
                              measure});
}

const Finding* Shrunk(const TrainedModel& trained) {
    for (const Finding& finding : trained.findings) {
        if (finding.code == "SHRUNK_FOR_LATENCY")
            return &finding;
    }
    return nullptr;
}

TEST(LatencyBudget, WithoutOneTheModelIsMeasuredAndKept) {
    const auto trained = TrainWithin("{}");
    ASSERT_TRUE(trained.ok()) << trained.status().message();
    EXPECT_EQ(trained->model.members.size(), 5U);
    EXPECT_GT(trained->score_cost.batched, 0.0);
    EXPECT_FALSE(trained->details.contains("latency_budget"));
    EXPECT_EQ(Shrunk(*trained), nullptr);
}

TEST(LatencyBudget, AModelWithinItIsKept) {
    const auto free = TrainWithin("{}");
    const auto trained = TrainWithin(R"({"max_score_us":1000})");
    ASSERT_TRUE(free.ok() && trained.ok());
    EXPECT_EQ(Artifact::Of(trained->model), Artifact::Of(free->model));
    EXPECT_EQ(Shrunk(*trained), nullptr);
}

TEST(LatencyBudget, TakesTheFirstCandidateThatFits) {
    const auto free = TrainWithin("{}");
    ASSERT_TRUE(free.ok());
    size_t members = free->model.members.size();
    int hidden = 1000;
    bool embedded = true;
    for (const double share : {0.5, 0.15, 0.05, 0.02, 0.005}) {
        const double budget = free->score_cost.batched * share;
        const auto trained = TrainWithin((R"({"max_score_us":)" + std::to_string(budget) + "}").c_str());
        ASSERT_TRUE(trained.ok()) << share << ": " << trained.status().message();
        EXPECT_TRUE(trained->model.Validate().ok());
        EXPECT_LE(trained->score_cost.batched, budget);
        const Json& told = trained->details.at("latency_budget");
        EXPECT_EQ(told.at("without_budget").at("metrics"), free->metrics);
        EXPECT_DOUBLE_EQ(told.at("without_budget").at("score_us").at("batched").get<double>(),
                         free->score_cost.batched);
        const Finding* finding = Shrunk(*trained);
        ASSERT_NE(finding, nullptr);
        EXPECT_NE(finding->message.find("held-out roc_auc"), std::string::npos) << finding->message;

        // a smaller budget never gives a larger network
        const Json& chosen = told.at("chosen");
        EXPECT_LE(trained->model.members.size(), members);
        members = trained->model.members.size();
        const bool embeds = chosen.at("numeric_embedding") != "none";
        EXPECT_TRUE(embedded || !embeds);
        const int units = chosen.at("hidden").empty() ? 0 : chosen.at("hidden")[0].get<int>();
        if (embeds == embedded) {
            EXPECT_LE(units, hidden);
        }
        hidden = units;
        embedded = embeds;

        // what was chosen gives the same model when it is asked for
        const auto again = TrainWithin(chosen.dump().c_str());
        ASSERT_TRUE(again.ok()) << again.status().message();
        EXPECT_EQ(Artifact::Of(again->model), Artifact::Of(trained->model));
    }
}

/// With enough rows one split judges both, and the student is the larger network's own.
TEST(LatencyBudget, AStudentIsTakenWhenHeldOutRowsPreferIt) {
    int taught = 0;
    for (const char* more : {R"({"seed":1})", R"({"seed":2})", R"({"seed":3})", R"({"seed":4})"}) {
        Json json = Json::parse(more);
        json.update(
            Json::parse(R"({"max_score_us":0.5,"members":2,"epochs":6,"validation":{"method":"random"}})"));
        const auto trained = TrainWithin(json.dump().c_str(), NanosecondAWeight, Task::kRegression);
        ASSERT_TRUE(trained.ok()) << trained.status().message();
        const Json& told = trained->details.at("latency_budget");
        const bool student = trained->details.contains("teacher");
        EXPECT_EQ(told.contains("without_teacher"), student);
        EXPECT_EQ(told.at("chosen").contains("teacher"), student);
        if (student) {
            ++taught;
            EXPECT_LT(trained->metrics.at("rmse").get<double>(),
                      told.at("without_teacher").at("metrics").at("rmse").get<double>());
            EXPECT_NE(Shrunk(*trained)->message.find("on the answers of the larger one"), std::string::npos);
        }
        // either choice gives the same model when it is asked for
        Json again = Json::parse(more);
        again.update(Json::parse(R"({"epochs":6,"validation":{"method":"random"}})"));
        again.update(told.at("chosen"));
        const auto repeated = TrainWithin(again.dump().c_str(), NanosecondAWeight, Task::kRegression);
        ASSERT_TRUE(repeated.ok()) << repeated.status().message();
        EXPECT_EQ(Artifact::Of(repeated->model), Artifact::Of(trained->model));
    }
    EXPECT_GT(taught, 0);
}

TEST(LatencyBudget, CandidatesShrinkToALinearModel) {
    TrainingOptions options;
    Recipe recipe;
    recipe.hidden = {64, 32};
    recipe.numeric_embedding = NumericEmbedding::kPiecewiseLinear;
    const std::vector<TrainingOptions> candidates = LatencyCandidates(options, recipe);
    std::string all;
    for (const TrainingOptions& candidate : candidates) {
        EXPECT_EQ(candidate.members, 1);
        all += NumericEmbeddingName(candidate.numeric_embedding);
        for (const int units : *candidate.hidden)
            all += " " + std::to_string(units);
        all += "; ";
    }
    EXPECT_EQ(
        all,
        "piecewise_linear 64 32; piecewise_linear 32 16; piecewise_linear 16 8; none 64 32; none 32 16; "
        "none 16 8; none 8 8; none; ");
    recipe.hidden = {};
    recipe.numeric_embedding = NumericEmbedding::kNone;
    EXPECT_EQ(LatencyCandidates(options, recipe).size(), 1U);
}

TEST(LatencyBudget, WhatCannotBeMetIsAnError) {
    const auto trained = TrainWithin(R"({"max_score_us":0.001})");
    ASSERT_FALSE(trained.ok());
    EXPECT_EQ(trained.status().code(), StatusCode::kResourceLimit);
    EXPECT_NE(trained.status().detail().find("fastest"), std::string::npos);
    EXPECT_NE(trained.status().hint().find("max_score_us"), std::string::npos);
    for (const char* wrong :
         {R"({"max_score_us":0})", R"({"max_score_us":-1})", R"({"max_score_us":"fast"})"})
        EXPECT_EQ(TrainWithin(wrong).status().code(), StatusCode::kInvalidArgument) << wrong;
}

TEST(LatencyBudget, AFailingMeasurementIsNotSwallowed) {
    const auto trained =
        TrainWithin("{}", [](const Model&) -> Expected<ScoreCost> { return Status::Cancelled(); });
    EXPECT_EQ(trained.status().code(), StatusCode::kCancelled);
}

TEST(LatencyBudget, EveryTask) {
    for (const Task task : {Task::kRegression, Task::kMulticlass}) {
        const auto trained = TrainWithin(R"({"max_score_us":1})", NanosecondAWeight, task);
        ASSERT_TRUE(trained.ok()) << trained.status().message();
        ASSERT_NE(Shrunk(*trained), nullptr);
        EXPECT_NE(Shrunk(*trained)->message.find(task == Task::kRegression ? "rmse" : "accuracy"),
                  std::string::npos);
    }
}

TEST(ScoreCost, IsMeasuredOnEveryKindOfModel) {
    for (const char* more :
         {"{}", R"({"kind":"tabm","members":2})", R"({"numeric_embedding":"none","members":1})"}) {
        const auto trained = TrainWithin(more);
        ASSERT_TRUE(trained.ok()) << trained.status().message();
        const auto cost = MeasureScoreCost(trained->model, NeverCancelled());
        ASSERT_TRUE(cost.ok()) << cost.status().message();
        EXPECT_GT(cost->single, 0.0);
        EXPECT_GT(cost->batched, 0.0);
    }
    const auto trained = TrainWithin("{}");
    ASSERT_TRUE(trained.ok());
    EXPECT_EQ(MeasureScoreCost(trained->model, AlwaysCancelled()).status().code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace dlent
