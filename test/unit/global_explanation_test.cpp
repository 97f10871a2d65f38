#include "core/explain/global_explanation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "core/explain/partial_dependence.h"
#include "core/explain/permutation_importance.h"
#include "model_testing.h"
#include "testing.h"

namespace dlent {
namespace {

LocalExplanation Explanation(const std::vector<Contribution>& contributions, int label = 1) {
    LocalExplanation explanation;
    explanation.labels.resize(1);
    explanation.labels[0].label = label;
    explanation.labels[0].contributions = contributions;
    return explanation;
}

Contribution Of(int feature, int code, double value) {
    Contribution contribution;
    contribution.feature = feature;
    contribution.code = code;
    contribution.coefficient = value;
    contribution.contribution = value;
    return contribution;
}

TEST(GlobalExplanation, AveragesSizesWithTheirStandardErrors) {
    GlobalExplanation global(3);
    global.Add(Explanation({Of(2, 0, -4.0), Of(0, 0, 1.0)}));
    global.Add(Explanation({Of(2, 1, 2.0)}));
    global.Add(Explanation({Of(2, 1, 3.0), Of(0, 1, -1.0)}));
    const std::vector<GlobalExplanation::Importance> importances = global.Importances(1);
    ASSERT_EQ(importances.size(), 3u);
    EXPECT_EQ(importances[0].feature, 2);
    EXPECT_DOUBLE_EQ(importances[0].mean_abs, 3.0);
    EXPECT_NEAR(importances[0].std_error, 1.0 / std::sqrt(3.0), 1e-12);
    EXPECT_EQ(importances[1].feature, 0);
    EXPECT_DOUBLE_EQ(importances[1].mean_abs, 2.0 / 3.0);
    EXPECT_EQ(importances[2].feature, 1);
    EXPECT_DOUBLE_EQ(importances[2].mean_abs, 0.0);
    EXPECT_EQ(global.Importances(0).size(), 3u) << "a class that nobody explained matters to nobody";
}

TEST(GlobalExplanation, PicksTheRowsThatCoverMost) {
    // conditions: A = (0, 0), B = (0, 1), C = (1, 0), D = (2, 0)
    GlobalExplanation global(3);
    global.Add(Explanation({Of(0, 0, 1.0)}));
    global.Add(Explanation({Of(0, 0, 1.0), Of(1, 0, -1.0)}));
    global.Add(Explanation({Of(0, 1, 1.0), Of(1, 0, 1.0)}));
    global.Add(Explanation({Of(2, 0, 0.25)}));
    // importances: A √2, B 1, C √2, D 0.5; the row with A and C first, then B's, then D's
    const std::vector<GlobalExplanation::Pick> picks = global.PickRows(1, 10);
    ASSERT_EQ(picks.size(), 3u) << "the last row adds nothing";
    EXPECT_EQ(picks[0].row, 1u);
    EXPECT_EQ(picks[1].row, 2u);
    EXPECT_EQ(picks[2].row, 3u);
    const double total = 2.0 * std::sqrt(2.0) + 1.5;
    EXPECT_NEAR(picks[0].coverage, 2.0 * std::sqrt(2.0) / total, 1e-12);
    EXPECT_NEAR(picks[2].coverage, 1.0, 1e-12);
    EXPECT_EQ(global.PickRows(1, 1).size(), 1u);
    EXPECT_TRUE(global.PickRows(0, 5).empty());
}

/// The greedy choice is at least 1 − 1/e of the best (Nemhauser 1978): compared with every pair of rows.
TEST(GlobalExplanation, GreedyPicksAreNearlyTheBest) {
    RandomStream random(11);
    for (int round = 0; round < 50; ++round) {
        GlobalExplanation global(6);
        std::vector<std::vector<Contribution>> rows;
        for (int row = 0; row < 12; ++row) {
            std::vector<Contribution> contributions;
            for (int f = 0; f < 6; ++f) {
                if (random.NextBelow(3) == 0)
                    contributions.push_back(Of(f, static_cast<int>(random.NextBelow(3)), random.Normal()));
            }
            global.Add(Explanation(contributions));
            rows.push_back(contributions);
        }
        std::map<std::pair<int, int>, double> weights;
        for (const auto& row : rows) {
            for (const Contribution& c : row)
                weights[{c.feature, c.code}] += std::abs(c.coefficient);
        }
        double total = 0.0;
        for (const auto& [condition, weight] : weights)
            total += std::sqrt(weight);
        double best = 0.0;
        for (const auto& a : rows) {
            for (const auto& b : rows) {
                std::map<std::pair<int, int>, double> covered;
                for (const auto* row : {&a, &b}) {
                    for (const Contribution& c : *row)
                        covered[{c.feature, c.code}] = std::sqrt(weights[{c.feature, c.code}]);
                }
                double sum = 0.0;
                for (const auto& [condition, value] : covered)
                    sum += value;
                best = std::max(best, sum / total);
            }
        }
        const std::vector<GlobalExplanation::Pick> picks = global.PickRows(1, 2);
        ASSERT_FALSE(picks.empty());
        EXPECT_GE(picks.back().coverage, (1.0 - std::exp(-1.0)) * best);
        EXPECT_LE(picks.back().coverage, best + 1e-12);
    }
}

/// Rows of MixedRows with answers that a formula gives.
class Formula final : public Scorer {
 public:
    using Function = std::function<void(const ExplainerStatistics&, const Cell*, float*)>;
    Formula(Model model, const ExplainerStatistics* statistics, Function function)
        : Scorer(std::move(model)), statistics_(*statistics), function_(std::move(function)) {}
    void Score(int rows, const Cell* cells, float* outputs) override {
        for (int row = 0; row < rows; ++row)
            function_(statistics_, cells + row * cell_count(), outputs + row * output_count());
    }
    size_t memory_bytes() const override { return 0; }

 private:
    const ExplainerStatistics& statistics_;
    Function function_;
};

struct World {
    ColumnarTable table;
    ExplainerStatistics statistics;
    std::unique_ptr<Formula> scorer;
    RowSet rows;

    World(Task task, Formula::Function function) : table(MixedRows(task, 500, 9, true).Build()) {
        const std::vector<uint32_t> all = AllRows(table);
        Model model;
        std::vector<Pipeline::Exclusion> excluded;
        model.pipeline = std::move(*Pipeline::Fit(table, all, {}, &excluded, NeverCancelled()));
        model.target = std::move(*TargetEncoder::Fit(table, all, Task::kAuto, std::nullopt));
        statistics =
            std::move(*ExplainerStatistics::Fit(table, all, model.pipeline, {}, 1, NeverCancelled()));
        scorer = std::make_unique<Formula>(std::move(model), &statistics, std::move(function));
        const Pipeline& pipeline = scorer->model().pipeline;
        rows.cell_count = pipeline.cell_count();
        rows.cells = RandomCells(pipeline, 400, 3);
        rows.numbers.resize(400);
        std::iota(rows.numbers.begin(), rows.numbers.end(), uint64_t{0});
        std::vector<float> outputs = ScoreAll(*scorer, rows.cells);
        for (int row = 0; row < 400; ++row) {
            if (task == Task::kRegression)
                rows.values.push_back(outputs[row]);
            else
                rows.classes.push_back(outputs[row] > 0.5f);
        }
    }
};

// features of MixedRows: amount, age, flag, point[1], point[2], city
enum { kAmount, kAge, kFlag, kPoint1, kPoint2, kCity };

TEST(PermutationImportance, OnlyWhatIsReadMattersAndTheMoreTheMore) {
    World world(Task::kRegression, [](const ExplainerStatistics& s, const Cell* cells, float* y) {
        const double age = s.Value(kAge, cells);
        const double point = s.Value(kPoint2, cells);
        *y = static_cast<float>((std::isnan(age) ? 0.0 : age) + 3.0 * (std::isnan(point) ? 0.0 : point));
    });
    for (const char* metric : {"rmse", "mae", "r2"}) {
        const auto result =
            PermuteFeatures(world.statistics, *world.scorer, world.rows, {metric, 5, 42}, NeverCancelled());
        ASSERT_TRUE(result.ok()) << result.status().message();
        EXPECT_EQ(result->metric, metric);
        EXPECT_DOUBLE_EQ(result->baseline, std::string(metric) == "r2" ? 1.0 : 0.0);
        ASSERT_EQ(result->features.size(), 6u);
        EXPECT_EQ(result->features[0].feature, kAge);
        EXPECT_EQ(result->features[1].feature, kPoint2);
        for (size_t i = 0; i < 6; ++i) {
            EXPECT_EQ(result->features[i].importance > 0.0, i < 2);
            EXPECT_EQ(result->features[i].std_error > 0.0, i < 2);
        }
    }
}

/// Shuffling a feature doubles its part of the squared error: the mean over all permutations is known.
TEST(PermutationImportance, AgreesWithTheExpectation) {
    World world(Task::kRegression, [](const ExplainerStatistics& s, const Cell* cells, float* y) {
        const double flag = s.Value(kFlag, cells);
        *y = std::isnan(flag) ? 0.5f : static_cast<float>(std::clamp(flag, -5.0, 5.0));
    });
    double mean = 0.0;
    double squares = 0.0;
    for (const double value : world.rows.values) {
        mean += value / 400.0;
        squares += value * value / 400.0;
    }
    const double variance = squares - mean * mean;
    const auto result =
        PermuteFeatures(world.statistics, *world.scorer, world.rows, {"rmse", 40, 1}, NeverCancelled());
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->features[0].feature, kFlag);
    EXPECT_NEAR(result->features[0].importance, std::sqrt(2.0 * variance),
                5.0 * result->features[0].std_error + 0.01);
}

TEST(PermutationImportance, ClassesAndRefusals) {
    World world(Task::kBinary, [](const ExplainerStatistics& s, const Cell* cells, float* p) {
        *p = s.Value(kAge, cells) > 40.0 ? 0.9f : 0.1f;
    });
    for (const std::string& metric : PermutationMetrics(Task::kBinary)) {
        const auto result =
            PermuteFeatures(world.statistics, *world.scorer, world.rows, {metric, 3, 42}, NeverCancelled());
        ASSERT_TRUE(result.ok()) << metric;
        EXPECT_EQ(result->features[0].feature, kAge) << metric;
        EXPECT_GT(result->features[0].importance, 0.05) << metric;
        EXPECT_EQ(result->features[1].importance, 0.0) << metric;
    }
    const auto again =
        PermuteFeatures(world.statistics, *world.scorer, world.rows, {"", 3, 42}, NeverCancelled());
    const auto once =
        PermuteFeatures(world.statistics, *world.scorer, world.rows, {"", 3, 42}, NeverCancelled());
    EXPECT_EQ(again->features[0].importance, once->features[0].importance);
    const auto unknown =
        PermuteFeatures(world.statistics, *world.scorer, world.rows, {"rmse", 3, 42}, NeverCancelled());
    ASSERT_FALSE(unknown.ok());
    EXPECT_NE(unknown.status().hint().find("roc_auc"), std::string::npos);
    RowSet one_class = world.rows;
    std::fill(one_class.classes.begin(), one_class.classes.end(), 1);
    EXPECT_EQ(
        PermuteFeatures(world.statistics, *world.scorer, one_class, {}, NeverCancelled()).status().code(),
        StatusCode::kInsufficientData);
    EXPECT_EQ(
        PermuteFeatures(world.statistics, *world.scorer, world.rows, {}, AlwaysCancelled()).status().code(),
        StatusCode::kCancelled);
}

TEST(PartialDependence, IsTheMeanOfTheRowsAtEachValue) {
    World world(Task::kRegression, [](const ExplainerStatistics& s, const Cell* cells, float* y) {
        const double amount = s.Value(kAmount, cells);
        const double age = s.Value(kAge, cells);
        *y = static_cast<float>((std::isnan(amount) ? -7.0 : amount) + 0.5 * (std::isnan(age) ? 0.0 : age));
    });
    const auto points = DependOn(world.statistics, *world.scorer, world.rows, kAmount, 21, NeverCancelled());
    ASSERT_TRUE(points.ok());
    ASSERT_EQ(points->size(), 22u) << "21 and NULL";
    const ExplainedFeature& amount = world.statistics.features()[kAmount];
    EXPECT_EQ(points->front().value, amount.minimum);
    EXPECT_EQ((*points)[20].value, amount.maximum);
    EXPECT_TRUE(std::isnan(points->back().value));
    double rest = 0.0;
    for (size_t row = 0; row < world.rows.rows(); ++row) {
        const double age = world.statistics.Value(kAge, world.rows.row(row));
        rest += 0.5 * (std::isnan(age) ? 0.0 : age) / 400.0;
    }
    for (const DependencePoint& point : *points) {
        EXPECT_NEAR(point.mean, (std::isnan(point.value) ? -7.0 : point.value) + rest, 1e-3 * amount.maximum);
        EXPECT_GT(point.std_error, 0.0);
        EXPECT_TRUE(std::is_sorted(std::begin(point.quantiles), std::end(point.quantiles)));
    }
    const auto ages = DependOn(world.statistics, *world.scorer, world.rows, kAge, 15, NeverCancelled());
    for (const DependencePoint& point : *ages)
        EXPECT_TRUE(std::isnan(point.value) || point.value == std::round(point.value)) << "years are whole";
    const auto cities = DependOn(world.statistics, *world.scorer, world.rows, kCity, 2, NeverCancelled());
    EXPECT_EQ(cities->size(), 3u) << "two levels and NULL";
}

}  // namespace
}  // namespace dlent
