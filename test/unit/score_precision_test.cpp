// Which precision a trained model is scored in: what is asked for, what held-out rows say, what the clock
// says.

#include "core/train/score_precision.h"

#include <gtest/gtest.h>

#include "core/train/latency_budget.h"
#include "cpu/row_scorer.h"
#include "model_testing.h"

namespace dlent {
namespace {

constexpr const char* kOptions = R"({"preset":"fast","epochs":4,"hidden":[48,32]})";

/// A machine that takes a nanosecond a weight of a dense layer; `share` of that where it is int8.
ScoreCostFunction Machine(double share) {
    return [share](const Model& model) -> Expected<ScoreCost> {
        double cost = 0.0;
        for (const auto& member : model.members) {
            for (const NamedTensorData& tensor : member) {
                const bool int8 = model.quantization && tensor.name.starts_with("hidden_2");
                if (tensor.name.ends_with(".weight") && tensor.shape.size() == 2)
                    cost += static_cast<double>(tensor.values.size()) * (int8 ? share : 1.0);
            }
        }
        return ScoreCost{cost / 500.0, cost / 1000.0};
    };
}

/// Spoils answers in int8.
class WrongScorer final : public Scorer {
 public:
    WrongScorer(std::unique_ptr<Scorer> scorer, float offset)
        : Scorer(scorer->model()), scorer_(std::move(scorer)), offset_(offset) {}
    void Score(int rows, const Cell* cells, float* outputs) override {
        scorer_->Score(rows, cells, outputs);
        for (int i = 0; i < rows * output_count(); i += 7)
            outputs[i] = outputs[i] > 0.5f ? outputs[i] - offset_ : outputs[i] + offset_;
    }
    size_t memory_bytes() const override { return scorer_->memory_bytes(); }

 private:
    std::unique_ptr<Scorer> scorer_;
    float offset_;
};

ScorerFactory Factory(float offset = 0.0f) {
    return [offset](const Model& model) -> Expected<std::unique_ptr<Scorer>> {
        DLENT_ASSIGN_OR_RETURN(std::unique_ptr<Scorer> scorer, MakeCpuScorer(model));
        if (model.quantization && offset != 0.0f)
            return std::unique_ptr<Scorer>(std::make_unique<WrongScorer>(std::move(scorer), offset));
        return scorer;
    };
}

Expected<TrainedModel> TrainFor(const char* more, const ScoreCostFunction& measure = Machine(0.5),
                                const ScorerFactory& make_scorer = Factory(), Task task = Task::kBinary) {
    Json json = Json::parse(kOptions);
    json.update(Json::parse(more));
    const auto backend = MakeCpuBackend();
    return TrainWithinBudget(
        MixedRows(task, 600, 1).Build(), ParseOptions(json.dump()),
        {*backend, NeverCancelled(), {}, nullptr, nullptr, nullptr, make_scorer, measure});
}

const Finding* Find(const TrainedModel& trained, const std::string& code) {
    for (const Finding& finding : trained.findings) {
        if (finding.code == code)
            return &finding;
    }
    return nullptr;
}

TEST(ScorePrecision, IsFp32UnlessAskedFor) {
    for (const char* more : {"{}", R"({"score_precision":"fp32"})"}) {
        const auto trained = TrainFor(more);
        ASSERT_TRUE(trained.ok()) << trained.status().message();
        EXPECT_FALSE(trained->model.quantization);
        EXPECT_FALSE(trained->details.contains("score_precision"));
        EXPECT_FALSE(trained->model.SpecificationJson().contains("quantization"));
    }
}

TEST(ScorePrecision, EveryTaskAndPlan) {
    for (const Task task : {Task::kRegression, Task::kBinary, Task::kMulticlass}) {
        for (const char* more :
             {R"({"score_precision":"auto"})", R"({"score_precision":"auto","preset":"default","epochs":3})",
              R"({"score_precision":"auto","members":2})"}) {
            SCOPED_TRACE(more);
            const auto trained = TrainFor(more, Machine(0.5), Factory(), task);
            ASSERT_TRUE(trained.ok()) << trained.status().message();
            const Json& told = trained->details.at("score_precision");
            ASSERT_EQ(told.at("chosen"), "int8") << told;
            ASSERT_TRUE(trained->model.quantization);
            EXPECT_TRUE(trained->model.Validate().ok());
            EXPECT_FALSE(trained->quantized);
            EXPECT_EQ(told.at("rows"), trained->validation_rows);
            EXPECT_GT(told.at("rms_difference").get<double>(), 0.0);
            EXPECT_GE(told.at("largest_difference"), told.at("rms_difference"));
            for (const auto& [name, value] : told.at("metrics").at("int8").items())
                EXPECT_EQ(trained->metrics.at(name), value) << name;
            EXPECT_EQ(told.at("score_us").at("int8").at("batched"), trained->score_cost.batched);
            EXPECT_LT(trained->score_cost.batched, told.at("score_us").at("fp32").at("batched"));

            // the networks are those of fp32
            Json plain = Json::parse(more);
            plain["score_precision"] = "fp32";
            const auto same = TrainFor(plain.dump().c_str(), Machine(0.5), Factory(), task);
            ASSERT_TRUE(same.ok());
            EXPECT_EQ(same->model.WeightsBytes(), trained->model.WeightsBytes());
            // and the metrics, which are of rows that no network has seen, are told as training told them
            for (const auto& [name, value] : told.at("metrics").at("fp32").items())
                EXPECT_NEAR(value.get<double>(), same->metrics.at(name).get<double>(),
                            1e-5 * std::max(1.0, std::abs(value.get<double>())))
                    << name;
        }
    }
}

TEST(ScorePrecision, AutoNeedsSpeed) {
    const auto trained = TrainFor(R"({"score_precision":"auto"})", Machine(1.1));
    ASSERT_TRUE(trained.ok()) << trained.status().message();
    EXPECT_FALSE(trained->model.quantization);
    const Json& told = trained->details.at("score_precision");
    EXPECT_EQ(told.at("chosen"), "fp32");
    EXPECT_NE(told.at("reason").get<std::string>().find("not faster"), std::string::npos);
    EXPECT_EQ(told.at("score_us").at("fp32").at("batched"), trained->score_cost.batched);
    for (const auto& [name, value] : told.at("metrics").at("fp32").items())
        EXPECT_NEAR(trained->metrics.at(name).get<double>(), value.get<double>(), 1e-5) << name;
}

TEST(ScorePrecision, AutoNeedsAccuracy) {
    // every seventh answer is moved by so much
    for (const auto& [offset, holds] :
         {std::pair(0.0005f, true), std::pair(0.03f, false), std::pair(0.4f, false)}) {
        const auto trained = TrainFor(R"({"score_precision":"auto"})", Machine(0.5), Factory(offset));
        ASSERT_TRUE(trained.ok()) << trained.status().message();
        const Json& told = trained->details.at("score_precision");
        EXPECT_EQ(trained->model.quantization.has_value(), holds) << told;
        EXPECT_EQ(told.contains("reason"), !holds) << told;
        EXPECT_GE(told.at("largest_difference").get<double>(), 0.9 * offset);
        if (!holds) {
            EXPECT_TRUE(told.at("reason").get<std::string>().starts_with("in int8 ")) << told;
        }
        EXPECT_EQ(Find(*trained, "INT8_INACCURATE"), nullptr);
    }
}

TEST(ScorePrecision, Int8IsDoneAsAskedAndWarns) {
    const auto good = TrainFor(R"({"score_precision":"int8"})");
    ASSERT_TRUE(good.ok()) << good.status().message();
    EXPECT_TRUE(good->model.quantization);
    for (const char* code : {"INT8_INACCURATE", "INT8_UNCHECKED", "INT8_NOT_FASTER"})
        EXPECT_EQ(Find(*good, code), nullptr) << code;

    const auto bad = TrainFor(R"({"score_precision":"int8"})", Machine(2.0), Factory(0.03f));
    ASSERT_TRUE(bad.ok()) << bad.status().message();
    EXPECT_TRUE(bad->model.quantization);
    ASSERT_NE(Find(*bad, "INT8_INACCURATE"), nullptr);
    EXPECT_EQ(Find(*bad, "INT8_INACCURATE")->severity, Finding::Severity::kWarning);
    EXPECT_NE(Find(*bad, "INT8_NOT_FASTER"), nullptr);

    const auto blind = TrainFor(R"({"score_precision":"int8","validation":{"method":"none"}})");
    ASSERT_TRUE(blind.ok()) << blind.status().message();
    EXPECT_TRUE(blind->model.quantization);
    EXPECT_NE(Find(*blind, "INT8_UNCHECKED"), nullptr);
    EXPECT_EQ(Find(*blind, "INT8_INACCURATE"), nullptr);
    const auto open = TrainFor(R"({"score_precision":"auto","validation":{"method":"none"}})");
    ASSERT_TRUE(open.ok()) << open.status().message();
    EXPECT_FALSE(open->model.quantization);
}

TEST(ScorePrecision, NetworksWithoutLayersForInt8) {
    for (const char* network : {R"("hidden":[16])", R"("hidden":[])", R"("kind":"tabm","members":2)",
                                R"("numeric_embedding":"periodic")"}) {
        const auto asked = TrainFor((std::string(R"({"score_precision":"int8",)") + network + "}").c_str());
        ASSERT_FALSE(asked.ok()) << network;
        EXPECT_EQ(asked.status().code(), StatusCode::kInvalidArgument);
        EXPECT_NE(asked.status().message().find("score_precision"), std::string::npos);
        EXPECT_FALSE(asked.status().detail().empty() || asked.status().hint().empty());
        const auto open = TrainFor((std::string(R"({"score_precision":"auto",)") + network + "}").c_str());
        ASSERT_TRUE(open.ok()) << open.status().message();
        EXPECT_FALSE(open->model.quantization);
        EXPECT_EQ(open->details.at("score_precision").at("chosen"), "fp32");
        EXPECT_NE(open->details.at("score_precision").at("reason").get<std::string>().find("no layer"),
                  std::string::npos);
    }
}

TEST(ScorePrecision, IsTriedBeforeTheNetworkShrinks) {
    const auto full = TrainFor(R"({"score_precision":"auto"})");
    ASSERT_TRUE(full.ok());
    const double int8 = full->score_cost.batched;
    const std::string budget = R"("max_score_us":)" + std::to_string(int8 * 1.01);
    const auto kept = TrainFor((R"({"score_precision":"auto",)" + budget + "}").c_str());
    ASSERT_TRUE(kept.ok()) << kept.status().message();
    EXPECT_EQ(Artifact::Of(kept->model), Artifact::Of(full->model));
    EXPECT_FALSE(kept->details.contains("latency_budget"));
    const auto shrunk = TrainFor(("{" + budget + "}").c_str());
    ASSERT_TRUE(shrunk.ok()) << shrunk.status().message();
    EXPECT_TRUE(shrunk->details.contains("latency_budget"));

    // what is shrunk is scored as was asked for, and what was chosen can be asked for again
    const auto small =
        TrainFor((R"({"score_precision":"int8","max_score_us":)" + std::to_string(int8 * 0.5) + "}").c_str());
    ASSERT_TRUE(small.ok()) << small.status().message() << small.status().detail();
    EXPECT_TRUE(small->model.quantization);
    EXPECT_LE(small->score_cost.batched, int8 * 0.5);
    const Json& chosen = small->details.at("latency_budget").at("chosen");
    EXPECT_EQ(chosen.at("score_precision"), "int8");
    const auto again = TrainFor(chosen.dump().c_str());
    ASSERT_TRUE(again.ok()) << again.status().message();
    EXPECT_EQ(Artifact::Of(again->model), Artifact::Of(small->model));
}

TEST(ScorePrecision, IsTheStudentsNotItsTeachers) {
    const auto trained = TrainFor(R"({"score_precision":"int8","teacher":{"epochs":2,"hidden":[16]}})");
    ASSERT_TRUE(trained.ok()) << trained.status().message();
    EXPECT_TRUE(trained->model.quantization);
}

TEST(ScorePrecision, Options) {
    EXPECT_EQ(ParseOptions("{}").score_precision, ScorePrecision::kFp32);
    EXPECT_EQ(ParseOptions(R"({"score_precision":"int8"})").score_precision, ScorePrecision::kInt8);
    EXPECT_EQ(ParseOptions(R"({"score_precision":"auto"})").score_precision, ScorePrecision::kAuto);
    for (const char* wrong : {R"({"score_precision":"int4"})", R"({"score_precision":8})",
                              R"({"score_precision":null})", R"({"teacher":{"score_precision":"int8"}})"}) {
        const auto options = TrainingOptions::Parse(Json::parse(wrong));
        ASSERT_FALSE(options.ok()) << wrong;
        EXPECT_EQ(options.status().code(), StatusCode::kInvalidArgument);
        EXPECT_FALSE(options.status().hint().empty());
    }
}

}  // namespace
}  // namespace dlent
