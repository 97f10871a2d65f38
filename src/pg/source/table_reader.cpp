#include "pg/bridge/postgres.h"

#include "pg/source/table_reader.h"

#include <algorithm>
#include <array>
#include <optional>

#include "pg/bridge/memory.h"
#include "pg/bridge/text.h"
#include "pg/source/decode.h"

extern "C" {
#include "utils/array.h"
}

namespace dlent::pg {
namespace {

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

int ArrayLength(Datum value) {
    ArrayType* const array = DatumGetArrayTypeP(value);
    const int length = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
    if (PointerGetDatum(array) != value)
        pfree(array);
    return length;
}

/// Encodes the rows of a source into a table.
class TableSink final : public RowSink {
 public:
    TableSink(const TrainingColumns& plan, size_t memory_limit, const std::function<void(uint64_t)>& on_rows)
        : plan_(plan), memory_limit_(memory_limit), on_rows_(on_rows) {
        // Decoding leaves small garbage here; it is cleared every few hundred rows.
        scratch_ = CallPostgres([] {
            return AllocSetContextCreate(CurrentMemoryContext, "dlent row decoding", ALLOCSET_SMALL_SIZES);
        });
        decoders_ = CallPostgres([] {
            return AllocSetContextCreate(CurrentMemoryContext, "dlent row decoders", ALLOCSET_SMALL_SIZES);
        });
        for (const TrainingColumns::Column& column : plan.columns) {
            attributes_ = std::max(attributes_, column.attribute + 1);
            widths_.push_back(column.definition.width);
        }
    }

    void Receive(TupleTableSlot* slot) override {
        slot_getsomeattrs(slot, attributes_);
        if (!table_ && !Begin(slot))
            return;
        Append(slot);
    }

    /// The table, after the last row.
    ColumnarTable Finish() {
        if (!table_) {
            // no row, or a vector column without a value: it will be left out as empty
            for (int& width : widths_)
                width = std::max(width, 1);
            MakeTable();
            CallPostgres([this] { Replay(); });
        }
        CallPostgres([this] {
            MemoryContextDelete(scratch_);
            MemoryContextDelete(decoders_);
        });
        return std::move(*table_);
    }

 private:
    static constexpr uint64_t kCheckEvery = 256;
    static constexpr uint64_t kReportEvery = 4096;

    /// Makes the table once all lengths are known; keeps the row for later otherwise.
    bool Begin(TupleTableSlot* slot) {
        bool known = true;
        for (size_t i = 0; i < widths_.size(); ++i) {
            const int attribute = plan_.columns[i].attribute;
            if (widths_[i] == 0 && !slot->tts_isnull[attribute])
                widths_[i] = ArrayLength(slot->tts_values[attribute]);
            known = known && widths_[i] > 0;
        }
        if (!known) {
            Keep(slot);
            return false;
        }
        MakeTable();
        Replay();
        return true;
    }

    void Keep(TupleTableSlot* slot) {
        const MemoryContext previous = MemoryContextSwitchTo(decoders_);
        if (waiting_slot_ == nullptr)
            // the source's own description ends with it, before rows that waited to its end are read
            waiting_slot_ =
                MakeSingleTupleTableSlot(CreateTupleDescCopy(slot->tts_tupleDescriptor), &TTSOpsMinimalTuple);
        MinimalTuple tuple = ExecCopySlotMinimalTuple(slot);
        waiting_ = lappend(waiting_, tuple);
        MemoryContextSwitchTo(previous);
        waiting_bytes_ += tuple->t_len;
        if (waiting_bytes_ > memory_limit_)
            ThrowOverLimit();
    }

    void Replay() {
        for (int i = 0; i < list_length(waiting_); ++i) {
            ExecStoreMinimalTuple(static_cast<MinimalTuple>(list_nth(waiting_, i)), waiting_slot_, true);
            slot_getsomeattrs(waiting_slot_, attributes_);
            Append(waiting_slot_);
        }
        if (waiting_slot_ != nullptr)
            ExecDropSingleTupleTableSlot(waiting_slot_);
        waiting_slot_ = nullptr;
        waiting_ = NIL;
        waiting_bytes_ = 0;
    }

    void MakeTable() {
        std::vector<ColumnDefinition> definitions;
        for (size_t i = 0; i < plan_.columns.size(); ++i) {
            definitions.push_back(plan_.columns[i].definition);
            definitions.back().width = widths_[i];
        }
        table_.emplace(std::move(definitions));
        coder_.emplace(&*table_);
        const ContextScope context(decoders_);
        std::vector<RowDecoder::Column> columns;
        for (size_t i = 0; i < plan_.columns.size(); ++i) {
            const TrainingColumns::Column& column = plan_.columns[i];
            DecodeTarget target;
            target.name = FromUtf8(column.definition.name);
            target.kind = column.definition.kind;
            target.width = widths_[i];
            target.coder = &*coder_;
            target.coder_column = static_cast<int>(i);
            columns.push_back({column.attribute, ValueDecoder::Create(target, column.type)});
        }
        decoder_ = RowDecoder(std::move(columns));
        cells_.resize(decoder_.cell_count());
    }

    void Append(TupleTableSlot* slot) {
        const MemoryContext previous = MemoryContextSwitchTo(scratch_);
        decoder_.Decode(slot->tts_values, slot->tts_isnull, cells_.data());
        MemoryContextSwitchTo(previous);
        if (table_->rows() % ColumnarTable::kChunkRows == 0)
            CheckMemory(table_->chunk_bytes());
        if (!table_->BeginRow())
            throw std::bad_alloc();
        for (int cell = 0; cell < decoder_.cell_count(); ++cell)
            table_->SetCode(cell, cells_[cell].code);
        table_->CommitRow();
        if (table_->rows() % kCheckEvery == 0)
            Check();
    }

    void Check() {
        MemoryContextReset(scratch_);
        CheckMemory(0);
        if (table_->rows() % kReportEvery == 0)
            on_rows_(table_->rows());
    }

    void CheckMemory(size_t wanted) const {
        size_t bytes = table_->memory_bytes() + wanted;
        for (size_t i = 0; i < plan_.columns.size(); ++i) {
            if (plan_.columns[i].definition.kind == ColumnKind::kCategory)
                bytes += table_->dictionary(static_cast<int>(i)).memory_bytes();
        }
        if (bytes > memory_limit_)
            ThrowOverLimit();
    }

    [[noreturn]] void ThrowOverLimit() const {
        throw SqlError(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
                       "the rows of the source take more than dlent.max_training_memory (" +
                           std::to_string(memory_limit_ >> 20) + " MB)",
                       std::to_string(table_ ? table_->rows() : 0) + " rows were read.",
                       "Read fewer rows (LIMIT, TABLESAMPLE, a WHERE clause), select fewer columns, or raise "
                       "dlent.max_training_memory.");
    }

    const TrainingColumns& plan_;
    const size_t memory_limit_;
    const std::function<void(uint64_t)>& on_rows_;
    MemoryContext scratch_ = nullptr;
    MemoryContext decoders_ = nullptr;
    int attributes_ = 0;
    std::vector<int> widths_;
    std::optional<ColumnarTable> table_;
    std::optional<InterningCoder> coder_;
    RowDecoder decoder_;
    std::vector<Cell> cells_;
    List* waiting_ = NIL;  ///< MinimalTuples
    TupleTableSlot* waiting_slot_ = nullptr;
    size_t waiting_bytes_ = 0;
};

}  // namespace

ColumnarTable ReadTrainingTable(Source* source, const TrainingColumns& plan, size_t memory_limit,
                                const std::function<void(uint64_t)>& on_rows) {
    TableSink sink(plan, memory_limit, on_rows);
    source->Read(&sink);
    return sink.Finish();
}

}  // namespace dlent::pg
