#include "core/features/target.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "table_testing.h"
#include "testing.h"

namespace dlent {
namespace {

TableBuilder Numbers(const std::vector<float>& values, const std::string& type = "double precision") {
    return TableBuilder().Floats("y", values, ColumnRole::kTarget, ColumnKind::kNumeric, type);
}
TableBuilder Labels(const std::vector<std::string>& values) {
    return TableBuilder().Texts("y", values, ColumnRole::kTarget);
}

Expected<TargetEncoder> Fit(const ColumnarTable& table, Task task = Task::kAuto,
                            const std::optional<std::string>& positive = {}) {
    return TargetEncoder::Fit(table, RowsWithTarget(table), task, positive);
}

TEST(Target, RowsWithoutOneAreLeftOut) {
    EXPECT_EQ(RowsWithTarget(Numbers({1, kNanFloat, 3}).Build()), (std::vector<uint32_t>{0, 2}));
    EXPECT_EQ(RowsWithTarget(Labels({"NULL", "a", "NULL", ""}).Build()), (std::vector<uint32_t>{1, 3}));
    EXPECT_TRUE(RowsWithTarget(TableBuilder().Floats("x", {1, 2}).Build()).empty());
}

TEST(Target, RegressionIsStandardisedAndDecodesWithinItsRange) {
    const ColumnarTable table = Numbers({1, 2, 3, kNanFloat, 6}).Build();
    const Expected<TargetEncoder> target = Fit(table);
    ASSERT_TRUE(target.ok());
    EXPECT_EQ(target->task(), Task::kRegression);
    EXPECT_EQ(target->output_count(), 1);
    EXPECT_EQ(target->mean(), 3.0f);
    EXPECT_FLOAT_EQ(target->standard_deviation(), std::sqrt(14.0f / 4.0f));
    const std::vector<uint32_t> rows = {4, 0};
    float values[2];
    target->Bind(table)->Values(rows, values);
    EXPECT_FLOAT_EQ(values[0], 3.0f / std::sqrt(3.5f));
    EXPECT_FLOAT_EQ(target->Decode(values[1]), 1.0f);
    EXPECT_EQ(target->Decode(100.0f), 6.0f);
    EXPECT_EQ(target->Decode(-100.0f), 1.0f);
}

TEST(Target, StandardisesLargeOffsetsExactly) {
    std::vector<float> values;
    for (int i = 0; i < 1000; ++i)
        values.push_back(1e6f + static_cast<float>(i % 2));
    const Expected<TargetEncoder> target = Fit(Numbers(values).Build());
    ASSERT_TRUE(target.ok());
    EXPECT_NEAR(target->standard_deviation(), 0.5, 1e-4);
}

TEST(Target, ChoosesTheTaskByTypeAndValues) {
    EXPECT_EQ(Fit(Numbers({0, 1, 1}, "integer").Build())->task(), Task::kBinary);
    EXPECT_EQ(Fit(Numbers({0, 1, 2}, "integer").Build())->task(), Task::kRegression);
    EXPECT_EQ(Fit(Numbers({0, 1, 1}, "real").Build())->task(), Task::kRegression);
    EXPECT_EQ(Fit(Labels({"a", "b"}).Build())->task(), Task::kBinary);
    EXPECT_EQ(Fit(Labels({"a", "b", "c"}).Build())->task(), Task::kMulticlass);
    EXPECT_EQ(Fit(Numbers({0, 1, 2}, "integer").Build(), Task::kMulticlass)->output_count(), 3);
}

TEST(Target, ThePositiveClassIsPredictable) {
    EXPECT_EQ(Fit(Labels({"yes", "no"}).Build())->labels(), (std::vector<std::string>{"no", "yes"}));
    EXPECT_EQ(Fit(Numbers({1, -1}, "integer").Build())->labels(), (std::vector<std::string>{"-1", "1"}));
    const TableBuilder flags =
        TableBuilder().Floats("y", {1, 0, 0}, ColumnRole::kTarget, ColumnKind::kBoolean, "boolean");
    const Expected<TargetEncoder> boolean = Fit(flags.Build());
    EXPECT_EQ(boolean->labels(), (std::vector<std::string>{"false", "true"}));
    EXPECT_EQ(boolean->label_counts(), (std::vector<uint64_t>{2, 1}));
}

TEST(Target, ThePositiveClassCanBeNamed) {
    const ColumnarTable table = Labels({"yes", "no", "no"}).Build();
    const Expected<TargetEncoder> target = Fit(table, Task::kAuto, "no");
    ASSERT_TRUE(target.ok());
    EXPECT_EQ(target->labels(), (std::vector<std::string>{"yes", "no"}));
    EXPECT_EQ(target->label_counts(), (std::vector<uint64_t>{1, 2}));
    const std::vector<uint32_t> rows = AllRows(table);
    float values[3];
    target->Bind(table)->Values(rows, values);
    EXPECT_EQ(values[0], 0.0f);
    EXPECT_EQ(values[1], 1.0f);

    const ColumnarTable numbers = Numbers({1, 2, 2}, "integer").Build();
    const Expected<TargetEncoder> number = Fit(numbers, Task::kAuto, "1");
    int32_t classes[3];
    number->Bind(numbers)->Classes(rows, classes);
    EXPECT_EQ(classes[0], 1);
    EXPECT_EQ(classes[2], 0);

    const Status status = Fit(table, Task::kAuto, "maybe").status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.detail().find("\"no\", \"yes\""), std::string::npos);
}

TEST(Target, NumericLabelsSortByValueAndReadLikeTheirColumn) {
    const ColumnarTable table = Numbers({100000, 9, 10, 1000000, -3}, "integer").Build();
    const Expected<TargetEncoder> target = Fit(table, Task::kMulticlass);
    ASSERT_TRUE(target.ok());
    EXPECT_EQ(target->labels(), (std::vector<std::string>{"-3", "9", "10", "100000", "1000000"}));
    EXPECT_EQ(target->LabelIndex("10"), 2);
    EXPECT_EQ(target->LabelOfValue(1000000.0), 4);
    EXPECT_EQ(target->LabelOfValue(11.0), -1);
    EXPECT_EQ(Fit(Numbers({0.5f, 0.1f}).Build(), Task::kBinary)->labels(),
              (std::vector<std::string>{"0.1", "0.5"}));
}

TEST(Target, WholeLabelsThatFloatCannotHoldAreRefused) {
    const ColumnarTable table = Numbers({20240100.0f, 20240104.0f}, "integer").Build();
    const Status status = Fit(table, Task::kBinary).status();
    EXPECT_FALSE(status.ok());
    EXPECT_FALSE(Fit(Numbers({1, 2, 20240104.0f}, "bigint").Build(), Task::kMulticlass).ok());
    EXPECT_TRUE(Fit(Numbers({1, 2, 16777216}, "bigint").Build(), Task::kMulticlass).ok());
}

TEST(Target, RefusesWhatCannotBeLearnt) {
    const auto code = [](const TableBuilder& builder, Task task) {
        return Fit(builder.Build(), task).status().code();
    };
    EXPECT_EQ(code(Labels({"a", "a"}), Task::kAuto), StatusCode::kInsufficientData);
    EXPECT_EQ(code(Numbers({2, 2}), Task::kAuto), StatusCode::kInsufficientData);
    EXPECT_EQ(code(Numbers({kNanFloat}), Task::kAuto), StatusCode::kInsufficientData);
    EXPECT_EQ(code(Labels({"a", "b"}), Task::kRegression), StatusCode::kInvalidArgument);
    EXPECT_EQ(code(Labels({"a", "b", "c"}), Task::kBinary), StatusCode::kInvalidArgument);
    EXPECT_EQ(code(Numbers({1, 2, 3}), Task::kBinary), StatusCode::kInvalidArgument);
    EXPECT_EQ(code(Numbers({1, 2, std::numeric_limits<float>::infinity()}), Task::kAuto),
              StatusCode::kInvalidArgument);
    EXPECT_EQ(
        code(TableBuilder().Floats("y", {1, 2, 3, 4}, ColumnRole::kTarget, ColumnKind::kVector, "real[]", 2),
             Task::kAuto),
        StatusCode::kInvalidArgument);
    std::vector<std::string> many;
    for (int i = 0; i < 1001; ++i)
        many.push_back(std::to_string(i));
    EXPECT_EQ(code(Labels(many), Task::kAuto), StatusCode::kInvalidArgument);
    many.pop_back();
    EXPECT_TRUE(Fit(Labels(many).Build()).ok());
}

TEST(Target, UnknownLabelsOfAnotherTableAreMinusOne) {
    const Expected<TargetEncoder> target = Fit(Labels({"a", "b"}).Build());
    ColumnarTable other = Labels({"b", "c", "NULL"}).Build();
    ASSERT_TRUE(other.BeginRow());
    other.SetCode(0, Dictionary::kOverflow);
    other.CommitRow();
    const std::vector<uint32_t> rows = AllRows(other);
    int32_t classes[4];
    target->Bind(other)->Classes(rows, classes);
    EXPECT_EQ(classes[0], 1);
    EXPECT_EQ(classes[1], -1);
    EXPECT_EQ(classes[2], -1);
    EXPECT_EQ(classes[3], -1);
}

TEST(Target, JsonReadsBack) {
    for (const auto& [builder, task] :
         std::vector<std::pair<TableBuilder, Task>>{{Numbers({1.1f, 2.7f, 1e-20f}), Task::kRegression},
                                                    {Numbers({3, 1, 2}, "integer"), Task::kMulticlass},
                                                    {Numbers({0.1f, 0.7f}), Task::kBinary},
                                                    {Labels({"\"", "\u00fc", ""}), Task::kMulticlass},
                                                    {Labels({"a", "b"}), Task::kBinary}}) {
        const Expected<TargetEncoder> target = Fit(builder.Build(), task);
        ASSERT_TRUE(target.ok());
        const Expected<TargetEncoder> read = TargetEncoder::FromJson(Json::parse(target->ToJson().dump()));
        ASSERT_TRUE(read.ok());
        EXPECT_EQ(read->ToJson(), target->ToJson());
        EXPECT_EQ(read->Decode(0.3f), target->Decode(0.3f));
        EXPECT_EQ(read->LabelOfValue(0.1f), target->LabelOfValue(0.1f));
    }
}

TEST(Target, HostileJsonIsCorrupt) {
    const Json regression = Fit(Numbers({1, 2, 4}).Build())->ToJson();
    const Json classes = Fit(Numbers({1, 2, 4}, "integer").Build(), Task::kMulticlass)->ToJson();
    const auto code = [](Json json, const char* key, const Json& value) {
        json[key] = value;
        return TargetEncoder::FromJson(json).status().code();
    };
    ASSERT_EQ(code(regression, "extra", 1), StatusCode::kOk);
    ASSERT_EQ(code(classes, "extra", 1), StatusCode::kOk);
    for (const Json& value : {Json(0.0), Json(-1.0), Json(1e300), Json("1"), Json()})
        EXPECT_EQ(code(regression, "standard_deviation", value), StatusCode::kCorrupt) << value;
    EXPECT_EQ(code(regression, "minimum", 5.0), StatusCode::kCorrupt);
    EXPECT_EQ(code(regression, "mean", 1e300), StatusCode::kCorrupt);
    EXPECT_EQ(code(regression, "task", "auto"), StatusCode::kCorrupt);
    EXPECT_EQ(code(regression, "task", "ranking"), StatusCode::kCorrupt);
    EXPECT_EQ(code(regression, "kind", "category"), StatusCode::kCorrupt);
    EXPECT_EQ(code(regression, "kind", "timestamp"), StatusCode::kCorrupt);
    EXPECT_EQ(code(regression, "kind", "number"), StatusCode::kCorrupt);
    EXPECT_EQ(code(classes, "labels", {"1", "2"}), StatusCode::kCorrupt);
    EXPECT_EQ(code(classes, "labels", {"1", "2", "2"}), StatusCode::kCorrupt);
    EXPECT_EQ(code(classes, "labels", {"1", "2", 4}), StatusCode::kCorrupt);
    EXPECT_EQ(code(classes, "label_counts", {1, 1, -1}), StatusCode::kCorrupt);
    EXPECT_EQ(code(classes, "label_counts", {1, 1, 1e300}), StatusCode::kCorrupt);
    EXPECT_EQ(code(classes, "label_values", {1.0, 2.0}), StatusCode::kCorrupt);
    EXPECT_EQ(code(classes, "kind", "category"), StatusCode::kCorrupt);  // with values of labels
    EXPECT_EQ(code(classes, "task", "binary"), StatusCode::kCorrupt);
    for (const char* text : {"null", "[]", "{}", "3"})
        EXPECT_EQ(TargetEncoder::FromJson(Json::parse(text)).status().code(), StatusCode::kCorrupt);
}

}  // namespace
}  // namespace dlent
