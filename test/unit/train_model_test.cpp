#include "core/train/train_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/drift/reference.h"
#include "core/features/split.h"
#include "core/metrics/metrics.h"
#include "cpu/row_scorer.h"
#include "model_testing.h"

namespace dlent {
namespace {

constexpr const char* kQuick = R"({"preset":"fast","epochs":3,"hidden":[12]})";

/// `options` with further keys.
std::string With(const char* options, const char* more) {
    Json json = Json::parse(options);
    json.update(Json::parse(more));
    return json.dump();
}

TrainedModel MustTrain(const ColumnarTable& table, const std::string& options) {
    Expected<TrainedModel> trained = Train(table, options);
    EXPECT_TRUE(trained.ok()) << trained.status().message() << " " << trained.status().detail();
    if (!trained.ok())
        return {};
    EXPECT_TRUE(trained->model.Validate().ok()) << trained->model.Validate().detail();
    return std::move(*trained);
}

/// Code, or "code:column", of every finding.
std::set<std::string> Codes(const TrainedModel& trained) {
    std::set<std::string> codes;
    for (const Finding& finding : trained.findings)
        codes.insert(finding.column.empty() ? finding.code : finding.code + ":" + finding.column);
    return codes;
}

/// A row of a training table as a scorer takes it.
std::vector<Cell> CellsOf(const ColumnarTable& table, const Pipeline& pipeline, uint32_t row) {
    std::vector<Cell> cells;
    for (size_t i = 0; i < pipeline.inputs().size(); ++i) {
        int column = 0;
        while (table.columns()[column].name != pipeline.inputs()[i].name)
            ++column;
        for (int cell = 0; cell < table.columns()[column].width; ++cell) {
            const int at = table.first_cell(column) + cell;
            if (table.columns()[column].kind != ColumnKind::kCategory)
                cells.push_back({.f = table.Float(at, row)});
            else if (table.Code(at, row) < 0)
                cells.push_back({.code = pipeline.NullCode(static_cast<int>(i))});
            else
                cells.push_back(
                    {.code = pipeline.CategoryCode(static_cast<int>(i),
                                                   table.dictionary(column).Text(table.Code(at, row)))});
        }
    }
    return cells;
}

// ---- determinism ----

class TrainModelTasks : public testing::TestWithParam<std::pair<Task, const char*>> {};

TEST_P(TrainModelTasks, SameRowsOptionsAndSeedGiveTheSameBytes) {
    const auto& [task, more] = GetParam();
    const TableBuilder rows = MixedRows(task, 400, 1);
    const ColumnarTable table = rows.Build();
    const TrainedModel first = MustTrain(table, With(kQuick, more));
    const TrainedModel second = MustTrain(table, With(kQuick, more));
    EXPECT_EQ(Artifact::Of(first.model), Artifact::Of(second.model));
    EXPECT_EQ(first.metrics, second.metrics);
    EXPECT_EQ(first.data_fingerprint, second.data_fingerprint);

    // where the rows lie in the table does not matter
    std::vector<uint32_t> order = AllRows(table);
    RandomStream(9).Shuffle(order.data(), order.size());
    const TrainedModel shuffled = MustTrain(rows.Build(order), With(kQuick, more));
    EXPECT_EQ(Artifact::Of(first.model), Artifact::Of(shuffled.model));
    EXPECT_EQ(first.metrics, shuffled.metrics);
    EXPECT_EQ(first.reference, shuffled.reference);
    EXPECT_EQ(first.data_fingerprint, shuffled.data_fingerprint);

    const TrainedModel other_seed = MustTrain(table, With(With(kQuick, more).c_str(), R"({"seed":43})"));
    EXPECT_NE(first.model.WeightsBytes(), other_seed.model.WeightsBytes());
    EXPECT_EQ(first.model.PipelineJson(), other_seed.model.PipelineJson());
    EXPECT_EQ(first.data_fingerprint, other_seed.data_fingerprint);
    const TrainedModel other_rows = MustTrain(MixedRows(task, 400, 2).Build(), With(kQuick, more));
    EXPECT_NE(first.model.WeightsBytes(), other_rows.model.WeightsBytes());
    EXPECT_NE(first.data_fingerprint, other_rows.data_fingerprint);
}

INSTANTIATE_TEST_SUITE_P(Every, TrainModelTasks,
                         testing::Values(std::pair{Task::kBinary, "{}"}, std::pair{Task::kRegression, "{}"},
                                         std::pair{Task::kMulticlass, "{}"},
                                         std::pair{Task::kBinary, R"({"preset":"default"})"},
                                         std::pair{Task::kMulticlass, R"({"kind":"tabm","members":3})"}));

// ---- presets ----

TEST(TrainModelPresets, TakeTheirPlans) {
    struct Expectation {
        const char* preset;
        size_t members;
        const char* plan;
        const char* method;
        uint64_t validation_rows;
    };
    const ColumnarTable table = MixedRows(Task::kBinary, 600, 4).Build();
    for (const Expectation& expected :
         {Expectation{"fast", 1, "hold_out", "random", 120}, Expectation{"default", 5, "folds", "folds", 600},
          Expectation{"best", 10, "folds", "folds", 600}}) {
        SCOPED_TRACE(expected.preset);
        const TrainedModel trained =
            MustTrain(table, Json({{"preset", expected.preset}, {"epochs", 6}, {"hidden", {16}}}).dump());
        EXPECT_EQ(trained.model.members.size(), expected.members);
        EXPECT_EQ(trained.details.at("preset"), expected.preset);
        EXPECT_EQ(trained.details.at("recipe").at("plan"), expected.plan);
        EXPECT_EQ(trained.details.at("validation").at("method"), expected.method);
        EXPECT_NEAR(static_cast<double>(trained.validation_rows),
                    static_cast<double>(expected.validation_rows), 2.0);
        EXPECT_EQ(trained.details.at("validation").at("rows"), trained.validation_rows);
        EXPECT_EQ(trained.train_rows, 600u);  // folds see all rows, and a hold-out part is refitted
        EXPECT_GT(trained.metrics.at("roc_auc").get<double>(), 0.6);
    }
}

TEST(TrainModelPresets, LearnEveryTask) {
    EXPECT_GT(
        MustTrain(MixedRows(Task::kRegression, 1500, 4).Build(), R"({"preset":"fast"})").metrics.at("r2"),
        0.5);
    EXPECT_GT(MustTrain(MixedRows(Task::kMulticlass, 1500, 4).Build(), R"({"preset":"fast"})")
                  .metrics.at("accuracy"),
              0.6);
}

// ---- what is stored is what was judged ----

TEST(TrainModel, StoresTheBestEpochAndItsHonestMetrics) {
    // few rows and many epochs: without the best epoch's weights the metrics would be another's
    const ColumnarTable table = MixedRows(Task::kBinary, 400, 6).Build();
    const TrainedModel trained = MustTrain(
        table, R"({"epochs":40,"learning_rate":0.01,"hidden":[32],"numeric_embedding":"none","dropout":0})");
    ASSERT_FALSE(trained.details.contains("refitted_members"));
    std::map<int, std::pair<double, int>> best;  // loss and epoch of each member
    for (const EpochRecord& record : trained.log) {
        auto [entry, is_new] = best.emplace(record.member, std::pair{record.validation_loss, record.epoch});
        if (record.validation_loss < entry->second.first)
            entry->second = {record.validation_loss, record.epoch};
    }
    ASSERT_EQ(best.size(), 5u);
    bool turned = false;
    for (int member = 0; member < 5; ++member) {
        EXPECT_EQ(trained.details.at("best_epochs")[member], best[member].second);
        turned |= best[member].second < trained.epochs;
    }
    EXPECT_TRUE(turned);

    // the rule names the rows: each member, on the fold that it has not seen
    const OrderedRows ordered(table);
    SplitInputs inputs;
    const NeverCancelled never;
    inputs.table = &table;
    inputs.rows = ordered.rows;
    inputs.hashes = ordered.hashes;
    inputs.target = &trained.model.target;
    inputs.seed = 42;
    inputs.cancel = &never;
    const auto plan = MakeFolds(inputs, 5);
    ASSERT_TRUE(plan.ok());
    std::vector<float> scores;
    std::vector<int32_t> labels;
    const auto truth = trained.model.target.Bind(table);
    for (int member = 0; member < 5; ++member) {
        Model alone = trained.model;
        alone.members = {trained.model.members[member]};
        auto scorer = MakeCpuScorer(alone);
        ASSERT_TRUE(scorer.ok());
        const std::vector<uint32_t>& rows = plan->splits[member].validation;
        for (const uint32_t row : rows) {
            const std::vector<Cell> cells = CellsOf(table, trained.model.pipeline, row);
            (*scorer)->Score(1, cells.data(), &scores.emplace_back());
        }
        labels.resize(scores.size());
        truth->Classes(rows, &labels[labels.size() - rows.size()]);
    }
    const BinaryReport replayed = EvaluateBinary(scores, labels);
    EXPECT_EQ(replayed.rows, trained.validation_rows);
    EXPECT_NEAR(replayed.log_loss, trained.metrics.at("log_loss").get<double>(), 1e-5);
    EXPECT_NEAR(*replayed.roc_auc, trained.metrics.at("roc_auc").get<double>(), 1e-5);
}

TEST(TrainModel, PatienceEndsEarly) {
    const TrainedModel trained =
        MustTrain(MixedRows(Task::kBinary, 300, 6).Build(),
                  R"({"preset":"fast","epochs":500,"patience":2,"learning_rate":0.02,"hidden":[16]})");
    EXPECT_EQ(trained.details.at("stop_reasons")[0], "early_stopping");
    EXPECT_LT(trained.epochs, 500);
}

// ---- validation ----

TableBuilder WithColumn(Task task, size_t rows, ColumnRole role, const std::vector<float>& values) {
    TableBuilder table = MixedRows(task, rows, 8);
    table.Floats("part", values, role, ColumnKind::kNumeric, "integer");
    return table;
}

std::vector<float> Modulo(size_t rows, size_t modulus) {
    std::vector<float> values(rows);
    for (size_t row = 0; row < rows; ++row)
        values[row] = static_cast<float>(row * 37 % modulus);
    return values;
}

TEST(TrainModelValidation, RandomHoldsOutItsFraction) {
    const TrainedModel trained =
        MustTrain(MixedRows(Task::kMulticlass, 400, 8).Build(),
                  With(kQuick, R"({"validation":{"method":"random","fraction":0.3}})"));
    EXPECT_EQ(trained.details.at("validation").at("method"), "random");
    EXPECT_EQ(trained.details.at("validation").at("fraction"), 0.3);
    EXPECT_NEAR(static_cast<double>(trained.validation_rows), 120.0, 2.0);
}

TEST(TrainModelValidation, TimeHoldsOutTheLastRows) {
    const std::vector<float> days = Modulo(400, 400);
    const TrainedModel trained =
        MustTrain(WithColumn(Task::kBinary, 400, ColumnRole::kOrder, days).Build(),
                  With(kQuick, R"({"validation":{"method":"time","fraction":0.25,"column":"part"}})"));
    const Json& rule = trained.details.at("validation");
    EXPECT_EQ(rule.at("method"), "time");
    EXPECT_EQ(rule.at("column"), "part");
    EXPECT_EQ(rule.at("from"), 300.0);
    EXPECT_EQ(trained.validation_rows, 100u);
    for (const PipelineInput& input : trained.model.pipeline.inputs())
        EXPECT_NE(input.name, "part");  // it orders the rows and is no feature
}

TEST(TrainModelValidation, GroupsStayTogether) {
    const ColumnarTable table =
        WithColumn(Task::kBinary, 400, ColumnRole::kGroup, Modulo(400, 20)).Build();  // 20 rows a group
    const std::string group = R"({"validation":{"method":"group","column":"part"}})";
    const TrainedModel fast = MustTrain(table, With(kQuick, group.c_str()));
    EXPECT_EQ(fast.details.at("validation").at("method"), "group");
    EXPECT_EQ(fast.validation_rows % 20, 0u);
    EXPECT_NEAR(static_cast<double>(fast.validation_rows), 80.0, 40.0);
}

TEST(TrainModel, KeepsWhatDriftIsMeasuredAgainst) {
    for (const Task task : {Task::kBinary, Task::kRegression, Task::kMulticlass}) {
        const TrainedModel trained = MustTrain(MixedRows(task, 400, 3).Build(), kQuick);
        const Expected<DriftReference> reference =
            DriftReference::FromJson(Json::parse(trained.reference.dump()));
        ASSERT_TRUE(reference.ok()) << reference.status().message();
        ASSERT_EQ(reference->features.size(), trained.model.pipeline.inputs().size());
        for (size_t i = 0; i < reference->features.size(); ++i) {
            EXPECT_EQ(reference->features[i].variable.name, trained.model.pipeline.inputs()[i].name);
            EXPECT_EQ(reference->features[i].sample.rows, 400u);
        }
        EXPECT_EQ(reference->target.present(), 400u);
        ASSERT_TRUE(reference->prediction.has_value());
        EXPECT_EQ(reference->prediction->rows, trained.validation_rows);
        EXPECT_EQ(reference->prediction->categorical, task == Task::kMulticlass);
        EXPECT_EQ(reference->performance.has_value(), task == Task::kBinary);
        if (task == Task::kRegression) {
            // in the target's units, as dlent_predict() answers
            EXPECT_GE(reference->prediction->sketch.edges.front(), trained.model.target.minimum());
            EXPECT_LE(reference->prediction->sketch.edges.back(), trained.model.target.maximum());
        }
    }
    // nothing held out: no scores to compare with
    const TrainedModel all = MustTrain(MixedRows(Task::kBinary, 400, 3).Build(),
                                       With(kQuick, R"({"validation":{"method":"none"}})"));
    EXPECT_FALSE(DriftReference::FromJson(all.reference)->prediction.has_value());
}

TEST(TrainModelValidation, NoneTrainsOnAllRows) {
    const TrainedModel trained = MustTrain(MixedRows(Task::kBinary, 400, 8).Build(),
                                           With(kQuick, R"({"validation":{"method":"none"}})"));
    EXPECT_EQ(trained.details.at("validation").at("method"), "none");
    EXPECT_EQ(trained.validation_rows, 0u);
    EXPECT_EQ(trained.train_rows, 400u);
    EXPECT_TRUE(trained.metrics.empty());
    EXPECT_EQ(trained.model.temperature, 1.0f);
    EXPECT_EQ(trained.epochs, 3);
    for (const EpochRecord& record : trained.log)
        EXPECT_TRUE(std::isnan(record.validation_loss));
}

/// A target that drifts slowly over the rows, and features that say little of it.
ColumnarTable DriftingRows(size_t rows) {
    RandomStream random(12);
    std::vector<float> x, y;
    for (size_t row = 0; row < rows; ++row) {
        x.push_back(random.Normal());
        y.push_back(std::sin(static_cast<float>(row) / 60.0f) + 0.2f * random.Normal() + 0.3f * x.back());
    }
    return TableBuilder().Floats("x", x).Floats("y", y, ColumnRole::kTarget).Build();
}

TEST(TrainModelValidation, OrderedRowsAreHeldOutInBlocks) {
    const ColumnarTable table = DriftingRows(1200);
    for (const char* preset : {"fast", "default"}) {
        const TrainedModel trained =
            MustTrain(table, Json({{"preset", preset}, {"epochs", 2}, {"hidden", {8}}}).dump());
        EXPECT_EQ(trained.details.at("validation").at("method"), "blocks") << preset;
        EXPECT_TRUE(Codes(trained).contains("ORDERED_ROWS"));
    }
    // who asks for random rows gets them
    const TrainedModel random = MustTrain(table, With(kQuick, R"({"validation":{"method":"random"}})"));
    EXPECT_EQ(random.details.at("validation").at("method"), "random");
    EXPECT_FALSE(Codes(random).contains("ORDERED_ROWS"));
}

/// A block is another time than what is to come: several say more of when to stop, up to 50,000 rows.
TEST(TrainModelValidation, OrderedRowsAreTrainedInFoldsOfBlocks) {
    const ColumnarTable table = DriftingRows(12000);
    const char* quick = R"({"epochs":1,"hidden":[4]})";
    const TrainedModel trained = MustTrain(table, quick);
    EXPECT_EQ(trained.details.at("recipe").at("plan"), "folds");
    EXPECT_EQ(trained.model.members.size(), 5u);
    EXPECT_EQ(trained.details.at("validation").at("method"), "blocks");
    EXPECT_EQ(trained.validation_rows, 12000u);
    // who says how many networks, or how much is held out, gets that
    for (const char* options : {R"({"members":2})", R"({"validation":{"fraction":0.2}})"}) {
        const TrainedModel asked = MustTrain(table, With(quick, options));
        EXPECT_EQ(asked.details.at("recipe").at("plan"), "hold_out") << options;
        EXPECT_EQ(asked.model.members.size(), 2u) << options;
        EXPECT_EQ(asked.details.at("validation").at("method"), "blocks") << options;
    }
}

// ---- findings ----

TEST(TrainModelFindings, NameWhatIsWrongWithColumnsAndRows) {
    const size_t rows = 190;
    TableBuilder table = MixedRows(Task::kRegression, rows, 5);
    std::vector<float> copy;
    const ColumnarTable plain = table.Build();
    std::vector<std::string> key;
    for (uint32_t row = 0; row < rows; ++row) {
        copy.push_back(2.0f * plain.Float(plain.cell_count() - 1, row) + 1.0f);
        key.push_back("key " + std::to_string(row));
    }
    table.Floats("copy", copy)
        .Floats("constant", std::vector<float>(rows, 3.0f))
        .Floats("nothing", std::vector<float>(rows, ColumnarTable::kNull))
        .Texts("key", key);
    const TrainedModel trained = MustTrain(table.Build(), kQuick);
    const std::set<std::string> codes = Codes(trained);
    for (const char* code : {"LEAK_FEATURE:copy", "EXCLUDED_CONSTANT:constant", "EXCLUDED_ALL_NULL:nothing",
                             "EXCLUDED_UNIQUE:key"})
        EXPECT_TRUE(codes.contains(code)) << code;
    EXPECT_TRUE(codes.contains("FEW_ROWS") || codes.contains("FEW_ROWS:y"));
    // the same, in order, with the version
    const Json& stored = trained.details.at("findings");
    ASSERT_EQ(stored.size(), trained.findings.size());
    for (size_t i = 0; i < stored.size(); ++i) {
        EXPECT_EQ(stored[i].at("code"), trained.findings[i].code);
        EXPECT_EQ(stored[i].at("severity"),
                  trained.findings[i].severity == Finding::Severity::kWarning ? "warning" : "notice");
    }
    for (const PipelineInput& input : trained.model.pipeline.inputs())
        EXPECT_TRUE(input.name != "constant" && input.name != "nothing" && input.name != "key");
}

TEST(TrainModelFindings, CleanRowsHaveNone) {
    EXPECT_TRUE(Codes(MustTrain(MixedRows(Task::kBinary, 400, 8).Build(), kQuick)).empty());
}

// ---- limits ----

/// True from its `after`-th question on.
class CancelAfterPolls final : public CancelToken {
 public:
    explicit CancelAfterPolls(int after) : after_(after) {}
    bool IsCancelled() const override { return ++polls_ > after_; }
    int polls() const { return polls_; }

 private:
    int after_;
    mutable int polls_ = 0;
};

TEST(TrainModelLimits, CancelEndsItWhereverItIs) {
    const ColumnarTable table = MixedRows(Task::kMulticlass, 400, 8).Build();
    const TrainingOptions options = ParseOptions(kQuick);
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    const CancelAfterPolls never(INT32_MAX - 1);
    ASSERT_TRUE(TrainModel(table, options, {*backend, never}).ok());
    ASSERT_GT(never.polls(), 20);
    for (int percent = 0; percent <= 90; percent += 5) {
        const int after = never.polls() * percent / 100;
        const CancelAfterPolls token(after);
        int epochs_since = 0;
        const auto trained =
            TrainModel(table, options, {*backend, token, [&](const TrainingProgress& progress) {
                                            epochs_since += progress.epoch_ended && token.polls() > after;
                                        }});
        EXPECT_EQ(trained.status().code(), StatusCode::kCancelled) << percent << " %";
        EXPECT_LE(token.polls() - after, 3) << percent << " %";
        EXPECT_EQ(epochs_since, 0) << percent << " %";
    }
}

TEST(TrainModelLimits, TheTimeLimitLeavesAWholeModel) {
    const ColumnarTable table = MixedRows(Task::kBinary, 400, 8).Build();
    for (const char* limit : {R"({"preset":"fast","max_seconds":0.1,"epochs":100000,"patience":100000})",
                              R"({"preset":"default","max_seconds":0.1,"epochs":100000,"patience":100000})",
                              R"({"preset":"fast","max_seconds":0.01,"epochs":100000,"patience":100000})"}) {
        SCOPED_TRACE(limit);
        const TrainedModel trained = MustTrain(table, limit);
        EXPECT_EQ(trained.details.at("stop_reasons")[0], "time_limit");
        EXPECT_LT(trained.epochs, 100000);
        EXPECT_FALSE(trained.model.members.empty());
        EXPECT_TRUE(trained.metrics.contains("roc_auc"));
        EXPECT_TRUE(MakeCpuScorer(trained.model).ok());
    }
}

TEST(TrainModelLimits, ProgressRunsFromNothingToAll) {
    const ColumnarTable table = MixedRows(Task::kBinary, 400, 8).Build();
    std::vector<std::string> phases;
    double fraction = 0.0;
    size_t epochs = 0;
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    const auto trained = TrainModel(table, ParseOptions(kQuick),
                                    {*backend, NeverCancelled(), [&](const TrainingProgress& progress) {
                                         if (phases.empty() || phases.back() != progress.phase)
                                             phases.push_back(progress.phase);
                                         EXPECT_GE(progress.fraction, fraction);
                                         fraction = progress.fraction;
                                         epochs += progress.epoch_ended;
                                         EXPECT_LE(progress.epoch, progress.epochs);
                                         EXPECT_LT(progress.member, progress.members);
                                     }});
    ASSERT_TRUE(trained.ok());
    EXPECT_EQ(phases, (std::vector<std::string>{"preparing", "training", "evaluating", "refitting"}));
    EXPECT_LE(fraction, 1.0);
    EXPECT_EQ(epochs, trained->log.size());
}

// ---- weights, NULL targets, refusals ----

TEST(TrainModel, RowsWithoutTargetAreLeftOut) {
    std::vector<float> x, y;
    RandomStream random(2);
    for (int row = 0; row < 300; ++row) {
        x.push_back(random.Normal());
        y.push_back(row % 3 == 0 ? ColumnarTable::kNull : x.back() + random.Normal());
    }
    const TrainedModel trained =
        MustTrain(TableBuilder().Floats("x", x).Floats("y", y, ColumnRole::kTarget).Build(), kQuick);
    EXPECT_EQ(trained.train_rows, 200u);
    EXPECT_EQ(trained.details.at("rows_without_target"), 100);
}

TEST(TrainModel, WeightsMoveTheAnswer) {
    // half of the rows say 0, half say 10; weights decide
    std::vector<float> x, y, w;
    RandomStream random(2);
    for (int row = 0; row < 400; ++row) {
        x.push_back(random.Normal());
        y.push_back(row % 2 == 0 ? 0.0f : 10.0f);
        w.push_back(row % 2 == 0 ? 1.0f : 9.0f);
    }
    const ColumnarTable table = TableBuilder()
                                    .Floats("x", x)
                                    .Floats("y", y, ColumnRole::kTarget)
                                    .Floats("w", w, ColumnRole::kWeight)
                                    .Build();
    const TrainedModel trained = MustTrain(table, R"({"preset":"fast","epochs":30,"hidden":[8]})");
    auto scorer = MakeCpuScorer(trained.model);
    ASSERT_TRUE(scorer.ok());
    const Cell cell{.f = 0.0f};
    float answer = 0.0f;
    (*scorer)->Score(1, &cell, &answer);
    EXPECT_NEAR(answer, 9.0f, 1.0f);  // the weighted mean; 5 without weights
}

TEST(TrainModel, RefusesWhatItCannotLearnFrom) {
    const auto refusal = [](const ColumnarTable& table) { return Train(table, kQuick).status(); };
    std::vector<float> x(100), w(100, 1.0f);
    std::vector<std::string> y(100, "a");
    for (int row = 0; row < 100; ++row)
        x[row] = static_cast<float>(row % 7);
    const auto table = [&] {
        return TableBuilder()
            .Floats("x", x)
            .Floats("w", w, ColumnRole::kWeight)
            .Texts("y", y, ColumnRole::kTarget);
    };
    EXPECT_EQ(refusal(table().Build()).code(), StatusCode::kInsufficientData);  // one class
    for (int row = 0; row < 50; ++row)
        y[row] = "b";
    EXPECT_TRUE(refusal(table().Build()).ok());
    EXPECT_EQ(refusal(table().Build({})).code(), StatusCode::kInsufficientData);
    EXPECT_EQ(refusal(table().Build({1, 60, 2})).code(), StatusCode::kInsufficientData);
    for (const float bad : {-1.0f, ColumnarTable::kNull, std::numeric_limits<float>::infinity()}) {
        w[7] = bad;
        EXPECT_EQ(refusal(table().Build()).code(), StatusCode::kInvalidArgument) << bad;
    }
    w[7] = 1.0f;
    std::fill(x.begin(), x.end(), 1.0f);
    EXPECT_FALSE(refusal(table().Build()).ok());  // no column that says anything
    std::fill(y.begin(), y.end(), "NULL");
    EXPECT_EQ(refusal(table().Build()).code(), StatusCode::kInsufficientData);
}

}  // namespace
}  // namespace dlent
