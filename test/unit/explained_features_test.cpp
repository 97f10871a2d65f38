// What the explainer keeps of the training rows, and its JSON form.

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/explain/explained_features.h"
#include "model_testing.h"

namespace dlent {
namespace {

struct Fitted {
    ColumnarTable table;
    Pipeline pipeline;
    ExplainerStatistics statistics;

    explicit Fitted(const TableBuilder& rows, bool labelled = true) : table(rows.Build()) {
        std::vector<Pipeline::Exclusion> excluded;
        pipeline = *Pipeline::Fit(table, AllRows(table), {}, &excluded, NeverCancelled());
        std::vector<int32_t> labels;
        for (size_t row = 0; labelled && row < table.rows(); ++row)
            labels.push_back(static_cast<int32_t>(row % 2));
        statistics = *ExplainerStatistics::Fit(table, AllRows(table), pipeline, labels, 42, NeverCancelled());
    }
    int Feature(const std::string& name) const {
        for (int f = 0; f < statistics.feature_count(); ++f) {
            if (statistics.features()[f].name == name)
                return f;
        }
        ADD_FAILURE() << "no feature " << name;
        return 0;
    }
};

TEST(ExplainedFeatures, CountEveryRowOnce) {
    const Fitted fitted(MixedRows(Task::kBinary, 1000, 7));
    EXPECT_EQ(fitted.statistics.row_count(), 1000u);
    EXPECT_EQ(fitted.statistics.cell_count(), fitted.pipeline.cell_count());
    for (const ExplainedFeature& feature : fitted.statistics.features()) {
        for (const Discretizer discretizer :
             {Discretizer::kNone, Discretizer::kQuartile, Discretizer::kDecile, Discretizer::kEntropy}) {
            uint64_t total = 0;
            for (const uint64_t count : feature.CodeCounts(discretizer))
                total += count;
            EXPECT_EQ(total, 1000u) << feature.name;
        }
    }
    EXPECT_EQ(fitted.statistics.features()[fitted.Feature("point[2]")].element, 1);
    EXPECT_GT(fitted.statistics.features()[fitted.Feature("amount")].null_count, 50u);
}

TEST(ExplainedFeatures, GiveNullALevelOfItsOwn) {
    const Fitted fitted(MixedRows(Task::kBinary, 1000, 7));
    const Pipeline& pipeline = fitted.pipeline;
    std::vector<Cell> cells(static_cast<size_t>(pipeline.cell_count()), {.f = 1.0f});
    for (const char* name : {"amount", "flag", "city"}) {
        const int f = fitted.Feature(name);
        const ExplainedFeature& feature = fitted.statistics.features()[f];
        fitted.statistics.SetValue(f, std::nan(""), cells.data());
        EXPECT_TRUE(std::isnan(fitted.statistics.Value(f, cells.data()))) << name;
        EXPECT_EQ(fitted.statistics.Code(f, Discretizer::kQuartile, cells.data()),
                  feature.NullCode(Discretizer::kQuartile));
        EXPECT_EQ(feature.CodeCounts(Discretizer::kQuartile)[feature.NullCode(Discretizer::kQuartile)],
                  feature.null_count);
    }
    const int city = fitted.Feature("city");
    cells[fitted.statistics.features()[city].first_cell].code = -1;
    EXPECT_EQ(fitted.statistics.Code(city, Discretizer::kQuartile, cells.data()), -1);
    const int amount = fitted.Feature("amount");
    cells[fitted.statistics.features()[amount].first_cell].f = INFINITY;
    EXPECT_EQ(fitted.statistics.Value(amount, cells.data()), fitted.statistics.features()[amount].maximum);
}

TEST(ExplainedFeatures, SetEveryCellOfATime) {
    std::vector<float> stamps, dates, times;
    for (int row = 0; row < 50; ++row) {
        float cells[7];
        TimestampCells(row * 90000000000LL + 12345678, cells);
        stamps.insert(stamps.end(), cells, cells + 7);
        DateCells(8000 + row * 3, cells);
        dates.insert(dates.end(), cells, cells + 5);
        TimeCells(row * 1000000LL * 977, cells);
        times.insert(times.end(), cells, cells + 3);
    }
    TableBuilder rows;
    rows.Floats("stamp", stamps, ColumnRole::kFeature, ColumnKind::kTimestamp, "timestamptz", 7)
        .Floats("day", dates, ColumnRole::kFeature, ColumnKind::kDate, "date", 5)
        .Floats("hour", times, ColumnRole::kFeature, ColumnKind::kTime, "time", 3);
    const Fitted fitted(rows, false);
    ASSERT_EQ(fitted.statistics.feature_count(), 3);
    for (size_t row = 0; row < 50; ++row) {
        std::vector<Cell> cells;
        for (int cell = 0; cell < 15; ++cell)
            cells.push_back({.f = fitted.table.Float(cell, row)});
        std::vector<Cell> written(15, {.f = -9.0f});
        for (int f = 0; f < 3; ++f)
            fitted.statistics.SetValue(f, fitted.statistics.Value(f, cells.data()), written.data());
        // a float of days is exact to a minute or so
        for (int cell = 0; cell < 15; ++cell)
            EXPECT_NEAR(written[cell].f, cells[cell].f, 1e-3f) << row << " " << cell;
        EXPECT_EQ(written[0].f, cells[0].f);
        EXPECT_EQ(written[7].f, cells[7].f);
        EXPECT_EQ(written[12].f, cells[12].f);
    }
}

TEST(ExplainedFeatures, ReadBackAsTheyWereWritten) {
    for (const bool labelled : {true, false}) {
        const Fitted fitted(MixedRows(Task::kBinary, 700, 3), labelled);
        const Json written = fitted.statistics.ToJson();
        const Expected<ExplainerStatistics> read =
            ExplainerStatistics::FromJson(Json::parse(written.dump()), fitted.pipeline);
        ASSERT_TRUE(read.ok()) << read.status().detail();
        EXPECT_EQ(read->ToJson().dump(), written.dump());
        EXPECT_EQ(read->has_labels(), labelled);
        const ExplainedFeature& city = read->features()[fitted.Feature("city")];
        EXPECT_EQ(city.level_counts, fitted.statistics.features()[fitted.Feature("city")].level_counts);
        EXPECT_EQ(city.null_level, 3);
    }
}

TEST(ExplainedFeatures, RefuseJsonThatDoesNotFit) {
    const Fitted fitted(MixedRows(Task::kBinary, 300, 3, true));
    const Json good = fitted.statistics.ToJson();
    const auto refused = [&](const char* pointer, const Json& value) {
        Json bad = good;
        bad[Json::json_pointer(pointer)] = value;
        const Expected<ExplainerStatistics> read = ExplainerStatistics::FromJson(bad, fitted.pipeline);
        EXPECT_FALSE(read.ok()) << pointer << " " << value.dump();
        if (!read.ok()) {
            EXPECT_EQ(read.status().code(), StatusCode::kCorrupt);
        }
    };
    refused("/format", "dlent.explainer/2");
    refused("/rows", -1);
    refused("/rows", 299);
    refused("/labels", 1);
    refused("/features", Json::array());
    refused("/features/0/name", "other");
    refused("/features/0/nulls", 301);
    refused("/features/0/mean", "12");
    refused("/features/0/mean", 1e300);
    refused("/features/0/standard_deviation", -1.0);
    refused("/features/0/minimum", nullptr);
    refused("/features/0/quartile/edges/0", 1e9);
    refused("/features/0/quartile/counts/0", 0);
    refused("/features/0/quartile/means", Json::array());
    refused("/features/0/quartile/standard_deviations/0", -1e-3);
    refused("/features/0/decile", Json::object());
}

/// A large source is sampled, evenly.
TEST(ExplainedFeatures, SampleLargeTables) {
    std::vector<float> values(200000);
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(i % 1000);
    const Fitted fitted(TableBuilder().Floats("x", values), false);
    EXPECT_EQ(fitted.statistics.row_count(), ExplainerStatistics::kMaxRows);
    EXPECT_NEAR(fitted.statistics.features()[0].median, 499.5, 10.0);
    EXPECT_NEAR(fitted.statistics.features()[0].mean, 499.5, 3.0);
}

TEST(ExplainedFeatures, ComeWithATrainedModel) {
    const ColumnarTable table = MixedRows(Task::kRegression, 400, 9).Build();
    const Expected<TrainedModel> trained = Train(table, R"({"preset": "fast", "epochs": 2})");
    ASSERT_TRUE(trained.ok()) << trained.status().message();
    EXPECT_EQ(trained->explainer.row_count(), 400u);
    EXPECT_TRUE(trained->explainer.has_labels());
    EXPECT_TRUE(ExplainerStatistics::FromJson(trained->explainer.ToJson(), trained->model.pipeline).ok());
    // the same rows in another order: the same bytes
    std::vector<uint32_t> order = AllRows(table);
    std::reverse(order.begin(), order.end());
    const Expected<TrainedModel> again =
        Train(MixedRows(Task::kRegression, 400, 9).Build(order), R"({"preset": "fast", "epochs": 2})");
    EXPECT_EQ(again->explainer.ToJson().dump(), trained->explainer.ToJson().dump());
}

}  // namespace
}  // namespace dlent
