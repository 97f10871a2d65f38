#include "core/features/guards.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/random.h"
#include "table_testing.h"
#include "testing.h"

namespace dlent {
namespace {

Expected<std::vector<Finding>> Find(const ColumnarTable& table, Task task = Task::kAuto) {
    const OrderedRows ordered(table);
    const Expected<TargetEncoder> target = TargetEncoder::Fit(table, ordered.rows, task, {});
    EXPECT_TRUE(target.ok()) << target.status().message();
    return FindProblems(table, ordered.rows, ordered.hashes, *target, NeverCancelled());
}

/// "code:column" of every finding.
std::vector<std::string> Codes(const TableBuilder& builder, Task task = Task::kAuto) {
    const Expected<std::vector<Finding>> findings = Find(builder.Build(), task);
    EXPECT_TRUE(findings.ok());
    std::vector<std::string> codes;
    for (const Finding& finding : *findings)
        codes.push_back(finding.code + ":" + finding.column);
    return codes;
}

const std::vector<std::string> kNothing;
const std::vector<std::string> kLeakOfX = {"LEAK_FEATURE:x"};

/// Independent columns to build cases from.
struct Noise {
    std::vector<float> a;
    std::vector<float> b;

    explicit Noise(size_t rows) : a(rows), b(rows) {
        RandomStream random(31);
        for (size_t row = 0; row < rows; ++row) {
            a[row] = random.Normal();
            b[row] = random.Normal();
        }
    }
};

TEST(Guards, FewRowsAreRefusedWithTheirNumbers) {
    const ColumnarTable table = TableBuilder().Floats("y", {1, 2, 3}, ColumnRole::kTarget).Build();
    EXPECT_TRUE(CheckRowCount(table, 20).ok());
    const Status status = CheckRowCount(table, 2);
    EXPECT_EQ(status.code(), StatusCode::kInsufficientData);
    EXPECT_NE(status.detail().find("3 rows, 2 of them with a target"), std::string::npos);
}

TEST(Guards, ACopyOfANumericTargetLeaks) {
    const Noise noise(2000);
    std::vector<float> scaled = noise.a;
    std::vector<float> heavy(noise.a.size());
    for (size_t row = 0; row < scaled.size(); ++row) {
        scaled[row] = 3.0f * scaled[row] + 1.0f;
        heavy[row] = std::exp(3.0f * noise.a[row]);  // a few rows hold nearly all the variance
    }
    EXPECT_EQ(Codes(TableBuilder()
                        .Floats("x", scaled)
                        .Floats("other", noise.b)
                        .Floats("y", noise.a, ColumnRole::kTarget)),
              kLeakOfX);
    EXPECT_EQ(Codes(TableBuilder().Floats("x", noise.a).Floats("y", heavy, ColumnRole::kTarget)), kLeakOfX);
}

TEST(Guards, ACopyLeaksInASmallTableToo) {
    for (const size_t rows : {250u, 600u, 1500u}) {
        const Noise noise(rows);
        EXPECT_EQ(Codes(TableBuilder()
                            .Floats("x", noise.a)
                            .Floats("other", noise.b)
                            .Floats("y", noise.a, ColumnRole::kTarget)),
                  kLeakOfX)
            << rows;
    }
}

TEST(Guards, ChanceRepeatsOfRowsProveNothing) {
    // every row twice: its key is known from the repeat, if that may be counted
    const Noise noise(1000);
    std::vector<std::string> keys;
    std::vector<std::string> labels;
    for (size_t row = 0; row < 2000; ++row) {
        keys.push_back("key " + std::to_string(row / 2));
        labels.push_back(noise.a[row / 2] > 0 ? "yes" : "no");
    }
    EXPECT_EQ(Codes(TableBuilder().Texts("k", keys).Texts("y", labels, ColumnRole::kTarget)), kNothing);
}

TEST(Guards, AStrongFeatureIsNotALeak) {
    const Noise noise(5000);
    std::vector<float> y(noise.a.size());
    std::vector<std::string> label(noise.a.size());
    for (size_t row = 0; row < y.size(); ++row) {
        y[row] = noise.a[row] + 0.3f * noise.b[row];  // R² 0.92
        label[row] = y[row] > 0 ? "yes" : "no";
    }
    EXPECT_EQ(Codes(TableBuilder().Floats("x", noise.a).Floats("y", y, ColumnRole::kTarget)), kNothing);
    EXPECT_EQ(Codes(TableBuilder().Floats("x", noise.a).Texts("y", label, ColumnRole::kTarget)), kNothing);
}

TEST(Guards, ALeakNeedNotBeMonotone) {
    const Noise noise(4000);
    std::vector<std::string> label(noise.a.size());
    for (size_t row = 0; row < label.size(); ++row)
        label[row] = std::abs(noise.a[row]) < 0.5f ? "inside" : "outside";
    EXPECT_EQ(Codes(TableBuilder()
                        .Floats("x", noise.a)
                        .Floats("other", noise.b)
                        .Texts("y", label, ColumnRole::kTarget)),
              kLeakOfX);
}

TEST(Guards, ANullThatTellsTheTargetLeaks) {
    const Noise noise(2000);
    std::vector<float> closed_at = noise.b;
    std::vector<std::string> label(noise.a.size());
    for (size_t row = 0; row < label.size(); ++row) {
        label[row] = noise.a[row] > 1.0f ? "churned" : "stayed";
        if (label[row] == "stayed")
            closed_at[row] = ColumnarTable::kNull;
    }
    EXPECT_EQ(Codes(TableBuilder().Floats("x", closed_at).Texts("y", label, ColumnRole::kTarget)), kLeakOfX);
}

TEST(Guards, ACategoryThatNamesTheClassLeaks) {
    const size_t rows = 3000;
    RandomStream random(3);
    std::vector<std::string> code(rows);
    std::vector<std::string> label(rows);
    std::vector<std::string> weak(rows);
    for (size_t row = 0; row < rows; ++row) {
        const uint32_t kind = random.NextBelow(5);
        label[row] = "class " + std::to_string(kind);
        code[row] = std::to_string(kind * 10 + random.NextBelow(10));
        weak[row] = std::to_string(random.NextBelow(3) == 0 ? random.NextBelow(5) : kind);
    }
    EXPECT_EQ(
        Codes(TableBuilder().Texts("x", code).Texts("weak", weak).Texts("y", label, ColumnRole::kTarget)),
        kLeakOfX);
}

TEST(Guards, RareLevelsAndKeysProveNothing) {
    // each level is seen a time or two, so any target is "determined" in hindsight
    const Noise noise(3000);
    RandomStream random(13);
    std::vector<std::string> keys(noise.a.size());
    std::vector<std::string> rare(noise.a.size());
    std::vector<std::string> labels(noise.a.size());
    for (size_t row = 0; row < keys.size(); ++row) {
        keys[row] = "key " + std::to_string(row);
        rare[row] = "level " + std::to_string(random.NextBelow(1500));
        labels[row] = noise.a[row] > 0 ? "yes" : "no";
    }
    EXPECT_EQ(Codes(TableBuilder().Texts("k", keys).Texts("r", rare).Texts("y", labels, ColumnRole::kTarget)),
              kNothing);
    EXPECT_EQ(
        Codes(TableBuilder().Texts("k", keys).Texts("r", rare).Floats("y", noise.a, ColumnRole::kTarget)),
        kNothing);
}

TEST(Guards, AHandfulOfPositivesIsNoProof) {
    const Noise noise(1000);
    std::vector<float> x = noise.a;
    std::vector<std::string> labels(x.size(), "no");
    for (size_t row = 0; row < 12; ++row) {
        labels[row * 80] = "yes";
        x[row * 80] = 9.0f;  // separates them, perhaps by luck
    }
    EXPECT_EQ(Codes(TableBuilder().Floats("x", x).Texts("y", labels, ColumnRole::kTarget)), kNothing);
}

TEST(Guards, ManyLevelsAndManyClassesFitInMemory) {
    // a table of levels × classes would be 20,000 × 1,000 counts
    const size_t rows = 20000;
    RandomStream random(17);
    std::vector<std::string> keys(rows);
    std::vector<std::string> labels(rows);
    for (size_t row = 0; row < rows; ++row) {
        keys[row] = "key " + std::to_string(row);
        labels[row] = "class " + std::to_string(random.NextBelow(1000));
    }
    const Expected<std::vector<Finding>> findings =
        Find(TableBuilder().Texts("k", keys).Texts("y", labels, ColumnRole::kTarget).Build());
    ASSERT_TRUE(findings.ok());
    ASSERT_EQ(findings->size(), 1u);  // one word on rare classes, not a thousand
    EXPECT_EQ(findings->front().code, "IMBALANCE");
}

TEST(Guards, ALeakIsAWarningThatNamesColumnAndRemedy) {
    const Noise noise(1000);
    const Expected<std::vector<Finding>> findings =
        Find(TableBuilder().Floats("x", noise.a).Floats("y", noise.a, ColumnRole::kTarget).Build());
    ASSERT_TRUE(findings.ok());
    ASSERT_EQ(findings->size(), 1u);
    const Finding& finding = findings->front();
    EXPECT_EQ(finding.severity, Finding::Severity::kWarning);
    EXPECT_NE(finding.message.find("\"x\""), std::string::npos);
    EXPECT_NE(finding.message.find("\"y\""), std::string::npos);
    EXPECT_NE(finding.hint.find("{\"exclude\": [\"x\"]}"), std::string::npos);
}

TEST(Guards, IntegersThatMayBeClassesAreMentioned) {
    const Noise noise(1000);
    std::vector<float> grade(noise.a.size());
    std::vector<float> count(noise.a.size());
    for (size_t row = 0; row < grade.size(); ++row) {
        grade[row] = static_cast<float>(row % 20);
        count[row] = static_cast<float>(row % 21);
    }
    const auto of = [&](const std::vector<float>& y, const char* type) {
        return Codes(TableBuilder()
                         .Floats("x", noise.a)
                         .Floats("y", y, ColumnRole::kTarget, ColumnKind::kNumeric, type));
    };
    EXPECT_EQ(of(grade, "integer"), (std::vector<std::string>{"INTEGER_TARGET:y"}));
    EXPECT_EQ(of(count, "integer"), kNothing);
    EXPECT_EQ(of(grade, "real"), kNothing);
}

TEST(Guards, RareClassesAndFewRowsAreMentioned) {
    const Noise noise(1000);
    std::vector<std::string> labels(noise.a.size(), "no");
    for (size_t row = 0; row < 9; ++row)
        labels[row * 100] = "yes";
    EXPECT_EQ(Codes(TableBuilder().Floats("x", noise.a).Texts("y", labels, ColumnRole::kTarget)),
              (std::vector<std::string>{"IMBALANCE:y"}));
    labels[950] = "yes";  // one in a hundred
    EXPECT_EQ(Codes(TableBuilder().Floats("x", noise.a).Texts("y", labels, ColumnRole::kTarget)), kNothing);

    const Noise few(199);
    std::vector<std::string> of_few(199, "a");
    std::fill(of_few.begin(), of_few.begin() + 90, "b");
    EXPECT_EQ(Codes(TableBuilder().Floats("x", few.a).Texts("y", of_few, ColumnRole::kTarget)),
              (std::vector<std::string>{"FEW_ROWS:"}));
    of_few[198] = "c";  // a class of one row
    EXPECT_EQ(Codes(TableBuilder().Floats("x", few.a).Texts("y", of_few, ColumnRole::kTarget)),
              (std::vector<std::string>{"IMBALANCE:y", "FEW_ROWS:"}));
}

TEST(Guards, StopWhenCancelled) {
    const Noise noise(1000);
    const ColumnarTable table =
        TableBuilder().Floats("x", noise.a).Floats("y", noise.b, ColumnRole::kTarget).Build();
    const OrderedRows ordered(table);
    const Expected<TargetEncoder> target = TargetEncoder::Fit(table, ordered.rows, Task::kAuto, {});
    EXPECT_EQ(FindProblems(table, ordered.rows, ordered.hashes, *target, AlwaysCancelled()).status().code(),
              StatusCode::kCancelled);
}

}  // namespace
}  // namespace dlent
