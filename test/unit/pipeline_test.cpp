#include "core/features/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/random.h"
#include "core/features/same_cells.h"
#include "table_testing.h"
#include "testing.h"

namespace dlent {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Pipeline FitAll(const ColumnarTable& table, const PipelineOptions& options = {}) {
    std::vector<Pipeline::Exclusion> excluded;
    Expected<Pipeline> pipeline = Pipeline::Fit(table, AllRows(table), options, &excluded, NeverCancelled());
    EXPECT_TRUE(pipeline.ok()) << pipeline.status().message();
    EXPECT_TRUE(excluded.empty());
    return std::move(*pipeline);
}

struct Blocks {
    std::vector<float> numeric;
    std::vector<float> plain;
    std::vector<int32_t> codes;

    Blocks(const Pipeline& pipeline, size_t rows)
        : numeric(rows * pipeline.numeric_count()),
          plain(rows * pipeline.plain_count()),
          codes(rows * pipeline.field_count()) {}
};

Blocks GatherAll(const Pipeline& pipeline, const ColumnarTable& table) {
    Blocks blocks(pipeline, table.rows());
    const Expected<Pipeline::Binding> binding = pipeline.Bind(table);
    EXPECT_TRUE(binding.ok());
    const std::vector<uint32_t> rows = AllRows(table);
    binding->Gather(rows, blocks.numeric.data(), blocks.plain.data(), blocks.codes.data());
    return blocks;
}

/// One row of a one-column pipeline.
float EncodeNumber(const Pipeline& pipeline, float value) {
    Blocks blocks(pipeline, 1);
    const Cell cell{.f = value};
    pipeline.Encode(1, &cell, blocks.numeric.data(), blocks.plain.data(), blocks.codes.data());
    return blocks.numeric[0];
}

// ---- numbers ----

TEST(Pipeline, ScalesNumbersByMedianAndQuartiles) {
    TableBuilder builder;
    builder.Floats("x", {1, 2, 3, 4, 5, 6, 7, 8, 1000});
    const Pipeline pipeline = FitAll(builder.Build());
    const auto& cell = pipeline.inputs()[0].cells[0];
    EXPECT_EQ(cell.center, 5.0f);
    EXPECT_EQ(cell.scale, 0.25f);
    EXPECT_EQ(cell.minimum, 1.0f);
    EXPECT_EQ(cell.maximum, 1000.0f);
    EXPECT_EQ(cell.quantiles.size(), 7u);
    EXPECT_EQ(cell.quantiles[3], 5.0f);
    EXPECT_FALSE(cell.plain);
    EXPECT_EQ(pipeline.numeric_count(), 1);
    EXPECT_EQ(EncodeNumber(pipeline, 9.0f), 1.0f);
}

TEST(Pipeline, WithoutASpreadOfQuartilesTakesHalfTheRange) {
    TableBuilder builder;
    builder.Floats("x", {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 10});
    const auto cell = FitAll(builder.Build()).inputs()[0].cells[0];
    EXPECT_EQ(cell.center, 0.0f);
    EXPECT_FLOAT_EQ(cell.scale, 0.2f);
}

TEST(Pipeline, ReadsNullAsTheMedianAndInfinitiesAsTheEnds) {
    TableBuilder builder;
    builder.Floats("x", {1, 2, 3, 4, 5, kInfinity, -kInfinity});
    const Pipeline pipeline = FitAll(builder.Build());
    EXPECT_EQ(pipeline.plain_count(), 0);  // no NULL was seen, so there is no indicator
    EXPECT_EQ(EncodeNumber(pipeline, kNanFloat), 0.0f);
    EXPECT_EQ(EncodeNumber(pipeline, kInfinity), EncodeNumber(pipeline, 5.0f));
    EXPECT_EQ(EncodeNumber(pipeline, -kInfinity), EncodeNumber(pipeline, 1.0f));
}

TEST(Pipeline, HugeValuesStayFinite) {
    TableBuilder builder;
    builder.Floats("x", {0.001f, 0.002f, 0.003f, 0.004f, 0.005f});
    const Pipeline pipeline = FitAll(builder.Build());
    for (const float value : {3e38f, -3e38f}) {
        const float u = EncodeNumber(pipeline, value);
        EXPECT_TRUE(std::isfinite(u * u));
        EXPECT_EQ(std::signbit(u), std::signbit(value));
        EXPECT_GT(std::abs(u), 1e6f);
    }
    TableBuilder whole_range;
    whole_range.Floats("x", {-3e38f, -1.0f, 0.0f, 1.0f, 3e38f});
    const Pipeline wide = FitAll(whole_range.Build());
    EXPECT_TRUE(std::isfinite(EncodeNumber(wide, 3e38f)));
    EXPECT_TRUE(std::isfinite(wide.inputs()[0].cells[0].standard_deviation));
}

TEST(Pipeline, MarksNullWhereItWasSeen) {
    TableBuilder builder;
    builder.Floats("x", {1, kNanFloat, 3, 4, kNanFloat, 6, 7, 8});
    const ColumnarTable table = builder.Build();
    const Pipeline pipeline = FitAll(table);
    ASSERT_EQ(pipeline.numeric_count(), 1);
    ASSERT_EQ(pipeline.plain_count(), 1);
    const Blocks blocks = GatherAll(pipeline, table);
    // standardised: mean 0, variance 1
    double sum = 0.0;
    double squares = 0.0;
    for (const float value : blocks.plain) {
        sum += value;
        squares += value * value;
    }
    EXPECT_NEAR(sum, 0.0, 1e-5);
    EXPECT_NEAR(squares / 8.0, 1.0, 1e-5);
    EXPECT_GT(blocks.plain[1], blocks.plain[0]);
    EXPECT_EQ(blocks.numeric[1], 0.0f);
    EXPECT_EQ(pipeline.inputs()[0].cells[0].null_count, 2u);
}

TEST(Pipeline, StandardisesBooleansTwoValuesAndVectors) {
    TableBuilder builder;
    builder.Floats("flag", {0, 1, 1, 1}, ColumnRole::kFeature, ColumnKind::kBoolean, "boolean")
        .Floats("two", {-5, 7, 7, -5})
        .Floats("v", {1, 9, 2, 9, 3, 9, 4, 9}, ColumnRole::kFeature, ColumnKind::kVector, "real[]", 2);
    const ColumnarTable table = builder.Build();
    const Pipeline pipeline = FitAll(table);
    EXPECT_EQ(pipeline.numeric_count(), 0);
    ASSERT_EQ(pipeline.plain_count(), 4);
    const Blocks blocks = GatherAll(pipeline, table);
    for (int column = 0; column < 3; ++column) {
        double sum = 0.0;
        double squares = 0.0;
        for (int row = 0; row < 4; ++row) {
            sum += blocks.plain[row * 4 + column];
            squares += blocks.plain[row * 4 + column] * blocks.plain[row * 4 + column];
        }
        EXPECT_NEAR(sum, 0.0, 1e-5) << column;
        EXPECT_NEAR(squares / 4.0, 1.0, 1e-5) << column;
    }
    for (int row = 0; row < 4; ++row)
        EXPECT_EQ(blocks.plain[row * 4 + 3], 0.0f);  // the vector's second element never changes
}

TEST(Pipeline, KeepsAnglesAndEmbedsElapsedTime) {
    std::vector<float> cells(5 * 50);
    for (int day = 0; day < 50; ++day)
        DateCells(day * 37, &cells[static_cast<size_t>(day) * 5]);
    TableBuilder builder;
    builder.Floats("day", cells, ColumnRole::kFeature, ColumnKind::kDate, "date", 5);
    const ColumnarTable table = builder.Build();
    const Pipeline pipeline = FitAll(table);
    EXPECT_EQ(pipeline.numeric_count(), 1);
    ASSERT_EQ(pipeline.plain_count(), 4);
    EXPECT_GE(pipeline.edges(0).size(), 40u);
    const Blocks blocks = GatherAll(pipeline, table);
    EXPECT_FLOAT_EQ(blocks.plain[4 + 2], std::sqrt(2.0f) * table.Float(3, 1));
}

// ---- edges ----

TEST(Pipeline, EdgesAreIncreasingUnitsOfTheScaledValue) {
    TableBuilder builder;
    builder.Floats("x", Normals(5000, 1));
    const Pipeline pipeline = FitAll(builder.Build());
    const std::vector<float>& edges = pipeline.edges(0);
    EXPECT_GE(edges.size(), 33u);
    EXPECT_TRUE(std::adjacent_find(edges.begin(), edges.end(), std::greater_equal<>()) == edges.end());
    const auto& cell = pipeline.inputs()[0].cells[0];
    EXPECT_FLOAT_EQ(edges.front(), EncodeNumber(pipeline, cell.minimum));
    EXPECT_FLOAT_EQ(edges.back(), EncodeNumber(pipeline, cell.maximum));
    PipelineOptions none;
    none.embed_numeric = false;
    EXPECT_TRUE(FitAll(builder.Build(), none).edges(0).empty());
}

TEST(Pipeline, LargeTablesAreSampledFairly) {
    TableBuilder builder;
    builder.Floats("x", Normals(450000, 5));
    const ColumnarTable table = builder.Build();
    const auto cell = FitAll(table).inputs()[0].cells[0];
    EXPECT_NEAR(cell.center, 0.0, 0.02);
    EXPECT_NEAR(cell.scale, 1.0 / 1.349, 0.02);
    float smallest = 0.0f;
    for (size_t row = 0; row < table.rows(); ++row)
        smallest = std::min(smallest, table.Float(0, row));
    EXPECT_EQ(cell.minimum, smallest);  // the ends are exact
}

// ---- categories ----

TEST(Pipeline, OrdersLevelsByFrequencyThenText) {
    TableBuilder builder;
    builder.Texts("c", {"b", "c", "a", "c", "NULL", "c", "b", "a", "rare"});
    const ColumnarTable table = builder.Build();
    PipelineOptions options;
    options.min_level_count = 2;
    const Pipeline pipeline = FitAll(table, options);
    const PipelineInput& input = pipeline.inputs()[0];
    EXPECT_EQ(input.levels, (std::vector<std::string>{"c", "a", "b"}));
    EXPECT_EQ(input.level_counts, (std::vector<uint64_t>{3, 2, 2}));
    EXPECT_EQ(input.other_count, 1u);
    EXPECT_EQ(input.null_level_count, 1u);
    EXPECT_EQ(pipeline.cardinality(0), 5);
    EXPECT_EQ(pipeline.CategoryCode(0, "a"), 1);
    EXPECT_EQ(pipeline.CategoryCode(0, "rare"), 3);
    EXPECT_EQ(pipeline.CategoryCode(0, "unseen"), 3);
    EXPECT_EQ(pipeline.NullCode(0), 4);
    EXPECT_EQ(GatherAll(pipeline, table).codes, (std::vector<int32_t>{2, 0, 1, 0, 4, 0, 2, 1, 3}));
}

TEST(Pipeline, WhatTrainingNeverSawContributesNothing) {
    TableBuilder builder;
    builder.Texts("c", {"yes", "no", "yes"});
    const Pipeline pipeline = FitAll(builder.Build());
    EXPECT_EQ(pipeline.cardinality(0), 2);
    EXPECT_EQ(pipeline.CategoryCode(0, "perhaps"), -1);
    EXPECT_EQ(pipeline.NullCode(0), -1);
}

TEST(Pipeline, CapsLevelsAndChoosesTheEncoding) {
    std::vector<std::string> texts;
    for (int level = 0; level < 6; ++level)
        texts.insert(texts.end(), 10 - level, "level " + std::to_string(level));
    TableBuilder builder;
    builder.Texts("c", texts);
    PipelineOptions options;
    options.max_levels = 4;
    options.max_one_hot_levels = 4;
    const Pipeline one_hot = FitAll(builder.Build(), options);
    EXPECT_EQ(one_hot.inputs()[0].levels.size(), 4u);
    EXPECT_EQ(one_hot.inputs()[0].other_count, 11u);
    EXPECT_TRUE(one_hot.inputs()[0].one_hot);
    options.max_one_hot_levels = 3;
    EXPECT_FALSE(FitAll(builder.Build(), options).inputs()[0].one_hot);
}

TEST(Pipeline, TellsWhetherRowsAreTheSameCellsToAnother) {
    const auto fit = [](std::vector<float> numbers, std::vector<std::string> texts, const char* name = "x") {
        TableBuilder builder;
        builder.Floats(name, std::move(numbers)).Texts("c", std::move(texts));
        return FitAll(builder.Build());
    };
    const Pipeline pipeline = fit({1, 2, 3, 4}, {"a", "b", "a", "b"});
    // other statistics, the same levels in the same order
    EXPECT_TRUE(HaveSameCells(pipeline, fit({10, 20, 40, 50, 60}, {"b", "a", "b", "a", "a"})));
    EXPECT_FALSE(HaveSameCells(pipeline, fit({1, 2, 3, 4}, {"a", "b", "b", "b"}))) << "b is code 0";
    EXPECT_FALSE(HaveSameCells(pipeline, fit({1, 2, 3, 4}, {"a", "b", "a", "NULL"}))) << "a code for NULL";
    EXPECT_FALSE(HaveSameCells(pipeline, fit({1, 2, 3, 4}, {"a", "b", "a", "c"}))) << "another level";
    EXPECT_FALSE(HaveSameCells(pipeline, fit({1, 2, 3, 4}, {"a", "b", "a", "b"}, "y"))) << "another column";
    TableBuilder fewer;
    fewer.Floats("x", {1, 2, 3, 4});
    EXPECT_FALSE(HaveSameCells(pipeline, FitAll(fewer.Build())));
    EXPECT_FALSE(HaveSameCells(FitAll(fewer.Build()), pipeline));
}

TEST(Pipeline, ANewTableIsReadByText) {
    TableBuilder builder;
    builder.Texts("c", {"a", "a", "b", "c"});
    const Pipeline pipeline = FitAll(builder.Build());
    TableBuilder other;
    other.Floats("more", {1, 2, 3}).Texts("c", {"z", "b", "a"});  // other order, one more column
    EXPECT_EQ(GatherAll(pipeline, other.Build()).codes, (std::vector<int32_t>{-1, 1, 0}));
    TableBuilder renamed;
    renamed.Texts("d", {"a"});
    EXPECT_FALSE(pipeline.Bind(renamed.Build()).ok());
}

// ---- exclusions ----

std::string ExclusionOf(const TableBuilder& builder) {
    std::vector<Pipeline::Exclusion> excluded;
    const ColumnarTable table = builder.Build();
    const Expected<Pipeline> pipeline = Pipeline::Fit(table, AllRows(table), {}, &excluded, NeverCancelled());
    if (pipeline.ok())
        return excluded.empty() ? "" : "with others";
    EXPECT_EQ(pipeline.status().code(), StatusCode::kInsufficientData);
    EXPECT_EQ(excluded.size(), 1u);
    return excluded.empty() ? "none" : excluded[0].code;
}

TEST(Exclusions, NameWhatCannotHelp) {
    EXPECT_EQ(ExclusionOf(TableBuilder().Floats("x", {3, 3, 3})), "EXCLUDED_CONSTANT");
    EXPECT_EQ(ExclusionOf(TableBuilder().Floats("x", {kNanFloat, kNanFloat})), "EXCLUDED_ALL_NULL");
    EXPECT_EQ(ExclusionOf(TableBuilder().Texts("c", {"a", "a"})), "EXCLUDED_CONSTANT");
    EXPECT_EQ(ExclusionOf(TableBuilder().Texts("c", {"NULL", "NULL"})), "EXCLUDED_ALL_NULL");
    EXPECT_EQ(ExclusionOf(TableBuilder().Floats("x", {3, 3, kNanFloat})), "");
    EXPECT_EQ(ExclusionOf(TableBuilder().Texts("c", {"a", "NULL"})), "");
}

TEST(Exclusions, RowKeys) {
    std::vector<float> serial;
    std::vector<float> sparse;
    std::vector<float> repeated;
    std::vector<std::string> names;
    std::vector<std::string> few_names;
    for (int i = 0; i < 400; ++i) {
        serial.push_back(static_cast<float>((i * 7) % 400 + 1000));
        sparse.push_back(static_cast<float>((i * 7) % 400 * 3));
        repeated.push_back(static_cast<float>(i / 2));
        names.push_back("name " + std::to_string(i));
        if (i < 90)
            few_names.push_back(names.back());
    }
    const auto integers = [](const std::vector<float>& values) {
        return TableBuilder().Floats("n", values, ColumnRole::kFeature, ColumnKind::kNumeric, "integer");
    };
    EXPECT_EQ(ExclusionOf(integers(serial)), "EXCLUDED_UNIQUE");
    EXPECT_EQ(ExclusionOf(integers(sparse)), "");
    EXPECT_EQ(ExclusionOf(integers(repeated)), "");
    EXPECT_EQ(ExclusionOf(TableBuilder().Floats("x", serial)), "");  // not of an integer type
    EXPECT_EQ(ExclusionOf(TableBuilder().Texts("c", names)), "EXCLUDED_UNIQUE");
    EXPECT_EQ(ExclusionOf(TableBuilder().Texts("c", few_names)), "");
}

TEST(Exclusions, CategoriesThatOverflowed) {
    ColumnarTable table({{"c", ColumnKind::kCategory, ColumnRole::kFeature, 1, "text"}});
    for (const int32_t code : {0, 1, 0, Dictionary::kOverflow}) {
        ASSERT_TRUE(table.BeginRow());
        table.SetCode(0, code >= 0 ? table.dictionary(0).Intern(std::to_string(code)) : code);
        table.CommitRow();
    }
    std::vector<Pipeline::Exclusion> excluded;
    EXPECT_FALSE(Pipeline::Fit(table, AllRows(table), {}, &excluded, NeverCancelled()).ok());
    ASSERT_EQ(excluded.size(), 1u);
    EXPECT_EQ(excluded[0].code, "EXCLUDED_OVERFLOW");
}

// ---- one pipeline for every entry point ----

TableBuilder MixedTable(size_t rows) {
    RandomStream random(11);
    std::vector<float> x = Normals(rows, 12);
    std::vector<float> times(rows * 7);
    std::vector<float> flags(rows);
    std::vector<float> vectors(rows * 3);
    std::vector<std::string> texts(rows);
    for (size_t row = 0; row < rows; ++row) {
        if (row % 10 == 0)
            x[row] = kNanFloat;
        if (row % 101 == 0)
            x[row] = kInfinity;
        TimestampCells(row % 17 == 0 ? INT64_MAX : static_cast<int64_t>(random.NextU64() >> 14),
                       &times[row * 7]);
        flags[row] = static_cast<float>(random.NextBelow(2));
        for (size_t i = 0; i < 3; ++i)
            vectors[row * 3 + i] = random.Normal();
        texts[row] = row % 13 == 0 ? "NULL" : "t" + std::to_string(random.NextBelow(20));
    }
    TableBuilder builder;
    builder.Floats("x", x)
        .Floats("at", times, ColumnRole::kFeature, ColumnKind::kTimestamp, "timestamp with time zone", 7)
        .Texts("c", texts)
        .Floats("flag", flags, ColumnRole::kFeature, ColumnKind::kBoolean, "boolean")
        .Floats("v", vectors, ColumnRole::kFeature, ColumnKind::kVector, "real[]", 3);
    return builder;
}

TEST(Pipeline, GatherAndEncodeAgreeToTheBit) {
    const size_t rows = ColumnarTable::kChunkRows + 300;
    const ColumnarTable table = MixedTable(rows).Build();
    const Pipeline pipeline = FitAll(table);
    const Blocks gathered = GatherAll(pipeline, table);
    Blocks encoded(pipeline, rows);
    std::vector<Cell> cells(rows * pipeline.cell_count());
    for (size_t row = 0; row < rows; ++row) {
        for (int cell = 0; cell < pipeline.cell_count(); ++cell)
            cells[row * pipeline.cell_count() + cell].f = table.Float(cell, row);
        const int32_t code = table.Code(8, row);
        cells[row * pipeline.cell_count() + pipeline.first_cell(2)].code =
            code < 0 ? pipeline.NullCode(2) : pipeline.CategoryCode(2, table.dictionary(2).Text(code));
    }
    pipeline.Encode(static_cast<int>(rows), cells.data(), encoded.numeric.data(), encoded.plain.data(),
                    encoded.codes.data());
    EXPECT_EQ(gathered.numeric, encoded.numeric);
    EXPECT_EQ(gathered.plain, encoded.plain);
    EXPECT_EQ(gathered.codes, encoded.codes);
    for (const float value : gathered.numeric)
        ASSERT_TRUE(std::isfinite(value));
    for (const float value : gathered.plain)
        ASSERT_TRUE(std::isfinite(value));
}

TEST(Pipeline, DoesNotDependOnTheOrderOfRows) {
    const TableBuilder builder = MixedTable(3000);
    std::vector<uint32_t> order(3000);
    std::iota(order.begin(), order.end(), 0u);
    const ColumnarTable straight = builder.Build(order);
    RandomStream(3).Shuffle(order.data(), order.size());
    const ColumnarTable shuffled = builder.Build(order);
    std::vector<Pipeline::Exclusion> excluded;
    const Expected<Pipeline> first =
        Pipeline::Fit(straight, OrderedRows(straight).rows, {}, &excluded, NeverCancelled());
    const Expected<Pipeline> second =
        Pipeline::Fit(shuffled, OrderedRows(shuffled).rows, {}, &excluded, NeverCancelled());
    ASSERT_TRUE(first.ok() && second.ok());
    EXPECT_EQ(first->ToJson().dump(), second->ToJson().dump());
}

TEST(Pipeline, JsonReadsBackToTheBit) {
    const ColumnarTable table = MixedTable(2000).Build();
    const Pipeline pipeline = FitAll(table);
    const std::string text = pipeline.ToJson().dump();
    const Expected<Pipeline> read = Pipeline::FromJson(Json::parse(text));
    ASSERT_TRUE(read.ok()) << read.status().detail();
    EXPECT_EQ(read->ToJson().dump(), text);
    EXPECT_EQ(read->edges(0), pipeline.edges(0));
    const Blocks before = GatherAll(pipeline, table);
    const Blocks after = GatherAll(*read, table);
    EXPECT_EQ(before.numeric, after.numeric);
    EXPECT_EQ(before.plain, after.plain);
    EXPECT_EQ(before.codes, after.codes);
}

TEST(Pipeline, JsonKeepsEdgeCases) {
    // a constant vector element, an absent one, and a category of which only rare levels are left
    TableBuilder builder;
    builder
        .Floats("v", {1, 5, kNanFloat, 2, 5, kNanFloat, 4, 5, kNanFloat}, ColumnRole::kFeature,
                ColumnKind::kVector, "real[]", 3)
        .Texts("c", {"a", "b", "NULL"});
    PipelineOptions options;
    options.min_level_count = 2;
    const Pipeline pipeline = FitAll(builder.Build(), options);
    const Expected<Pipeline> read = Pipeline::FromJson(pipeline.ToJson());
    ASSERT_TRUE(read.ok()) << read.status().detail();
    EXPECT_EQ(read->ToJson(), pipeline.ToJson());
    EXPECT_EQ(read->CategoryCode(1, "anything"), 0);
}

TEST(Pipeline, HostileJsonIsCorrupt) {
    TableBuilder builder;
    builder.Floats("x", {1, 2, 3, 4}).Texts("c", {"a", "b", "a", "NULL"});
    const Json good = FitAll(builder.Build()).ToJson();
    ASSERT_TRUE(Pipeline::FromJson(good).ok());
    const std::vector<std::pair<std::string, Json>> changes = {
        {"/format", 2},
        {"/format", "1"},
        {"/rows", 0},
        {"/rows", -1},
        {"/rows", 1e300},
        {"/rows", "4"},
        {"/inputs", Json::array()},
        {"/inputs", Json::object()},
        {"/inputs/0", 7},
        {"/inputs/0/name", "c"},
        {"/inputs/0/name", nullptr},
        {"/inputs/0/kind", "number"},
        {"/inputs/0/kind", "timestamp"},
        {"/inputs/0/width", 2},
        {"/inputs/0/width", 0},
        {"/inputs/0/width", 1e300},
        {"/inputs/0/width", 1.5},
        {"/inputs/0/cells", Json::array()},
        {"/inputs/0/cells/0", 1},
        {"/inputs/0/cells/0/center", "0"},
        {"/inputs/0/cells/0/center", 1e300},
        {"/inputs/0/cells/0/scale", -1.0},
        {"/inputs/0/cells/0/minimum", 100.0},
        {"/inputs/0/cells/0/maximum", nullptr},
        {"/inputs/0/cells/0/nulls", 5},
        {"/inputs/0/cells/0/nulls", -1},
        {"/inputs/0/cells/0/nulls", 0.5},
        {"/inputs/0/cells/0/null_indicator", 1},
        {"/inputs/0/cells/0/block", "other"},
        {"/inputs/0/cells/0/block", "plain"},  // it has edges
        {"/inputs/0/cells/0/edges", {1.0}},
        {"/inputs/0/cells/0/edges", {1.0, 1.0}},
        {"/inputs/0/cells/0/edges", {2.0, 1.0}},
        {"/inputs/0/cells/0/edges", {1.0, 1e300}},
        {"/inputs/0/cells/0/edges", std::vector<int>(5000)},
        {"/inputs/0/cells/0/percentiles_1_5_25_50_75_95_99", {1.0, 2.0}},
        {"/inputs/1/encoding", "hash"},
        {"/inputs/1/levels", {"a", "a"}},
        {"/inputs/1/levels", {"a"}},
        {"/inputs/1/levels", {"a", 1}},
        {"/inputs/1/counts", {2, -1}},
        {"/inputs/1/counts", {2, 1e300}},
        {"/inputs/1/counts", {2}},
        {"/inputs/1/other", -1},
        {"/inputs/1/other", 1e300},
        {"/inputs/1/nulls", true},
    };
    for (const auto& [path, value] : changes) {
        Json bad = good;
        bad[Json::json_pointer(path)] = value;
        const Expected<Pipeline> read = Pipeline::FromJson(bad);
        ASSERT_FALSE(read.ok()) << path << " = " << value;
        EXPECT_EQ(read.status().code(), StatusCode::kCorrupt) << path << " = " << value;
    }
    for (const char* path : {"/rows", "/inputs", "/inputs/0/cells", "/inputs/0/cells/0/scale",
                             "/inputs/1/levels", "/inputs/1/counts", "/inputs/1/kind"}) {
        const Json::json_pointer pointer(path);
        Json bad = good;
        bad[pointer.parent_pointer()].erase(pointer.back());
        EXPECT_EQ(Pipeline::FromJson(bad).status().code(), StatusCode::kCorrupt) << path;
    }
    for (const char* text : {"null", "[]", "{}", "1", "\"x\""})
        EXPECT_EQ(Pipeline::FromJson(Json::parse(text)).status().code(), StatusCode::kCorrupt) << text;
}

}  // namespace
}  // namespace dlent
