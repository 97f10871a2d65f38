// Records of answers: what goes into the ring comes out of it; which rows are chosen; how features are told.

#include "core/observe/prediction_record.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "core/observe/recorded_features.h"
#include "core/observe/row_sampler.h"
#include "table_testing.h"

namespace dlent {
namespace {

Cell Float(float value) {
    Cell cell;
    cell.f = value;
    return cell;
}

Cell Code(int32_t value) {
    Cell cell;
    cell.code = value;
    return cell;
}

TEST(PredictionRecord, ComesOutAsItWentIn) {
    const Cell cells[] = {Float(1.5f), Code(-1), Code(7)};
    const float probabilities[] = {0.25f, 0.5f, 0.25f};
    PredictionRecord record{.catalog = 16384,
                            .version_id = 12,
                            .rollout_id = 3,
                            .arm = 1,
                            .shadow = true,
                            .request = int64_t{1} << 60,
                            .time = 820000000000000,
                            .digest = 0xfedcba9876543210u,
                            .score = 0.25f,
                            .label = 1,
                            .latency = 2.5f,
                            .unit = "customer 7",
                            .key = "",
                            .error = {},
                            .cells = cells,
                            .probabilities = probabilities};
    std::vector<std::byte> bytes;
    record.Encode(&bytes);
    PredictionRecord read;
    ASSERT_TRUE(PredictionRecord::Decode(bytes, &read));
    EXPECT_EQ(read.catalog, record.catalog);
    EXPECT_EQ(read.version_id, record.version_id);
    EXPECT_EQ(read.rollout_id, record.rollout_id);
    EXPECT_EQ(read.arm, record.arm);
    EXPECT_EQ(read.shadow, record.shadow);
    EXPECT_EQ(read.request, record.request);
    EXPECT_EQ(read.time, record.time);
    EXPECT_EQ(read.digest, record.digest);
    EXPECT_EQ(read.score, record.score);
    EXPECT_EQ(read.label, record.label);
    EXPECT_EQ(read.latency, record.latency);
    EXPECT_EQ(read.unit, record.unit);
    // an empty text is none that is not there
    EXPECT_NE(read.key.data(), nullptr);
    EXPECT_TRUE(read.key.empty());
    EXPECT_EQ(read.error.data(), nullptr);
    ASSERT_EQ(read.cells.size(), 3u);
    EXPECT_EQ(read.cells[0].f, 1.5f);
    EXPECT_EQ(read.cells[2].code, 7);
    EXPECT_EQ(std::vector<float>(read.probabilities.begin(), read.probabilities.end()),
              std::vector<float>({0.25f, 0.5f, 0.25f}));
    for (size_t length = 0; length < bytes.size(); ++length)
        EXPECT_FALSE(PredictionRecord::Decode(std::span(bytes).first(length), &read));
    EXPECT_LE(bytes.size(), 252u) << "an ordinary record takes one slot";
}

TEST(PredictionRecord, ProbabilitiesAreToldByLabel) {
    const std::vector<std::string> labels = {"a", "b"};
    EXPECT_EQ(RecordedProbabilities(labels, std::vector<float>{0.1f, 0.9f}), Json({{"a", 0.1}, {"b", 0.9}}));
    EXPECT_EQ(RecordedProbabilities(labels, std::vector<float>{1.0f}), Json::object());
}

TEST(PredictionRecord, DigestTellsRowsApartAndNullsAlike) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const auto digest = [](std::vector<Cell> cells) { return DigestOfCells(cells); };
    EXPECT_EQ(digest({Float(nan), Float(0.0f)}), digest({Float(-nan), Float(-0.0f)}));
    EXPECT_NE(digest({Float(1.0f), Float(2.0f)}), digest({Float(2.0f), Float(1.0f)}));
    EXPECT_NE(digest({Code(-1)}), digest({Float(nan)}));
    EXPECT_NE(digest({Code(1)}), digest({Code(2)}));
    EXPECT_NE(digest({Code(0)}), digest({Code(0), Code(0)}));
}

TEST(PredictionRecord, LongTextsAreRecordedByTheirHash) {
    EXPECT_EQ(RecordedText("abc"), "abc");
    const std::string longest(kLongestRecordedText, 'k');
    EXPECT_EQ(RecordedText(longest), longest);
    EXPECT_EQ(RecordedText(std::string(1000, 'a')),
              "sha256:41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3");
}

TEST(RowSampler, ChoosesTheShare) {
    for (const double share : {0.0, 0.01, 0.3, 1.0}) {
        RowSampler sampler(share, 42);
        int chosen = 0;
        constexpr int kRows = 100000;
        for (int i = 0; i < kRows; ++i) {
            if (sampler.skip() > 0) {
                sampler.Pass(1);
            } else {
                sampler.Take();
                ++chosen;
            }
        }
        EXPECT_NEAR(chosen, share * kRows, 5.0 * std::sqrt(kRows * share * (1.0 - share)) + 1e-9);
    }
}

TEST(RowSampler, KeepsUnitsWhole) {
    int kept = 0;
    for (int i = 0; i < 20000; ++i) {
        const std::string unit = "customer " + std::to_string(i);
        const bool first = RowSampler::Keeps(0.2, unit);
        EXPECT_EQ(first, RowSampler::Keeps(0.2, unit));
        // who is kept of few is kept of more
        EXPECT_TRUE(!first || RowSampler::Keeps(0.3, unit));
        EXPECT_FALSE(RowSampler::Keeps(0.0, unit));
        EXPECT_TRUE(RowSampler::Keeps(1.0, unit));
        kept += first;
    }
    EXPECT_NEAR(kept, 4000, 300);
}

TEST(RecordedFeatures, TellWhatTheVersionSaw) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> at;
    std::vector<float> day;
    std::vector<float> time;
    std::vector<float> vector;
    std::vector<float> amounts;
    std::vector<float> waits;
    std::vector<float> flags;
    std::vector<std::string> shops;
    for (int i = 0; i < 40; ++i) {
        float cells[7];
        TimestampCells(820000000000000 + int64_t{i} * 100000000001, cells);
        at.insert(at.end(), cells, cells + 7);
        DateCells(9000 + i, cells);
        day.insert(day.end(), cells, cells + 5);
        TimeCells(int64_t{i} * 1000000000, cells);
        time.insert(time.end(), cells, cells + 3);
        vector.insert(vector.end(), {static_cast<float>(i), 0.1f * static_cast<float>(i)});
        amounts.push_back(i == 3 ? nan : 0.1f * static_cast<float>(i));
        waits.push_back(static_cast<float>(i) * 1.5f);
        flags.push_back(static_cast<float>(i % 2));
        shops.push_back(i % 7 == 0 ? "NULL" : i % 2 == 0 ? "web" : "till");
    }
    const ColumnarTable table =
        TableBuilder()
            .Floats("amount", amounts)
            .Texts("shop", shops)
            .Floats("late", flags, ColumnRole::kFeature, ColumnKind::kBoolean, "boolean")
            .Floats("at", at, ColumnRole::kFeature, ColumnKind::kTimestamp, "timestamp", 7)
            .Floats("day", day, ColumnRole::kFeature, ColumnKind::kDate, "date", 5)
            .Floats("time", time, ColumnRole::kFeature, ColumnKind::kTime, "time", 3)
            .Floats("wait", waits, ColumnRole::kFeature, ColumnKind::kInterval, "interval")
            .Floats("pixels", vector, ColumnRole::kFeature, ColumnKind::kVector, "real[]", 2)
            .Build();
    std::vector<Pipeline::Exclusion> excluded;
    const Pipeline pipeline = *Pipeline::Fit(table, AllRows(table), {}, &excluded, NeverCancelled());
    ASSERT_TRUE(excluded.empty());
    std::vector<Cell> cells(static_cast<size_t>(pipeline.cell_count()));
    const auto fill = [&](uint32_t row) {
        for (size_t i = 0; i < pipeline.inputs().size(); ++i) {
            const int input = static_cast<int>(i);
            const int width =
                pipeline.inputs()[i].kind == ColumnKind::kVector ? 2 : CellsOf(pipeline.inputs()[i].kind);
            for (int k = 0; k < width; ++k)
                cells[static_cast<size_t>(pipeline.first_cell(input) + k)].f =
                    table.Float(table.first_cell(input) + k, row);
        }
    };
    fill(1);
    cells[static_cast<size_t>(pipeline.first_cell(1))].code = pipeline.CategoryCode(1, "till");
    EXPECT_EQ(RecordedFeatures(pipeline, cells), Json({{"amount", 0.1},
                                                       {"shop", "till"},
                                                       {"late", true},
                                                       {"at", "2025-12-26T21:33:20Z"},
                                                       {"day", "2024-08-23"},
                                                       {"time", "00:16:40"},
                                                       {"wait", "PT1.5S"},
                                                       {"pixels", {1.0, 0.1}}}));
    fill(3);
    cells[static_cast<size_t>(pipeline.first_cell(1))].code = pipeline.NullCode(1);
    cells[static_cast<size_t>(pipeline.first_cell(2))].f = nan;
    Json features = RecordedFeatures(pipeline, cells);
    EXPECT_TRUE(features.at("amount").is_null());
    EXPECT_TRUE(features.at("shop").is_null());
    EXPECT_TRUE(features.at("late").is_null());
    // a level that the version does not know: the code that rare levels share, where there are some
    cells[static_cast<size_t>(pipeline.first_cell(1))].code = 99;
    EXPECT_FALSE(RecordedFeatures(pipeline, cells).contains("shop"));
}

}  // namespace
}  // namespace dlent
