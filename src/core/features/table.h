#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/features/dictionary.h"

namespace dlent {

/// What a column means to a network, whatever its PostgreSQL type. Each kind decodes into a fixed number of
/// cells.
enum class ColumnKind : uint8_t {
    kNumeric,    ///< 1 float: integers, floats, numeric
    kBoolean,    ///< 1 float: 0 or 1
    kCategory,   ///< 1 int32 code into the column's dictionary
    kTimestamp,  ///< 7 floats, see TimeCells
    kDate,       ///< 5 floats, see TimeCells
    kTime,       ///< 3 floats, see TimeCells
    kInterval,   ///< 1 float: seconds
    kVector,     ///< `width` floats
};

/// Whether values of a type, as SQL spells it, are whole numbers.
bool IsIntegerType(std::string_view type_name);

const char* ColumnKindName(ColumnKind kind);
Expected<ColumnKind> ParseColumnKind(std::string_view name);

/// One value as a network reads it: a float (NaN = NULL) or a category code (negative = NULL or unknown).
union Cell {
    float f;
    int32_t code;
};

/// What a column is for in one training run.
enum class ColumnRole : uint8_t { kFeature, kTarget, kWeight, kGroup, kOrder, kIgnored };

struct ColumnDefinition {
    std::string name;
    ColumnKind kind = ColumnKind::kNumeric;
    ColumnRole role = ColumnRole::kFeature;
    int width = 1;          ///< cells; CellsOf(kind), or the length of a kVector
    std::string type_name;  ///< as SQL spells it, for messages and lineage
};

/// Rows as a network reads them: float32 cells (NaN = NULL) and int32 category codes (-1 = NULL), column by
/// column in chunks of kChunkRows rows, so that nothing is ever copied to grow. A cell is 4 bytes of either
/// kind.
class ColumnarTable {
 public:
    static constexpr int kChunkRowsLog2 = 12;
    static constexpr size_t kChunkRows = size_t{1} << kChunkRowsLog2;
    static constexpr float kNull = std::numeric_limits<float>::quiet_NaN();
    static constexpr int32_t kNullCode = -1;

    explicit ColumnarTable(std::vector<ColumnDefinition> columns);

    const std::vector<ColumnDefinition>& columns() const { return columns_; }
    /// First cell of a column; its others follow.
    int first_cell(int column) const { return first_cell_[column]; }
    int cell_count() const { return cell_count_; }
    size_t rows() const { return rows_; }
    /// Bytes held by chunks (not dictionaries).
    size_t memory_bytes() const { return chunks_.size() * chunk_bytes(); }
    size_t chunk_bytes() const { return static_cast<size_t>(cell_count_) * kChunkRows * sizeof(float); }

    Dictionary& dictionary(int column) { return *dictionaries_[column]; }
    const Dictionary& dictionary(int column) const { return *dictionaries_[column]; }

    // ---- writing: BeginRow, one Set per cell, CommitRow. A row not committed is overwritten by the next.
    // ----
    /// Makes room for a row at least; false when memory is refused.
    bool BeginRow() { return rows_ < capacity_ || AddChunk(); }
    void SetFloat(int cell, float value) {
        write_base_[static_cast<size_t>(cell) * kChunkRows + write_row_].f = value;
    }
    void SetCode(int cell, int32_t code) {
        write_base_[static_cast<size_t>(cell) * kChunkRows + write_row_].code = code;
    }
    void CommitRow() { CommitRows(1); }
    // ---- writing several: BeginRow, up to room() cells from each WritePlace, CommitRows ----
    size_t room() const { return capacity_ - rows_; }
    Cell* WritePlace(int cell) { return write_base_ + static_cast<size_t>(cell) * kChunkRows + write_row_; }
    void CommitRows(size_t count) {
        rows_ += count;
        write_row_ += count;
    }

    // ---- reading ----
    float Float(int cell, size_t row) const { return At(cell, row).f; }
    int32_t Code(int cell, size_t row) const { return At(cell, row).code; }
    /// The kChunkRows values of a cell in one chunk (the last chunk is filled up to rows()).
    const float* FloatChunk(int cell, size_t chunk) const {
        return &chunks_[chunk][static_cast<size_t>(cell) * kChunkRows].f;
    }
    const int32_t* CodeChunk(int cell, size_t chunk) const {
        return &chunks_[chunk][static_cast<size_t>(cell) * kChunkRows].code;
    }
    size_t chunk_count() const { return chunks_.size(); }

 private:
    bool AddChunk();
    const Cell& At(int cell, size_t row) const {
        return chunks_[row >> kChunkRowsLog2]
                      [static_cast<size_t>(cell) * kChunkRows + (row & (kChunkRows - 1))];
    }

    std::vector<ColumnDefinition> columns_;
    std::vector<int> first_cell_;
    int cell_count_ = 0;
    size_t rows_ = 0;
    size_t capacity_ = 0;
    size_t write_row_ = 0;
    Cell* write_base_ = nullptr;
    std::vector<std::unique_ptr<Cell[]>> chunks_;
    std::vector<std::unique_ptr<Dictionary>> dictionaries_;  ///< null for columns that are not categories
};

/// Cells of a time value, computed the same way at training and scoring, always in UTC.
/// kTimestamp: days since 2000-01-01 (fractional), sin/cos of the time of day, of the day of week, of the day
/// of year. kDate: the same without the time of day. kTime: seconds since midnight, sin/cos of the time of
/// day. `microseconds` since 2000-01-01 00:00 UTC; the infinities become NULL cells.
void TimestampCells(int64_t microseconds, float* cells);
void DateCells(int32_t days, float* cells);
void TimeCells(int64_t microseconds, float* cells);
/// Suffixes naming the cells ("", "time_of_day_sin", ...), for reports.
const char* CellSuffix(ColumnKind kind, int cell);
int CellsOf(ColumnKind kind);

}  // namespace dlent
