// Live distributions: what is counted is what SQL would count, survives being stored, and is judged as the
// rows would be.

#include "core/drift/live_sketch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/drift/profile.h"
#include "table_testing.h"

namespace dlent {
namespace {

/// A table of a number, a level (with NULLs and rare ones), a flag and a time; a binary target.
ColumnarTable MakeTable(size_t rows, double shift, uint32_t seed) {
    ColumnarTable table({{"amount", ColumnKind::kNumeric, ColumnRole::kFeature, 1, "double precision"},
                         {"shop", ColumnKind::kCategory, ColumnRole::kFeature, 1, "text"},
                         {"late", ColumnKind::kBoolean, ColumnRole::kFeature, 1, "boolean"},
                         {"at", ColumnKind::kTimestamp, ColumnRole::kFeature, 7, "timestamp"},
                         {"fraud", ColumnKind::kBoolean, ColumnRole::kTarget, 1, "boolean"}});
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 1.0f);
    const char* const shops[] = {"web", "till", "phone", "kiosk"};
    for (size_t i = 0; i < rows; ++i) {
        EXPECT_TRUE(table.BeginRow());
        const float amount = normal(random) + static_cast<float>(shift);
        table.SetFloat(table.first_cell(0), random() % 20 == 0 ? ColumnarTable::kNull : amount);
        table.SetCode(table.first_cell(1), random() % 10 == 0
                                               ? ColumnarTable::kNullCode
                                               : table.dictionary(1).Intern(shops[random() % 4]));
        table.SetFloat(table.first_cell(2), random() % 7 == 0 ? ColumnarTable::kNull : random() % 2);
        float cells[7];
        TimestampCells(static_cast<int64_t>(random() % 1000000) * 60'000'000, cells);
        for (int k = 0; k < 7; ++k)
            table.SetFloat(table.first_cell(3) + k, cells[k]);
        table.SetFloat(table.first_cell(4), amount > 0.5f ? 1.0f : 0.0f);
        table.CommitRow();
    }
    return table;
}

/// A version's parts, as a training leaves them.
class LiveSketchTest : public ::testing::Test {
 protected:
    void SetUp() override {
        const std::vector<uint32_t> rows = AllRows(past_);
        std::vector<Pipeline::Exclusion> excluded;
        pipeline_ = *Pipeline::Fit(past_, rows, {}, &excluded, never_);
        target_ = *TargetEncoder::Fit(past_, rows, Task::kAuto, std::nullopt);
        std::vector<float> scores;
        for (const uint32_t row : rows)
            scores.push_back(ScoreOf(past_, row));
        reference_ = *MakeDriftReference(past_, rows, pipeline_, target_, rows, scores, never_);
        sketch_ = *LiveSketch::Create(reference_, pipeline_, target_);
    }

    static float ScoreOf(const ColumnarTable& table, uint32_t row) {
        const float amount = table.Float(table.first_cell(0), row);
        return std::isnan(amount) ? 0.5f : 1.0f / (1.0f + std::exp(-amount));
    }

    /// Counts rows of a table as a scorer would have them.
    std::vector<uint64_t> Count(const ColumnarTable& table, uint64_t weight = 1) const {
        std::vector<std::atomic<uint64_t>> counters(sketch_.counter_count());
        std::vector<Cell> cells(static_cast<size_t>(pipeline_.cell_count()));
        for (uint32_t row = 0; row < table.rows(); ++row) {
            for (size_t i = 0; i < pipeline_.inputs().size(); ++i) {
                const int input = static_cast<int>(i);
                Cell* const first = &cells[static_cast<size_t>(pipeline_.first_cell(input))];
                const int cell = table.first_cell(input);
                if (pipeline_.inputs()[i].kind == ColumnKind::kCategory) {
                    const int32_t code = table.Code(cell, row);
                    first->code = code < 0
                                      ? pipeline_.NullCode(input)
                                      : pipeline_.CategoryCode(input, table.dictionary(input).Text(code));
                } else {
                    for (int k = 0; k < CellsOf(pipeline_.inputs()[i].kind); ++k)
                        first[k].f = table.Float(cell + k, row);
                }
            }
            const float score = ScoreOf(table, row);
            sketch_.Add(cells.data(), &score, weight, counters.data());
        }
        return std::vector<uint64_t>(counters.begin(), counters.end());
    }

    static void ExpectSame(const DriftSample& expected, const DriftSample& counted) {
        EXPECT_EQ(counted.rows, expected.rows);
        EXPECT_EQ(counted.missing, expected.missing);
        EXPECT_EQ(counted.categorical, expected.categorical);
        EXPECT_EQ(counted.sketch.counts, expected.sketch.counts);
        EXPECT_EQ(counted.other_count, expected.other_count);
        ASSERT_EQ(counted.levels.size(), expected.levels.size());
        for (size_t i = 0; i < counted.levels.size(); ++i) {
            EXPECT_EQ(counted.levels[i].text, expected.levels[i].text);
            EXPECT_EQ(counted.levels[i].count, expected.levels[i].count);
        }
    }

    const NeverCancelled never_{};
    ColumnarTable past_ = MakeTable(5000, 0.0, 1);
    Pipeline pipeline_;
    TargetEncoder target_;
    DriftReference reference_;
    LiveSketch sketch_;
};

TEST_F(LiveSketchTest, CountsTheReferencesOwnRowsAsTheReferenceDoes) {
    const LiveSketch::Samples samples = sketch_.ToSamples(Count(past_));
    ASSERT_EQ(samples.features.size(), reference_.features.size());
    for (size_t i = 0; i < samples.features.size(); ++i) {
        SCOPED_TRACE(reference_.features[i].variable.name);
        ExpectSame(reference_.features[i].sample, samples.features[i]);
        EXPECT_EQ(samples.features[i].outside, 0.0);
    }
    ASSERT_TRUE(samples.prediction && reference_.prediction);
    ExpectSame(*reference_.prediction, *samples.prediction);
    EXPECT_EQ(samples.rows, 5000.0);
    EXPECT_EQ(samples.effective_rows, 5000.0);
}

TEST_F(LiveSketchTest, OtherRowsGiveTheCountsAndTheReportOfTheRowsThemselves) {
    const ColumnarTable now = MakeTable(3000, 0.7, 2);
    const std::vector<uint32_t> rows = AllRows(now);
    const std::vector<uint64_t> counters = Count(now);
    const LiveSketch::Samples samples = sketch_.ToSamples(counters);
    std::vector<DriftSample> direct;
    for (size_t i = 0; i < reference_.features.size(); ++i)
        direct.push_back(*SampleColumn(now, static_cast<int>(i), rows, false, never_));
    std::vector<DriftComparison> by_rows;
    std::vector<DriftComparison> by_counts;
    for (size_t i = 0; i < direct.size(); ++i) {
        const DriftReference::Feature& feature = reference_.features[i];
        if (!direct[i].categorical) {
            EXPECT_EQ(samples.features[i].sketch.counts, feature.sample.sketch.Count(direct[i].sorted));
        }
        by_rows.push_back({feature.variable.name, "feature", &feature.sample, &direct[i]});
        by_counts.push_back({feature.variable.name, "feature", &feature.sample, &samples.features[i]});
    }
    const std::vector<DriftFinding> expected = *CompareSamples(by_rows, {}, never_);
    const std::vector<DriftFinding> found = *CompareSamples(by_counts, {}, never_);
    ASSERT_EQ(found.size(), expected.size());
    bool any = false;
    for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i].value, expected[i].value);
        EXPECT_EQ(found[i].p_value, expected[i].p_value);
        EXPECT_EQ(found[i].drifted, expected[i].drifted);
        EXPECT_EQ(found[i].details, expected[i].details);
        any = any || found[i].drifted.value_or(false);
    }
    EXPECT_TRUE(any);
    // the others judge values that are spread over the bins: near what the rows give
    for (const DriftProfile profile : {DriftProfile::kEvidently, DriftProfile::kNannyml,
                                       DriftProfile::kBigquery, DriftProfile::kAlibi, DriftProfile::kDeequ}) {
        SCOPED_TRACE(DriftProfileName(profile));
        const std::vector<DriftFinding> rows_say = *CompareSamples(by_rows, {.profile = profile}, never_);
        const std::vector<DriftFinding> counts_say = *CompareSamples(by_counts, {.profile = profile}, never_);
        ASSERT_EQ(counts_say.size(), rows_say.size());
        EXPECT_NEAR(*counts_say[0].value, *rows_say[0].value, 0.05 * std::abs(*rows_say[0].value) + 0.02);
        EXPECT_EQ(counts_say[0].drifted, rows_say[0].drifted);
        EXPECT_EQ(counts_say[0].details.at("current"), "values spread over the counted bins");
    }
}

TEST_F(LiveSketchTest, IsReadAgainAndAddsUp) {
    const std::vector<uint64_t> first = Count(MakeTable(700, 0.0, 3));
    const std::vector<uint64_t> second = Count(MakeTable(400, 3.0, 4));
    std::vector<uint64_t> sum(sketch_.counter_count());
    ASSERT_TRUE(sketch_.AddJson(Json::parse(sketch_.ToJson(first).dump()), sum).ok());
    EXPECT_EQ(sum, first);
    ASSERT_TRUE(sketch_.AddJson(sketch_.ToJson(second), sum).ok());
    for (size_t i = 0; i < sum.size(); ++i)
        EXPECT_EQ(sum[i], first[i] + second[i]);
    Json damaged = sketch_.ToJson(first);
    damaged["features"][0]["counts"].push_back(1);
    EXPECT_FALSE(sketch_.AddJson(damaged, sum).ok());
    damaged = sketch_.ToJson(first);
    damaged["features"][1].erase("other");
    EXPECT_FALSE(sketch_.AddJson(damaged, sum).ok());
    EXPECT_FALSE(sketch_.AddJson(Json::array(), sum).ok());
}

TEST_F(LiveSketchTest, RowsThatStandForOthersCountForFewer) {
    const std::vector<uint64_t> counters = Count(MakeTable(500, 0.0, 5), 16);
    const LiveSketch::Samples samples = sketch_.ToSamples(counters);
    EXPECT_EQ(LiveSketch::Rows(counters), 8000u);
    EXPECT_EQ(samples.rows, 8000.0);
    EXPECT_DOUBLE_EQ(samples.effective_rows, 500.0);
    for (const DriftSample& feature : samples.features)
        EXPECT_EQ(feature.rows, 500u);
}

}  // namespace
}  // namespace dlent
