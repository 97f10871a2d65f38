#include "core/explain/counterfactual.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <set>

#include "core/base/random.h"
#include "cpu/row_scorer.h"
#include "model_testing.h"
#include "testing.h"

namespace dlent {
namespace {

constexpr double kNull = std::numeric_limits<double>::quiet_NaN();

/// A network whose answers are a formula of the explained values.
class FormulaScorer final : public Scorer {
 public:
    using Formula = std::function<void(const std::vector<double>& values, float* outputs)>;

    FormulaScorer(Model model, const ExplainerStatistics* statistics, Formula formula)
        : Scorer(std::move(model)), statistics_(*statistics), formula_(std::move(formula)) {}

    void Score(int rows, const Cell* cells, float* outputs) override {
        std::vector<double> values(statistics_.features().size());
        for (int row = 0; row < rows; ++row) {
            for (size_t f = 0; f < values.size(); ++f)
                values[f] = statistics_.Value(static_cast<int>(f), cells + row * cell_count());
            formula_(values, outputs + row * output_count());
        }
        scored += rows;
    }
    size_t memory_bytes() const override { return 0; }

    int scored = 0;

 private:
    const ExplainerStatistics& statistics_;
    Formula formula_;
};

float Sigmoid(double x) {
    return static_cast<float>(1.0 / (1.0 + std::exp(-x)));
}

/// A table and what is learnt from it, but for the network.
struct Problem {
    ColumnarTable table;
    Pipeline pipeline;
    TargetEncoder target;
    ExplainerStatistics statistics;

    explicit Problem(ColumnarTable rows) : table(std::move(rows)) {
        const std::vector<uint32_t> all = AllRows(table);
        std::vector<Pipeline::Exclusion> excluded;
        pipeline = std::move(*Pipeline::Fit(table, all, {}, &excluded, NeverCancelled()));
        EXPECT_TRUE(excluded.empty());
        target = std::move(*TargetEncoder::Fit(table, all, Task::kAuto, std::nullopt));
        statistics = std::move(*ExplainerStatistics::Fit(table, all, pipeline, {}, 1, NeverCancelled()));
    }

    std::unique_ptr<FormulaScorer> MakeScorer(FormulaScorer::Formula formula) const {
        Model model;
        model.pipeline = pipeline;
        model.target = target;
        return std::make_unique<FormulaScorer>(std::move(model), &statistics, std::move(formula));
    }
    std::vector<Cell> Row(const std::vector<double>& values) const {
        std::vector<Cell> cells(pipeline.cell_count());
        for (size_t f = 0; f < values.size(); ++f)
            statistics.SetValue(static_cast<int>(f), values[f], cells.data());
        return cells;
    }
};

/// Four numbers: two in [0, 100], an integer in [0, 50] and one in [-1, 1]; then a category and a boolean.
/// Everything but the task is the same.
Problem MakeProblem(Task task) {
    RandomStream random(5);
    std::vector<float> a, b, n, c, flag, y;
    std::vector<std::string> city, label;
    for (int row = 0; row < 2000; ++row) {
        a.push_back(100.0f * random.NextFloat());
        b.push_back(row % 11 == 0 ? ColumnarTable::kNull : 100.0f * random.NextFloat());
        n.push_back(static_cast<float>(random.NextBelow(51)));
        c.push_back(2.0f * random.NextFloat() - 1.0f);
        flag.push_back(random.NextBelow(4) == 0 ? 1.0f : 0.0f);
        const uint32_t pick = random.NextBelow(10);
        city.push_back(pick < 5 ? "Lyon" : pick < 8 ? "Oslo" : pick < 9 ? "Rome" : "NULL");
        label.push_back(pick < 3 ? "high" : pick < 6 ? "low" : "middle");
        y.push_back(task == Task::kRegression ? random.NextFloat() : static_cast<float>(random.NextBelow(2)));
    }
    a[0] = 0.0f, a[1] = 100.0f;
    TableBuilder table;
    table.Floats("a", a).Floats("b", b).Floats("n", n, ColumnRole::kFeature, ColumnKind::kNumeric, "integer");
    table.Floats("c", c)
        .Texts("city", city)
        .Floats("flag", flag, ColumnRole::kFeature, ColumnKind::kBoolean, "boolean");
    if (task == Task::kMulticlass)
        table.Texts("y", label, ColumnRole::kTarget);
    else
        table.Floats("y", y, ColumnRole::kTarget, ColumnKind::kNumeric,
                     task == Task::kRegression ? "double precision" : "integer");
    return Problem(table.Build());
}

enum { kFirst, kSecond, kCount, kThird, kTown, kSwitch };
constexpr double kLyon = 0.0;
constexpr double kOslo = 1.0;
constexpr double kRome = 2.0;

std::vector<Counterfactual> Find(const Problem& problem, FormulaScorer* scorer,
                                 const std::vector<double>& row, const CounterfactualOptions& options) {
    const std::vector<Cell> cells = problem.Row(row);
    auto found = FindCounterfactuals(problem.statistics, *scorer, cells.data(), options, NeverCancelled());
    EXPECT_TRUE(found.ok()) << found.status().message();
    return found.ok() ? std::move(*found) : std::vector<Counterfactual>();
}

double Deviations(const Problem& problem, int feature, double difference) {
    return std::abs(difference) / problem.statistics.features()[feature].standard_deviation;
}

/// What holds of every counterfactual: it is of the row that its changes make, within what training saw.
void ExpectSound(const Problem& problem, FormulaScorer* scorer, const std::vector<double>& row,
                 const CounterfactualOptions& options, const Counterfactual& counterfactual) {
    std::vector<Cell> cells = problem.Row(row);
    std::set<int> changed;
    ASSERT_FALSE(counterfactual.changes.empty());
    EXPECT_LE(static_cast<int>(counterfactual.changes.size()), options.max_changes);
    double distance = 0.0;
    for (const Counterfactual::Change& change : counterfactual.changes) {
        const ExplainedFeature& feature = problem.statistics.features()[change.feature];
        EXPECT_TRUE(changed.insert(change.feature).second);
        if (!options.immutable.empty()) {
            EXPECT_FALSE(options.immutable[change.feature]) << feature.name;
        }
        const double from = problem.statistics.Value(change.feature, cells.data());
        EXPECT_TRUE(from == change.from || (std::isnan(from) && std::isnan(change.from)));
        ASSERT_FALSE(std::isnan(change.to));
        if (feature.kind == ColumnKind::kCategory) {
            EXPECT_LT(change.to, 3.0) << "neither NULL nor an unseen level";
            distance += 1.0;
        } else if (feature.categorical) {
            EXPECT_TRUE(change.to == 0.0 || change.to == 1.0);
            distance += 1.0;
        } else {
            EXPECT_GE(change.to, feature.minimum);
            EXPECT_LE(change.to, feature.maximum);
            if (feature.integral) {
                EXPECT_EQ(change.to, std::round(change.to));
            }
            if (!options.direction.empty() && options.direction[change.feature] != 0 && !std::isnan(from)) {
                EXPECT_GE((change.to - from) * options.direction[change.feature], 0.0);
            }
            distance += std::isnan(from) ? 1.0 + Deviations(problem, change.feature, change.to - feature.mean)
                                         : Deviations(problem, change.feature, change.to - from);
        }
        problem.statistics.SetValue(change.feature, change.to, cells.data());
    }
    EXPECT_NEAR(counterfactual.distance, distance, 1e-9);
    std::vector<float> outputs(scorer->output_count());
    scorer->Score(1, cells.data(), outputs.data());
    EXPECT_EQ(outputs, counterfactual.outputs);
    ASSERT_EQ(cells.size(), counterfactual.cells.size());
    EXPECT_EQ(std::memcmp(cells.data(), counterfactual.cells.data(), cells.size() * sizeof(Cell)), 0);
}

TEST(Counterfactual, OneNumberMovesToTheThresholdAndNoFurther) {
    const Problem problem = MakeProblem(Task::kBinary);
    const auto scorer = problem.MakeScorer(
        [](const std::vector<double>& x, float* p) { *p = Sigmoid((x[kFirst] - 37.3) / 5.0); });
    const std::vector<double> row = {80, 50, 10, 0, kLyon, 0};
    const std::vector<Counterfactual> found = Find(problem, scorer.get(), row, {});
    ASSERT_EQ(found.size(), 1u);
    ExpectSound(problem, scorer.get(), row, {}, found[0]);
    ASSERT_EQ(found[0].changes.size(), 1u);
    EXPECT_EQ(found[0].changes[0].feature, kFirst);
    EXPECT_LT(found[0].changes[0].to, 37.3);
    EXPECT_GT(found[0].changes[0].to, 80 - 1.025 * (80 - 37.3)) << "rounded by a fiftieth at most";
    EXPECT_EQ(found[0].changes[0].to, 37.0) << "a number that one can say";
    EXPECT_LT(found[0].outputs[0], 0.5f);
}

TEST(Counterfactual, IntegersStayWholeAndAreTheNearest) {
    const Problem problem = MakeProblem(Task::kBinary);
    for (const double threshold : {0.3, 0.5, 0.8}) {
        const auto scorer = problem.MakeScorer(
            [](const std::vector<double>& x, float* p) { *p = Sigmoid((x[kCount] - 21.0) / 3.0); });
        CounterfactualOptions options;
        options.threshold = threshold;
        for (int n = 0; n <= 50; ++n) {
            const std::vector<double> row = {80, 50, static_cast<double>(n), 0, kLyon, 0};
            int nearest = 1000;
            const bool positive = Sigmoid((n - 21.0) / 3.0) >= threshold;
            for (int m = 0; m <= 50; ++m) {
                if ((Sigmoid((m - 21.0) / 3.0) >= threshold) != positive &&
                    std::abs(m - n) < std::abs(nearest - n))
                    nearest = m;
            }
            const std::vector<Counterfactual> found = Find(problem, scorer.get(), row, options);
            ASSERT_EQ(found.size(), 1u);
            ExpectSound(problem, scorer.get(), row, options, found[0]);
            EXPECT_EQ(found[0].changes[0].to, nearest) << n;
        }
    }
}

/// Random wavy formulas on which every single change is tried: the answer must be no worse.
TEST(Counterfactual, SingleChangesAreAsSmallAsBruteForceFinds) {
    const Problem problem = MakeProblem(Task::kBinary);
    RandomStream random(77);
    int compared = 0;
    for (int formula = 0; formula < 60; ++formula) {
        std::vector<double> weight(6), phase(4), wave(4);
        for (double& w : weight)
            w = random.Normal();
        for (int f = 0; f < 4; ++f) {
            phase[f] = 6.28 * random.NextFloat();
            wave[f] = random.Uniform(0.5f, 2.0f);
        }
        const double bias = random.Normal();
        auto score = [=](const std::vector<double>& x) {
            double sum = bias + weight[4] * (x[kTown] == kOslo) - weight[4] * (x[kTown] == kRome) +
                         weight[5] * x[kSwitch];
            const double scaled[] = {x[kFirst] / 100, std::isnan(x[kSecond]) ? 0.5 : x[kSecond] / 100,
                                     x[kCount] / 50, (x[kThird] + 1) / 2};
            for (int f = 0; f < 4; ++f)
                sum += weight[f] * std::sin(phase[f] + wave[f] * 3.14 * scaled[f]);
            return Sigmoid(sum);
        };
        const auto scorer =
            problem.MakeScorer([&](const std::vector<double>& x, float* p) { *p = score(x); });
        const std::vector<double> row = {std::round(100 * random.NextFloat()),
                                         std::round(100 * random.NextFloat()),
                                         static_cast<double>(random.NextBelow(51)),
                                         0.25,
                                         kLyon,
                                         0};
        const bool positive = score(row) >= 0.5f;
        double least = std::numeric_limits<double>::infinity();
        auto attempt = [&](int feature, double to, double distance) {
            std::vector<double> changed = row;
            changed[feature] = to;
            if ((score(changed) >= 0.5f) != positive)
                least = std::min(least, distance);
        };
        for (const int f : {kFirst, kSecond, kCount, kThird}) {
            const ExplainedFeature& feature = problem.statistics.features()[f];
            for (int step = 0; step <= 5000; ++step) {
                double to = feature.minimum + (feature.maximum - feature.minimum) * step / 5000;
                if (f == kCount)
                    to = std::round(to);
                attempt(f, to, Deviations(problem, f, to - row[f]));
            }
        }
        for (const double level : {kOslo, kRome})
            attempt(kTown, level, 1.0);
        attempt(kSwitch, 1.0, 1.0);

        const std::vector<Counterfactual> found = Find(problem, scorer.get(), row, {});
        if (std::isinf(least)) {
            EXPECT_TRUE(found.empty() || found[0].changes.size() > 1) << formula;
            continue;
        }
        ++compared;
        ASSERT_EQ(found.size(), 1u) << formula;
        ExpectSound(problem, scorer.get(), row, {}, found[0]);
        ASSERT_EQ(found[0].changes.size(), 1u) << formula;
        // rounding costs up to a fiftieth, the resolution a little
        EXPECT_LE(found[0].distance, 1.022 * least + 2e-3) << formula;
    }
    EXPECT_GT(compared, 25);
}

TEST(Counterfactual, PairsAreFoundAndAreNearlyTheLeast) {
    const Problem problem = MakeProblem(Task::kBinary);
    // neither number can do it alone: the sum must fall by more than each has
    const auto scorer = problem.MakeScorer([](const std::vector<double>& x, float* p) {
        const double b = std::isnan(x[kSecond]) ? 50.0 : x[kSecond];
        *p = Sigmoid((x[kFirst] + 2.0 * b - 60.0) / 10.0);
    });
    const std::vector<double> row = {90, 90, 10, 0, kLyon, 0};
    const std::vector<Counterfactual> found = Find(problem, scorer.get(), row, {});
    ASSERT_EQ(found.size(), 1u);
    ExpectSound(problem, scorer.get(), row, {}, found[0]);
    ASSERT_EQ(found[0].changes.size(), 2u);
    // b counts double for the same deviation: all of it, and the rest from a
    EXPECT_LE(found[0].distance, 1.05 * (Deviations(problem, kSecond, 90) + Deviations(problem, kFirst, 30)));
}

TEST(Counterfactual, InteractionsWithoutASlopeAreFound) {
    const Problem problem = MakeProblem(Task::kBinary);
    const auto scorer = problem.MakeScorer([](const std::vector<double>& x, float* p) {
        *p = x[kFirst] < 20 && x[kSwitch] == 1 && x[kTown] == kRome ? 0.2f : 0.8f;
    });
    const std::vector<double> row = {90, 90, 10, 0, kLyon, 0};
    CounterfactualOptions options;
    const std::vector<Counterfactual> found = Find(problem, scorer.get(), row, options);
    ASSERT_EQ(found.size(), 1u) << "by chance, for nothing shows the way";
    ExpectSound(problem, scorer.get(), row, options, found[0]);
    EXPECT_EQ(found[0].changes.size(), 3u) << "what chance added has gone";
    EXPECT_LT(found[0].changes[0].to, 20.0);
    EXPECT_GT(found[0].changes[0].to, 17.0);
}

TEST(Counterfactual, ImmutableColumnsAndDirectionsAreRespected) {
    const Problem problem = MakeProblem(Task::kBinary);
    const auto scorer = problem.MakeScorer([](const std::vector<double>& x, float* p) {
        *p = Sigmoid((x[kFirst] - 50.0) / 10.0 + 3.0 * x[kThird] - (x[kCount] - 25.0) / 10.0);
    });
    const std::vector<double> row = {80, 50, 25, 0, kLyon, 0};
    CounterfactualOptions options;
    options.immutable.assign(6, false);
    options.immutable[kFirst] = true;
    options.direction.assign(6, 0);
    options.direction[kThird] = 1;
    const std::vector<Counterfactual> found = Find(problem, scorer.get(), row, options);
    ASSERT_EQ(found.size(), 0u) << "c may only rise, n is not enough";
    options.direction[kThird] = -1;
    const std::vector<Counterfactual> falling = Find(problem, scorer.get(), row, options);
    ASSERT_EQ(falling.size(), 1u);
    ExpectSound(problem, scorer.get(), row, options, falling[0]);
    options.immutable.assign(6, true);
    EXPECT_TRUE(Find(problem, scorer.get(), row, options).empty());
    EXPECT_LT(scorer->scored, 60000);
}

TEST(Counterfactual, NullsMayBecomeValuesAndNothingBecomesNull) {
    const Problem problem = MakeProblem(Task::kBinary);
    const auto scorer = problem.MakeScorer([](const std::vector<double>& x, float* p) {
        // a NULL declines, and so does a large number; for the category only NULL accepts
        const bool accepts = (!std::isnan(x[kSecond]) && x[kSecond] < 30.0) || std::isnan(x[kTown]);
        *p = accepts ? 0.1f : 0.9f;
    });
    const std::vector<double> row = {80, kNull, 25, 0, kLyon, 0};
    const std::vector<Counterfactual> found = Find(problem, scorer.get(), row, {});
    ASSERT_EQ(found.size(), 1u);
    ExpectSound(problem, scorer.get(), row, {}, found[0]);
    ASSERT_EQ(found[0].changes.size(), 1u);
    EXPECT_EQ(found[0].changes[0].feature, kSecond);
    EXPECT_LT(found[0].changes[0].to, 30.0);
    EXPECT_GT(found[0].changes[0].to, 29.0) << "nearest to what is usual";
}

TEST(Counterfactual, ClassesAndIntervalsAreReached) {
    const Problem classes = MakeProblem(Task::kMulticlass);
    const auto three = classes.MakeScorer([](const std::vector<double>& x, float* p) {
        const double z[] = {x[kFirst] / 20.0, 2.0, 5.0 - std::abs(x[kThird]) * 5.0};
        const double sum = std::exp(z[0]) + std::exp(z[1]) + std::exp(z[2]);
        for (int i = 0; i < 3; ++i)
            p[i] = static_cast<float>(std::exp(z[i]) / sum);
    });
    const std::vector<double> row = {90, 50, 25, 0.9, kLyon, 0};
    for (int label = -1; label < 3; ++label) {
        CounterfactualOptions options;
        options.label = label;
        const std::vector<Counterfactual> found = Find(classes, three.get(), row, options);
        if (label == 0) {
            EXPECT_TRUE(found.empty()) << "it has that class";
            continue;
        }
        ASSERT_EQ(found.size(), 1u) << label;
        ExpectSound(classes, three.get(), row, options, found[0]);
        const auto& p = found[0].outputs;
        const auto predicted = std::max_element(p.begin(), p.end()) - p.begin();
        EXPECT_TRUE(label < 0 ? predicted != 0 : predicted == label);
    }

    const Problem numbers = MakeProblem(Task::kRegression);
    const auto value = numbers.MakeScorer([](const std::vector<double>& x, float* y) {
        *y = static_cast<float>(3.0 * x[kFirst] + 10.0 * x[kThird]);
    });
    CounterfactualOptions options;
    options.target_low = 120.0;
    options.target_high = 125.0;
    const std::vector<Counterfactual> found = Find(numbers, value.get(), row, options);
    ASSERT_EQ(found.size(), 1u);
    ExpectSound(numbers, value.get(), row, options, found[0]);
    EXPECT_GE(found[0].outputs[0], 120.0f);
    EXPECT_LE(found[0].outputs[0], 125.0f);
}

TEST(Counterfactual, AlternativesDiffer) {
    const Problem problem = MakeProblem(Task::kBinary);
    const auto scorer = problem.MakeScorer([](const std::vector<double>& x, float* p) {
        *p = Sigmoid((x[kFirst] - 60.0) / 10.0 + 4.0 * x[kThird] + (x[kTown] == kLyon ? 1.5 : -1.0) -
                     1.5 * x[kSwitch]);
    });
    const std::vector<double> row = {75, 50, 25, 0.2, kLyon, 0};
    CounterfactualOptions options;
    options.count = 4;
    const std::vector<Counterfactual> found = Find(problem, scorer.get(), row, options);
    ASSERT_EQ(found.size(), 3u) << "a, c, city and flag: there is no fourth";
    std::set<std::vector<int>> sets;
    for (size_t i = 0; i < found.size(); ++i) {
        ExpectSound(problem, scorer.get(), row, options, found[i]);
        std::vector<int> features;
        for (const Counterfactual::Change& change : found[i].changes)
            features.push_back(change.feature);
        for (const std::vector<int>& other : sets)
            EXPECT_FALSE(std::includes(features.begin(), features.end(), other.begin(), other.end()));
        EXPECT_TRUE(sets.insert(features).second);
        if (i > 0) {
            EXPECT_LE(found[i - 1].changes.size(), found[i].changes.size());
        }
    }
}

TEST(Counterfactual, IsBoundedRepeatableAndCancellable) {
    const Problem problem = MakeProblem(Task::kBinary);
    const auto impossible = problem.MakeScorer([](const std::vector<double>&, float* p) { *p = 0.9f; });
    const std::vector<double> row = {75, 50, 25, 0.2, kLyon, 0};
    CounterfactualOptions options;
    options.count = 3;
    for (const int budget : {1, 10, 100, 1000, 20000}) {
        options.max_evaluations = budget;
        impossible->scored = 0;
        EXPECT_TRUE(Find(problem, impossible.get(), row, options).empty());
        EXPECT_LE(impossible->scored, budget + 1);
    }

    const auto scorer = problem.MakeScorer([](const std::vector<double>& x, float* p) {
        *p = x[kFirst] < 20 && x[kSwitch] == 1 && x[kThird] < -0.5 ? 0.2f : 0.8f;
    });
    const std::vector<Counterfactual> once = Find(problem, scorer.get(), row, options);
    const std::vector<Counterfactual> again = Find(problem, scorer.get(), row, options);
    ASSERT_EQ(once.size(), again.size());
    ASSERT_FALSE(once.empty());
    for (size_t i = 0; i < once.size(); ++i) {
        ASSERT_EQ(once[i].changes.size(), again[i].changes.size());
        for (size_t c = 0; c < once[i].changes.size(); ++c)
            EXPECT_EQ(once[i].changes[c].to, again[i].changes[c].to);
    }

    const std::vector<Cell> cells = problem.Row(row);
    const auto stopped =
        FindCounterfactuals(problem.statistics, *scorer, cells.data(), options, AlwaysCancelled());
    ASSERT_FALSE(stopped.ok());
    EXPECT_EQ(stopped.status().code(), StatusCode::kCancelled);
}

TEST(Counterfactual, RefusesWhatDoesNotGoTogether) {
    const Problem problem = MakeProblem(Task::kBinary);
    const auto scorer = problem.MakeScorer([](const std::vector<double>&, float* p) { *p = 0.9f; });
    const std::vector<Cell> cells = problem.Row({75, 50, 25, 0.2, kLyon, 0});
    auto code = [&](auto change) {
        CounterfactualOptions options;
        change(&options);
        return FindCounterfactuals(problem.statistics, *scorer, cells.data(), options, NeverCancelled())
            .status()
            .code();
    };
    EXPECT_EQ(code([](CounterfactualOptions*) {}), StatusCode::kOk);
    EXPECT_EQ(code([](CounterfactualOptions* o) { o->label = 2; }), StatusCode::kInvalidArgument);
    EXPECT_EQ(code([](CounterfactualOptions* o) { o->threshold = 1.5; }), StatusCode::kInvalidArgument);
    EXPECT_EQ(code([](CounterfactualOptions* o) { o->count = 0; }), StatusCode::kInvalidArgument);
    EXPECT_EQ(code([](CounterfactualOptions* o) { o->max_changes = 0; }), StatusCode::kInvalidArgument);
    EXPECT_EQ(code([](CounterfactualOptions* o) { o->direction = {0, 0, 0, 0, 1, 0}; }),
              StatusCode::kInvalidArgument);
    const auto undefined =
        problem.MakeScorer([](const std::vector<double>&, float* p) { *p = std::nanf(""); });
    EXPECT_EQ(FindCounterfactuals(problem.statistics, *undefined, cells.data(), {}, NeverCancelled())
                  .status()
                  .code(),
              StatusCode::kNonFinite);
}

/// On networks, whatever they learnt: what is returned is sound and verified.
TEST(Counterfactual, NetworksAreFlipped) {
    for (const Task task : {Task::kBinary, Task::kMulticlass, Task::kRegression}) {
        const ColumnarTable table = MixedRows(task, 600, 3, true).Build();
        const auto trained = Train(table, R"({"preset": "fast", "epochs": 5, "hidden": [16]})");
        ASSERT_TRUE(trained.ok()) << trained.status().message();
        const Model& model = trained->model;
        const auto scorer = MakeCpuScorer(model);
        ASSERT_TRUE(scorer.ok());
        const auto statistics =
            ExplainerStatistics::Fit(table, AllRows(table), model.pipeline, {}, 1, NeverCancelled());
        ASSERT_TRUE(statistics.ok());
        const std::vector<Cell> rows = RandomCells(model.pipeline, 40, 9);
        int found_rows = 0;
        for (int row = 0; row < 40; ++row) {
            const Cell* cells = &rows[static_cast<size_t>(row) * model.pipeline.cell_count()];
            CounterfactualOptions options;
            options.count = 2;
            float before[3];
            (*scorer)->Score(1, cells, before);
            options.target_low = before[0] + 50.0;
            options.target_high = before[0] + 500.0;
            const auto found = FindCounterfactuals(*statistics, **scorer, cells, options, NeverCancelled());
            ASSERT_TRUE(found.ok()) << found.status().message();
            found_rows += found->empty() ? 0 : 1;
            for (const Counterfactual& counterfactual : *found) {
                std::vector<Cell> changed(cells, cells + model.pipeline.cell_count());
                for (const Counterfactual::Change& change : counterfactual.changes)
                    statistics->SetValue(change.feature, change.to, changed.data());
                float after[3];
                (*scorer)->Score(1, changed.data(), after);
                EXPECT_EQ(after[0], counterfactual.outputs[0]);
                if (task == Task::kBinary)
                    EXPECT_NE(before[0] >= 0.5f, after[0] >= 0.5f);
                else if (task == Task::kMulticlass)
                    EXPECT_NE(std::max_element(before, before + 3) - before,
                              std::max_element(after, after + 3) - after);
                else
                    EXPECT_TRUE(after[0] >= options.target_low && after[0] <= options.target_high);
            }
        }
        EXPECT_GE(found_rows, 30) << TaskName(task);
    }
}

}  // namespace
}  // namespace dlent
