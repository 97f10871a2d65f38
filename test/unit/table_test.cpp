#include "core/features/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/random.h"
#include "table_testing.h"

namespace dlent {
namespace {

constexpr int64_t kHour = INT64_C(3600000000);
constexpr int64_t kDay = 24 * kHour;

TEST(Table, KeepsCellsAcrossChunks) {
    ColumnarTable table({{"x", ColumnKind::kNumeric, ColumnRole::kFeature, 1, "real"},
                         {"v", ColumnKind::kVector, ColumnRole::kFeature, 3, "real[]"},
                         {"c", ColumnKind::kCategory, ColumnRole::kFeature, 1, "text"}});
    ASSERT_EQ(table.cell_count(), 5);
    ASSERT_EQ(table.first_cell(2), 4);
    const size_t rows = ColumnarTable::kChunkRows * 2 + 17;
    for (size_t row = 0; row < rows; ++row) {
        ASSERT_TRUE(table.BeginRow());
        table.SetFloat(0, static_cast<float>(row));
        for (int i = 1; i < 4; ++i)
            table.SetFloat(i, static_cast<float>(row * 10 + i));
        table.SetCode(4, table.dictionary(2).Intern("level " + std::to_string(row % 7)));
        table.CommitRow();
    }
    EXPECT_EQ(table.rows(), rows);
    EXPECT_EQ(table.chunk_count(), 3u);
    EXPECT_EQ(table.memory_bytes(), 3 * table.chunk_bytes());
    for (const size_t row : {size_t{0}, ColumnarTable::kChunkRows - 1, ColumnarTable::kChunkRows, rows - 1}) {
        EXPECT_EQ(table.Float(0, row), static_cast<float>(row));
        EXPECT_EQ(table.Float(3, row), static_cast<float>(row * 10 + 3));
        EXPECT_EQ(table.dictionary(2).Text(table.Code(4, row)), "level " + std::to_string(row % 7));
    }
    EXPECT_EQ(table.FloatChunk(0, 1)[5], static_cast<float>(ColumnarTable::kChunkRows + 5));
}

TEST(Table, OverwritesARowThatWasNotCommitted) {
    ColumnarTable table({{"x", ColumnKind::kNumeric, ColumnRole::kFeature, 1, "real"}});
    ASSERT_TRUE(table.BeginRow());
    table.SetFloat(0, 1.0f);
    ASSERT_TRUE(table.BeginRow());
    table.SetFloat(0, 2.0f);
    table.CommitRow();
    ASSERT_EQ(table.rows(), 1u);
    EXPECT_EQ(table.Float(0, 0), 2.0f);
}

TEST(Table, NamesOfKindsReadBack) {
    for (const ColumnKind kind :
         {ColumnKind::kNumeric, ColumnKind::kBoolean, ColumnKind::kCategory, ColumnKind::kTimestamp,
          ColumnKind::kDate, ColumnKind::kTime, ColumnKind::kInterval, ColumnKind::kVector}) {
        const Expected<ColumnKind> read = ParseColumnKind(ColumnKindName(kind));
        ASSERT_TRUE(read.ok());
        EXPECT_EQ(*read, kind);
    }
    const Status status = ParseColumnKind("number").status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.hint().find("numeric"), std::string::npos);
}

TEST(TimeCells, OfATimestampAreItsAngles) {
    // 2000-01-03 06:00 UTC: a Monday, a quarter of the day gone
    float cells[7];
    TimestampCells(2 * kDay + 6 * kHour, cells);
    EXPECT_FLOAT_EQ(cells[0], 2.25f);
    EXPECT_NEAR(cells[1], 1.0, 1e-6);
    EXPECT_NEAR(cells[2], 0.0, 1e-6);
    EXPECT_NEAR(cells[3], std::sin(2 * M_PI * 0.25 / 7), 1e-6);
    EXPECT_NEAR(cells[4], std::cos(2 * M_PI * 0.25 / 7), 1e-6);
}

TEST(TimeCells, BeforeTheEpochAreWholeDaysToo) {
    // one microsecond before 2000: late on a Friday
    float cells[7];
    TimestampCells(-1, cells);
    EXPECT_NEAR(cells[0], 0.0, 1e-6);
    EXPECT_NEAR(cells[1], 0.0, 1e-5);
    EXPECT_NEAR(cells[2], 1.0, 1e-5);
    EXPECT_NEAR(cells[3], std::sin(2 * M_PI * 5.0 / 7), 1e-5);
    EXPECT_NEAR(cells[4], std::cos(2 * M_PI * 5.0 / 7), 1e-5);
}

TEST(TimeCells, TheSameDayOfTwoYearsIsTheSamePlaceInTheYear) {
    // 1 March: 2000 is a leap year, 1999 and 1900 are not; days since 2000-01-01 by the proleptic calendar
    float march_2000[5];
    float march_1999[5];
    float march_1900[5];
    float march_2400[5];
    DateCells(60, march_2000);
    DateCells(-306, march_1999);
    DateCells(-36465, march_1900);
    DateCells(60 + 146097, march_2400);
    for (int cell = 3; cell < 5; ++cell) {
        EXPECT_FLOAT_EQ(march_1999[cell], march_2000[cell]);
        EXPECT_FLOAT_EQ(march_1900[cell], march_2000[cell]);
        EXPECT_FLOAT_EQ(march_2400[cell], march_2000[cell]);
    }
    EXPECT_FLOAT_EQ(march_2000[3], 0.0f);  // the year turns here
    float february_2000[5];
    DateCells(59, february_2000);  // the 29th, last of its year
    EXPECT_NEAR(february_2000[3], std::sin(2 * M_PI * 365 / 365.2425), 1e-6);
    EXPECT_LT(february_2000[3], 0.0f);
}

TEST(TimeCells, OfADateAndItsMidnightAgree) {
    for (const int32_t day : {-800000, -1, 0, 59, 60, 8999, 2000000}) {
        float date[5];
        float timestamp[7];
        DateCells(day, date);
        TimestampCells(day * kDay, timestamp);
        EXPECT_EQ(date[0], timestamp[0]);
        for (int cell = 1; cell < 5; ++cell)
            EXPECT_EQ(date[cell], timestamp[cell + 2]) << day << " " << cell;
    }
}

TEST(TimeCells, InfinitiesAreNull) {
    for (const int64_t infinite : {INT64_MAX, INT64_MIN}) {
        float cells[7];
        TimestampCells(infinite, cells);
        for (const float cell : cells)
            EXPECT_TRUE(std::isnan(cell));
    }
    for (const int32_t infinite : {INT32_MAX, INT32_MIN}) {
        float cells[5];
        DateCells(infinite, cells);
        for (const float cell : cells)
            EXPECT_TRUE(std::isnan(cell));
    }
}

TEST(TimeCells, OfATimeCountSeconds) {
    float cells[3];
    TimeCells(18 * kHour, cells);
    EXPECT_EQ(cells[0], 64800.0f);
    EXPECT_NEAR(cells[1], -1.0, 1e-6);
    EXPECT_NEAR(cells[2], 0.0, 1e-6);
}

TEST(TimeCells, EveryCellHasAName) {
    EXPECT_STREQ(CellSuffix(ColumnKind::kTimestamp, 1), "time_of_day_sin");
    EXPECT_STREQ(CellSuffix(ColumnKind::kTimestamp, 6), "day_of_year_cos");
    EXPECT_STREQ(CellSuffix(ColumnKind::kDate, 0), "");
    EXPECT_STREQ(CellSuffix(ColumnKind::kDate, 1), "day_of_week_sin");
    EXPECT_STREQ(CellSuffix(ColumnKind::kTime, 2), "time_of_day_cos");
    EXPECT_EQ(CellsOf(ColumnKind::kTimestamp) + CellsOf(ColumnKind::kDate) + CellsOf(ColumnKind::kTime), 15);
}

// ---- row hashes ----

TableBuilder MixedRows(size_t rows) {
    RandomStream random(7);
    std::vector<float> numbers;
    std::vector<std::string> texts;
    for (size_t row = 0; row < rows; ++row) {
        numbers.push_back(random.Normal());
        texts.push_back("t" + std::to_string(random.NextBelow(50)));
    }
    TableBuilder builder;
    builder.Floats("x", numbers).Texts("c", texts);
    return builder;
}

TEST(RowHash, DoesNotDependOnTheOrderOfRows) {
    const TableBuilder builder = MixedRows(6000);
    std::vector<uint32_t> order(6000);
    std::iota(order.begin(), order.end(), 0u);
    const ColumnarTable straight = builder.Build(order);
    RandomStream(3).Shuffle(order.data(), order.size());
    const ColumnarTable shuffled = builder.Build(order);  // its dictionary has other codes
    const std::vector<uint64_t> of_straight = *HashRows(straight, NeverCancelled());
    const std::vector<uint64_t> of_shuffled = *HashRows(shuffled, NeverCancelled());
    for (size_t i = 0; i < order.size(); ++i)
        ASSERT_EQ(of_shuffled[i], of_straight[order[i]]);
    EXPECT_EQ(DataFingerprint(of_straight), DataFingerprint(of_shuffled));

    const OrderedRows first(straight);
    const OrderedRows second(shuffled);
    EXPECT_EQ(first.hashes, second.hashes);
    EXPECT_TRUE(std::is_sorted(first.hashes.begin(), first.hashes.end()));
}

TEST(RowHash, TellsRowsApart) {
    std::vector<uint64_t> hashes = *HashRows(MixedRows(6000).Build(), NeverCancelled());
    std::sort(hashes.begin(), hashes.end());
    EXPECT_EQ(std::adjacent_find(hashes.begin(), hashes.end()), hashes.end());
}

TEST(RowHash, OneNullAndOneZero) {
    TableBuilder builder;
    builder.Floats("x", {0.0f, -0.0f, std::numeric_limits<float>::quiet_NaN(), -std::nanf("1")});
    const std::vector<uint64_t> hashes = *HashRows(builder.Build(), NeverCancelled());
    EXPECT_EQ(hashes[0], hashes[1]);
    EXPECT_EQ(hashes[2], hashes[3]);
    EXPECT_NE(hashes[0], hashes[2]);
}

TEST(RowHash, PositionMattersAndIgnoredColumnsDoNot) {
    TableBuilder swapped;
    swapped.Floats("a", {1.0f, 2.0f})
        .Floats("b", {2.0f, 1.0f})
        .Floats("ignored", {5.0f, 6.0f}, ColumnRole::kIgnored);
    const std::vector<uint64_t> hashes = *HashRows(swapped.Build(), NeverCancelled());
    EXPECT_NE(hashes[0], hashes[1]);
    TableBuilder without;
    without.Floats("a", {1.0f, 2.0f}).Floats("b", {2.0f, 1.0f});
    EXPECT_EQ(*HashRows(without.Build(), NeverCancelled()), hashes);
}

TEST(RowHash, CanonicalOrderIsByHashThenNumber) {
    RandomStream random(3);
    for (const size_t count : {0u, 1u, 1000u, 9000u, 300000u}) {
        SCOPED_TRACE(count);
        std::vector<uint64_t> hashes(count);
        std::vector<uint32_t> rows;
        for (size_t row = 0; row < count; ++row) {
            // some repeat, and many share their first bits
            hashes[row] = row % 3 == 0 ? random.NextBelow(40) : Mix64(random.NextBelow(1u << 30));
            if (row % 7 != 0)
                rows.push_back(static_cast<uint32_t>(row));
        }
        std::vector<uint32_t> expected = rows;
        std::sort(expected.begin(), expected.end(), [&hashes](uint32_t a, uint32_t b) {
            return hashes[a] != hashes[b] ? hashes[a] < hashes[b] : a < b;
        });
        EXPECT_EQ(*CanonicalOrder(hashes, rows, NeverCancelled()), expected);
    }
}

TEST(RowHash, FingerprintCountsRepeats) {
    const uint64_t once[] = {11, 22};
    const uint64_t twice[] = {11, 11, 22, 22};
    const uint64_t lopsided[] = {11, 11, 11, 22};
    EXPECT_EQ(DataFingerprint(once).size(), 32u);
    EXPECT_NE(DataFingerprint(once), DataFingerprint(twice));
    EXPECT_NE(DataFingerprint(lopsided), DataFingerprint(twice));
}

}  // namespace
}  // namespace dlent
