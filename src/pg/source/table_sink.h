#pragma once

#include <optional>

#include "core/features/table_piece.h"
#include "pg/source/row_encoder.h"

namespace dlent::pg {

/// What a table holds, dictionaries and all.
size_t BytesOf(const ColumnarTable& table);

/// Makes a table of the rows of a source, which come one by one or, encoded, in pieces. Says how many there
/// are so far every few thousand rows, and checks the memory they take at the same numbers of rows either
/// way.
class TableSink final : public RowSink {
 public:
    /// See ReadTrainingTable(). The arguments must outlive it.
    TableSink(const TrainingColumns& plan, size_t memory_limit, const std::function<void(uint64_t)>& on_rows);

    void Receive(TupleTableSlot* slot) override;

    /// Whether the lengths of all vectors are known. Rows that come before are kept as they are.
    bool is_begun() const { return table_.has_value(); }
    /// The columns with their lengths, and pieces: once it is begun.
    std::vector<TrainingColumns::Column> columns() const;
    void Append(TablePieceReader* piece);

    /// The table, after the last row.
    ColumnarTable Finish();

 private:
    /// Codes of a training: whatever comes first gets the next number.
    class InterningCoder final : public CategoryCoder {
     public:
        explicit InterningCoder(ColumnarTable* table) : table_(table) {}
        int32_t Code(int column, std::string_view text) override {
            return table_->dictionary(column).Intern(text);
        }
        int32_t NullCode(int) const override { return ColumnarTable::kNullCode; }

     private:
        ColumnarTable* table_;
    };

    bool Begin(TupleTableSlot* slot);
    void Keep(TupleTableSlot* slot);
    void Replay();
    void MakeTable();
    void Append(TupleTableSlot* slot);
    void CheckChunk() const;
    void Check() const;
    void CheckMemory(size_t wanted) const;
    [[noreturn]] void ThrowOverLimit() const;

    const TrainingColumns& plan_;
    const size_t memory_limit_;
    const std::function<void(uint64_t)>& on_rows_;
    int attributes_ = 0;
    std::vector<int> widths_;
    std::optional<ColumnarTable> table_;
    std::optional<InterningCoder> coder_;
    std::optional<RowEncoder> encoder_;
    MemoryContext kept_;   ///< for what outlives a row
    List* waiting_ = NIL;  ///< MinimalTuples
    TupleTableSlot* waiting_slot_ = nullptr;
    size_t waiting_bytes_ = 0;
};

}  // namespace dlent::pg
