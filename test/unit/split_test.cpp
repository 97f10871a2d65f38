#include "core/features/split.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/random.h"
#include "table_testing.h"

namespace dlent {
namespace {

/// A table with its target and canonical order.
struct Data {
    ColumnarTable table;
    OrderedRows ordered;
    TargetEncoder target;

    explicit Data(const TableBuilder& builder, Task task = Task::kAuto) : Data(builder.Build(), task) {}
    Data(ColumnarTable built, Task task) : table(std::move(built)), ordered(table) {
        Expected<TargetEncoder> fitted = TargetEncoder::Fit(table, ordered.rows, task, {});
        EXPECT_TRUE(fitted.ok());
        target = std::move(*fitted);
    }
    SplitInputs Inputs(uint64_t seed = 1) const {
        static const NeverCancelled never;
        return {&table, ordered.rows, ordered.hashes, &target, seed, &never};
    }
};

/// `rows` rows, of which every `every`-th is positive.
TableBuilder Classes(size_t rows, size_t every) {
    RandomStream random(5);
    std::vector<float> x(rows);
    std::vector<std::string> y(rows);
    for (size_t row = 0; row < rows; ++row) {
        x[row] = random.Normal();
        y[row] = row % every == 0 ? "yes" : "no";
    }
    return TableBuilder().Floats("x", x).Texts("y", y, ColumnRole::kTarget);
}

/// Every row is either trained on or validated, once.
void ExpectPartition(const Split& split, size_t rows) {
    std::set<uint32_t> seen(split.train.begin(), split.train.end());
    seen.insert(split.validation.begin(), split.validation.end());
    EXPECT_EQ(seen.size(), rows);
    EXPECT_EQ(split.train.size() + split.validation.size(), rows);
}

size_t CountPositives(const Data& data, const std::vector<uint32_t>& rows) {
    std::vector<int32_t> classes(rows.size());
    data.target.Bind(data.table)->Classes(rows, classes.data());
    return static_cast<size_t>(std::count(classes.begin(), classes.end(), 1));
}

TEST(Split, FoldsAreEvenWithinEachClass) {
    const Data data(Classes(1003, 20));
    const Expected<SplitPlan> plan = MakeFolds(data.Inputs(), 5);
    ASSERT_TRUE(plan.ok());
    ASSERT_EQ(plan->splits.size(), 5u);
    std::set<uint32_t> validated;
    for (const Split& split : plan->splits) {
        ExpectPartition(split, 1003);
        EXPECT_NEAR(static_cast<double>(split.validation.size()), 200.6, 1.0);
        const size_t positives = CountPositives(data, split.validation);
        EXPECT_GE(positives, 10u);  // of 51
        EXPECT_LE(positives, 11u);
        validated.insert(split.validation.begin(), split.validation.end());
    }
    EXPECT_EQ(validated.size(), 1003u);
    EXPECT_EQ(plan->rule["method"], "folds");
    EXPECT_EQ(plan->rule["seed"], 1);
}

TEST(Split, HoldsOutTheFractionOfEachClass) {
    const Data data(Classes(1000, 50));
    for (const double fraction : {0.1, 0.2, 0.5}) {
        const Expected<SplitPlan> plan = MakeHoldOut(data.Inputs(), fraction);
        ASSERT_TRUE(plan.ok());
        ExpectPartition(plan->splits[0], 1000);
        EXPECT_EQ(plan->splits[0].validation.size(), static_cast<size_t>(1000 * fraction));
        EXPECT_EQ(CountPositives(data, plan->splits[0].validation), static_cast<size_t>(20 * fraction));
    }
}

TEST(Split, SeedsDealDifferently) {
    const Data data(Classes(1000, 2));
    const auto validation = [&](uint64_t seed) {
        return MakeHoldOut(data.Inputs(seed), 0.2)->splits[0].validation;
    };
    EXPECT_EQ(validation(1), validation(1));
    const std::vector<uint32_t> first = validation(1);
    const std::vector<uint32_t> second = validation(2);
    const std::set<uint32_t> set(first.begin(), first.end());
    const auto shared =
        std::count_if(second.begin(), second.end(), [&](uint32_t row) { return set.contains(row); });
    EXPECT_NEAR(static_cast<double>(shared), 40.0, 20.0);  // a fifth of a fifth
}

TEST(Split, NamesTheSameRowsInAnyPhysicalOrder) {
    const TableBuilder builder = Classes(500, 7);
    std::vector<uint32_t> order(500);
    std::iota(order.begin(), order.end(), 0u);
    RandomStream(8).Shuffle(order.data(), order.size());
    const Data straight(builder);
    const Data shuffled(builder.Build(order), Task::kAuto);
    const auto originals = [&](const std::vector<uint32_t>& rows, bool map) {
        std::set<uint32_t> set;
        for (const uint32_t row : rows)
            set.insert(map ? order[row] : row);
        return set;
    };
    const Expected<SplitPlan> first = MakeFolds(straight.Inputs(), 4);
    const Expected<SplitPlan> second = MakeFolds(shuffled.Inputs(), 4);
    for (int fold = 0; fold < 4; ++fold)
        EXPECT_EQ(originals(first->splits[fold].validation, false),
                  originals(second->splits[fold].validation, true));
}

TEST(Split, SpreadsANumericTarget) {
    std::vector<float> y(1000);
    for (size_t i = 0; i < y.size(); ++i)
        y[i] = static_cast<float>(i);
    const Data data(TableBuilder().Floats("y", y, ColumnRole::kTarget));
    const Expected<SplitPlan> plan = MakeFolds(data.Inputs(), 5);
    ASSERT_TRUE(plan.ok());
    for (const Split& split : plan->splits) {
        std::vector<int> tenths(10);
        for (const uint32_t row : split.validation)
            ++tenths[row / 100];
        for (const int count : tenths) {
            EXPECT_GE(count, 19);
            EXPECT_LE(count, 21);
        }
    }
}

TEST(Split, TooFewRowsAreAnError) {
    const Data data(Classes(2, 2));
    EXPECT_EQ(MakeFolds(data.Inputs(), 5).status().code(), StatusCode::kInsufficientData);
    EXPECT_EQ(MakeHoldOut(data.Inputs(), 0.1).status().code(), StatusCode::kInsufficientData);
}

// ---- by time and group ----

TableBuilder Timed(const std::vector<float>& times) {
    std::vector<float> y(times.size());
    for (size_t row = 0; row < y.size(); ++row)
        y[row] = static_cast<float>(row % 13);
    return TableBuilder().Floats("y", y, ColumnRole::kTarget).Floats("at", times, ColumnRole::kOrder);
}

TEST(TimeSplit, TheLastRowsValidate) {
    std::vector<float> times(100);
    for (size_t i = 0; i < times.size(); ++i)
        times[i] = static_cast<float>((i * 37) % 100);
    const Data data(Timed(times));
    const Expected<SplitPlan> plan = MakeTimeHoldOut(data.Inputs(), 0.2);
    ASSERT_TRUE(plan.ok());
    ExpectPartition(plan->splits[0], 100);
    EXPECT_EQ(plan->splits[0].validation.size(), 20u);
    for (const uint32_t row : plan->splits[0].validation)
        EXPECT_GE(times[row], 80.0f);
    EXPECT_EQ(plan->rule["column"], "at");
    EXPECT_EQ(plan->rule["from"], 80.0f);
}

TEST(TimeSplit, RowsOfOneTimeStayTogether) {
    std::vector<float> times(100, 5.0f);
    std::fill(times.begin(), times.begin() + 60, 1.0f);  // the cut at 90 falls inside the later time
    const Data data(Timed(times));
    const Expected<SplitPlan> plan = MakeTimeHoldOut(data.Inputs(), 0.1);
    ASSERT_TRUE(plan.ok());
    EXPECT_EQ(plan->splits[0].validation.size(), 40u);
    const Data one_time(Timed(std::vector<float>(100, 5.0f)));
    EXPECT_EQ(MakeTimeHoldOut(one_time.Inputs(), 0.2).status().code(), StatusCode::kInsufficientData);
}

TEST(TimeSplit, ANullTimeIsAnError) {
    std::vector<float> times(100, 5.0f);
    times[3] = ColumnarTable::kNull;
    const Data data(Timed(times));
    const Status status = MakeTimeHoldOut(data.Inputs(), 0.2).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("\"at\""), std::string::npos);
}

TEST(GroupSplit, AGroupIsNeverOnBothSides) {
    std::vector<std::string> customers(1000);
    std::vector<float> y(1000);
    for (size_t row = 0; row < customers.size(); ++row) {
        customers[row] = row % 41 == 0 ? "NULL" : "customer " + std::to_string(row % 40);
        y[row] = static_cast<float>(row % 13);
    }
    const Data data(
        TableBuilder().Floats("y", y, ColumnRole::kTarget).Texts("customer", customers, ColumnRole::kGroup));
    const Expected<SplitPlan> folds = MakeGroupFolds(data.Inputs(), 4);
    ASSERT_TRUE(folds.ok());
    std::map<std::string, int> fold_of;
    for (int fold = 0; fold < 4; ++fold) {
        ExpectPartition(folds->splits[fold], 1000);
        EXPECT_GT(folds->splits[fold].validation.size(), 150u);
        for (const uint32_t row : folds->splits[fold].validation) {
            const auto [entry, first] = fold_of.emplace(customers[row], fold);
            EXPECT_EQ(entry->second, fold) << customers[row];
        }
    }
    EXPECT_EQ(fold_of.size(), 41u);

    const Expected<SplitPlan> held_out = MakeGroupHoldOut(data.Inputs(), 0.25);
    ASSERT_TRUE(held_out.ok());
    ASSERT_EQ(held_out->splits.size(), 1u);
    std::set<std::string> trained;
    for (const uint32_t row : held_out->splits[0].train)
        trained.insert(customers[row]);
    for (const uint32_t row : held_out->splits[0].validation)
        EXPECT_FALSE(trained.contains(customers[row]));
}

TEST(GroupSplit, NumbersAreGroupsToo) {
    std::vector<float> groups(200);
    std::vector<float> y(200);
    for (size_t row = 0; row < groups.size(); ++row) {
        groups[row] = static_cast<float>(row / 20);
        y[row] = static_cast<float>(row % 13);
    }
    const Data data(
        TableBuilder().Floats("y", y, ColumnRole::kTarget).Floats("engine", groups, ColumnRole::kGroup));
    const Expected<SplitPlan> plan = MakeGroupFolds(data.Inputs(), 5);
    ASSERT_TRUE(plan.ok());
    for (const Split& split : plan->splits) {
        std::map<float, int> rows_of;
        for (const uint32_t row : split.validation)
            ++rows_of[groups[row]];
        EXPECT_EQ(rows_of.size(), 2u);
        for (const auto& [group, count] : rows_of)
            EXPECT_EQ(count, 20);
    }
}

TEST(GroupSplit, OneGroupCannotBeSplit) {
    const Data data(TableBuilder()
                        .Floats("y", {1, 2, 3}, ColumnRole::kTarget)
                        .Texts("g", {"a", "a", "a"}, ColumnRole::kGroup));
    EXPECT_EQ(MakeGroupFolds(data.Inputs(), 3).status().code(), StatusCode::kInsufficientData);
}

// ---- sources whose neighbours are alike ----

TEST(NeighbourDependence, SeesATrendAndNotNoise) {
    RandomStream random(21);
    std::vector<float> noise(2000);
    std::vector<float> walk(2000);
    float position = 0.0f;
    for (size_t i = 0; i < noise.size(); ++i) {
        noise[i] = random.Normal();
        position = 0.95f * position + random.Normal();
        walk[i] = position;
    }
    const Data independent(TableBuilder().Floats("y", noise, ColumnRole::kTarget));
    EXPECT_EQ(*NeighbourDependence(independent.Inputs()), 0.0);
    const Data dependent(TableBuilder().Floats("y", walk, ColumnRole::kTarget));
    EXPECT_NEAR(*NeighbourDependence(dependent.Inputs()), 0.95, 0.04);
}

TEST(NeighbourDependence, OfLabelsIsTheirAgreementBeyondChance) {
    std::vector<std::string> runs;
    for (size_t i = 0; i < 2000; ++i)
        runs.push_back(i / 10 % 2 == 0 ? "a" : "b");  // 9 of 10 neighbours agree
    const Data data(TableBuilder().Texts("y", runs, ColumnRole::kTarget));
    EXPECT_NEAR(*NeighbourDependence(data.Inputs()), 0.8, 0.01);
    const Data even(Classes(2000, 2));  // always another label than the neighbour's
    EXPECT_EQ(*NeighbourDependence(even.Inputs()), 0.0);
}

TEST(BlockFolds, HoldOutConsecutiveRows) {
    const Data data(Classes(1000, 3));
    const Expected<std::optional<SplitPlan>> plan = MakeBlockFolds(data.Inputs(), 5);
    ASSERT_TRUE(plan.ok() && plan->has_value());
    for (const Split& split : (*plan)->splits) {
        ExpectPartition(split, 1000);
        EXPECT_EQ(split.validation.size(), 200u);
        std::vector<uint32_t> rows = split.validation;
        std::sort(rows.begin(), rows.end());
        int runs = 1;
        for (size_t i = 1; i < rows.size(); ++i)
            runs += rows[i] != rows[i - 1] + 1;
        EXPECT_LE(runs, 4);
    }
}

TEST(BlockFolds, AreAbsentWhereTheSourceIsSortedByItsLabel) {
    std::vector<std::string> sorted(1000, "a");
    std::fill(sorted.begin() + 900, sorted.end(), "b");
    const Data data(TableBuilder().Texts("y", sorted, ColumnRole::kTarget));
    const Expected<std::optional<SplitPlan>> plan = MakeBlockFolds(data.Inputs(), 5);
    ASSERT_TRUE(plan.ok());
    EXPECT_FALSE(plan->has_value());
}

}  // namespace
}  // namespace dlent
