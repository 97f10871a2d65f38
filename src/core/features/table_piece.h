#pragma once

#include "core/features/table.h"

namespace dlent {

/// Rows that are encoded apart from the table they belong to, by another process or before it is their turn.
/// Categories have codes of the piece's own, in order of first sight; a TablePieceReader gives them those of
/// the table. Holds `capacity` rows at most, and is full earlier when the texts of its categories are large.
class TablePiece {
 public:
    TablePiece(const std::vector<ColumnDefinition>& columns, size_t capacity);

    /// Rows of so many cells for which a piece is neither too small to be worth sending nor a burden.
    static size_t UsualCapacity(int cells);

    size_t rows() const { return rows_; }
    bool is_full() const { return rows_ == capacity_ || text_bytes_ >= kMostTextBytes; }

    /// The piece's code of a text in a category column.
    int32_t Intern(int column, std::string_view text);
    /// Takes all cells of a row. The piece must not be full.
    void Append(const Cell* row);
    /// Forgets rows and codes.
    void Clear();

    /// The rows as bytes without a pointer, for TablePieceReader in a process of the same build. `image` is
    /// aligned for a Cell.
    size_t image_bytes() const;
    void WriteImage(char* image) const;

 private:
    static constexpr size_t kMostTextBytes = size_t{1} << 20;

    size_t capacity_;
    size_t
        stride_;  ///< an odd number of cache lines: a row's cells must not compete for one set of the cache
    size_t cell_count_ = 0;
    size_t rows_ = 0;
    size_t text_bytes_ = 0;
    std::vector<Cell> cells_;                                ///< column by column
    std::vector<std::unique_ptr<Dictionary>> dictionaries_;  ///< null for columns that are not categories
};

/// Moves the rows of a piece, in order, to the end of a table of the same columns. The table's dictionaries
/// see the texts in the order in which appending row by row would have shown them.
class TablePieceReader {
 public:
    /// `image` must outlive the reader, and has been written by a piece of the same columns.
    TablePieceReader(const std::vector<ColumnDefinition>& columns, const char* image);

    size_t rows_left() const { return rows_ - next_row_; }
    /// Moves the next `count` rows, which must be left; false when memory is refused.
    bool MoveTo(ColumnarTable* table, size_t count);

 private:
    struct Category {
        int column;
        int cell;
        std::vector<std::string_view> texts;  ///< by the piece's code
        std::vector<int32_t> codes;           ///< the table's, kAbsent until a row has needed it
    };

    void MoveCategory(Category* category, size_t count, ColumnarTable* table) const;

    size_t rows_ = 0;
    size_t next_row_ = 0;
    const Cell* cells_ = nullptr;
    std::vector<int> plain_cells_;  ///< which cells are no codes
    std::vector<Category> categories_;
};

}  // namespace dlent
