#include "core/features/table_piece.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "core/base/random.h"
#include "table_testing.h"

namespace dlent {
namespace {

const std::vector<ColumnDefinition>& Columns() {
    static const std::vector<ColumnDefinition> columns = {
        {"x", ColumnKind::kNumeric, ColumnRole::kTarget, 1, "real"},
        {"c", ColumnKind::kCategory, ColumnRole::kFeature, 1, "text"},
        {"v", ColumnKind::kVector, ColumnRole::kFeature, 3, "real[]"},
        {"d", ColumnKind::kCategory, ColumnRole::kFeature, 1, "text"}};
    return columns;
}
constexpr int kCells = 6;

/// A row by its number: NULLs, a NaN with a payload, common and rare levels, an empty text.
struct Row {
    explicit Row(size_t row) {
        RandomStream random(7, row);
        cells[0].f = row % 5 == 0 ? ColumnarTable::kNull : static_cast<float>(row);
        if (row % 11 == 0)
            cells[0].code = 0x7fc12345;
        for (int i = 2; i < 5; ++i)
            cells[i].f = random.NextFloat();
        has_common = row % 7 != 0;
        common = "level " + std::to_string(random.NextBelow(9));
        rare = row % 13 == 0 ? "" : "rare " + std::to_string(random.NextBelow(5000));
    }
    Cell cells[kCells];
    bool has_common;
    std::string common;
    std::string rare;
};

void AppendTo(ColumnarTable* table, size_t number) {
    const Row row(number);
    ASSERT_TRUE(table->BeginRow());
    for (int cell = 0; cell < kCells; ++cell)
        table->SetCode(cell, row.cells[cell].code);
    table->SetCode(1, row.has_common ? table->dictionary(1).Intern(row.common) : ColumnarTable::kNullCode);
    table->SetCode(5, table->dictionary(3).Intern(row.rare));
    table->CommitRow();
}

void AppendTo(TablePiece* piece, size_t number) {
    Row row(number);
    row.cells[1].code = row.has_common ? piece->Intern(1, row.common) : ColumnarTable::kNullCode;
    row.cells[5].code = piece->Intern(3, row.rare);
    piece->Append(row.cells);
}

/// A piece on its way.
class Image {
 public:
    explicit Image(const TablePiece& piece) : bytes_(piece.image_bytes() / sizeof(uint64_t) + 2, kGuard) {
        piece.WriteImage(data());
        std::vector<char> expected(sizeof(uint64_t), static_cast<char>(0xa5));
        EXPECT_EQ(std::memcmp(data() + piece.image_bytes(), expected.data(), expected.size()), 0)
            << "more was written than image_bytes()";
    }
    char* data() { return reinterpret_cast<char*>(bytes_.data()); }

 private:
    static constexpr uint64_t kGuard = 0xa5a5a5a5a5a5a5a5;
    std::vector<uint64_t> bytes_;
};

void ExpectSame(const ColumnarTable& actual, const ColumnarTable& expected) {
    ASSERT_EQ(actual.rows(), expected.rows());
    ASSERT_EQ(actual.chunk_count(), expected.chunk_count());
    for (int cell = 0; cell < kCells; ++cell) {
        for (size_t row = 0; row < actual.rows(); ++row)
            ASSERT_EQ(actual.Code(cell, row), expected.Code(cell, row)) << "cell " << cell << ", row " << row;
    }
    for (const int column : {1, 3}) {
        const Dictionary& levels = expected.dictionary(column);
        ASSERT_EQ(actual.dictionary(column).size(), levels.size());
        EXPECT_EQ(actual.dictionary(column).memory_bytes(), levels.memory_bytes());
        for (int32_t code = 0; code < levels.size(); ++code)
            ASSERT_EQ(actual.dictionary(column).Text(code), levels.Text(code));
    }
}

/// Rows in pieces of so many are the rows appended one by one, whatever the steps in which they move.
void ExpectSameInPieces(size_t piece_rows, size_t step) {
    const size_t rows = ColumnarTable::kChunkRows * 2 + 17;
    ColumnarTable expected(Columns());
    ColumnarTable actual(Columns());
    TablePiece piece(Columns(), piece_rows);
    for (size_t row = 0; row < rows; ++row) {
        AppendTo(&expected, row);
        AppendTo(&piece, row);
        if (!piece.is_full() && row + 1 < rows)
            continue;
        Image image(piece);
        piece.Clear();
        TablePieceReader reader(Columns(), image.data());
        while (reader.rows_left() > 0)
            ASSERT_TRUE(reader.MoveTo(&actual, std::min(step, reader.rows_left())));
    }
    ExpectSame(actual, expected);
}

TEST(TablePiece, PutsTheTableTogetherThatRowsWouldHaveMade) {
    ExpectSameInPieces(1, 1);
    ExpectSameInPieces(100, 7);
    ExpectSameInPieces(ColumnarTable::kChunkRows, 256);
    ExpectSameInPieces(5000, 5000);
}

TEST(TablePiece, WithoutRowsAddsNothing) {
    ColumnarTable table(Columns());
    const TablePiece piece(Columns(), 8);
    Image image(piece);
    const TablePieceReader reader(Columns(), image.data());
    EXPECT_EQ(reader.rows_left(), 0u);
    EXPECT_EQ(table.rows(), 0u);
}

TEST(TablePiece, IsFullWhenItsTextsAreLarge) {
    TablePiece piece(Columns(), 1000);
    const std::string large(300000, 'x');
    for (const char* prefix : {"a", "b", "a", "c", "b"})
        piece.Intern(1, prefix + large);
    EXPECT_FALSE(piece.is_full());
    piece.Intern(3, "a" + large);
    EXPECT_TRUE(piece.is_full());
    piece.Clear();
    EXPECT_FALSE(piece.is_full());
    EXPECT_EQ(piece.Intern(1, "d" + large), 0);
}

TEST(TablePiece, LetsAFullDictionaryCountWhatItHasNoRoomFor) {
    const std::vector<ColumnDefinition> columns = {
        {"c", ColumnKind::kCategory, ColumnRole::kFeature, 1, "text"}};
    ColumnarTable table(columns);
    table.dictionary(0) = Dictionary(2);
    TablePiece piece(columns, 8);
    for (const char* text : {"a", "b", "c", "a", "c", "d"}) {
        const Cell cell{.code = piece.Intern(0, text)};
        piece.Append(&cell);
    }
    Image image(piece);
    TablePieceReader reader(columns, image.data());
    ASSERT_TRUE(reader.MoveTo(&table, reader.rows_left()));
    std::vector<int32_t> codes;
    for (size_t row = 0; row < table.rows(); ++row)
        codes.push_back(table.Code(0, row));
    constexpr int32_t kOver = Dictionary::kOverflow;
    EXPECT_EQ(codes, (std::vector<int32_t>{0, 1, kOver, 0, kOver, kOver}));
    EXPECT_EQ(table.dictionary(0).overflow_count(), 3);
}

TEST(TablePiece, HasARoomThatFitsItsRows) {
    EXPECT_EQ(TablePiece::UsualCapacity(1), ColumnarTable::kChunkRows);
    EXPECT_EQ(TablePiece::UsualCapacity(1024), 128u);
    EXPECT_EQ(TablePiece::UsualCapacity(1 << 20), 16u);
}

}  // namespace
}  // namespace dlent
