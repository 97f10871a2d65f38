#include "pg/bridge/postgres.h"

#include "pg/source/table_sink.h"

#include <algorithm>

#include "pg/bridge/memory.h"

extern "C" {
#include "utils/array.h"
}

namespace dlent::pg {
namespace {

constexpr size_t kCheckEvery = 256;
constexpr size_t kReportEvery = 4096;
static_assert(ColumnarTable::kChunkRows % kCheckEvery == 0 && kReportEvery % kCheckEvery == 0);

int ArrayLength(Datum value) {
    ArrayType* const array = DatumGetArrayTypeP(value);
    const int length = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
    if (PointerGetDatum(array) != value)
        pfree(array);
    return length;
}

}  // namespace

size_t BytesOf(const ColumnarTable& table) {
    size_t bytes = table.memory_bytes();
    for (size_t i = 0; i < table.columns().size(); ++i) {
        if (table.columns()[i].kind == ColumnKind::kCategory)
            bytes += table.dictionary(static_cast<int>(i)).memory_bytes();
    }
    return bytes;
}

TableSink::TableSink(const TrainingColumns& plan, size_t memory_limit,
                     const std::function<void(uint64_t)>& on_rows)
    : plan_(plan), memory_limit_(memory_limit), on_rows_(on_rows) {
    kept_ = CallPostgres([] {
        return AllocSetContextCreate(CurrentMemoryContext, "dlent row encoding", ALLOCSET_SMALL_SIZES);
    });
    for (const TrainingColumns::Column& column : plan.columns) {
        attributes_ = std::max(attributes_, column.attribute + 1);
        widths_.push_back(column.definition.width);
    }
    if (std::find(widths_.begin(), widths_.end(), 0) == widths_.end())
        MakeTable();
}

void TableSink::Receive(TupleTableSlot* slot) {
    if (!table_ && !Begin(slot))
        return;
    Append(slot);
}

std::vector<TrainingColumns::Column> TableSink::columns() const {
    std::vector<TrainingColumns::Column> columns = plan_.columns;
    for (size_t i = 0; i < columns.size(); ++i)
        columns[i].definition.width = widths_[i];
    return columns;
}

void TableSink::Append(TablePieceReader* piece) {
    while (piece->rows_left() > 0) {
        CheckChunk();
        const size_t to_check = kCheckEvery - table_->rows() % kCheckEvery;
        if (!piece->MoveTo(&*table_, std::min(to_check, piece->rows_left())))
            throw std::bad_alloc();
        Check();
    }
}

ColumnarTable TableSink::Finish() {
    if (!table_) {
        // no row, or a vector column without a value: it will be left out as empty
        for (int& width : widths_)
            width = std::max(width, 1);
        MakeTable();
        CallPostgres([this] { Replay(); });
    }
    CallPostgres([this] { MemoryContextDelete(kept_); });
    return std::move(*table_);
}

/// Makes the table once all lengths are known; keeps the row for later otherwise.
bool TableSink::Begin(TupleTableSlot* slot) {
    slot_getsomeattrs(slot, attributes_);
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

void TableSink::Keep(TupleTableSlot* slot) {
    const MemoryContext previous = MemoryContextSwitchTo(kept_);
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

void TableSink::Replay() {
    for (int i = 0; i < list_length(waiting_); ++i) {
        ExecStoreMinimalTuple(static_cast<MinimalTuple>(list_nth(waiting_, i)), waiting_slot_, true);
        Append(waiting_slot_);
    }
    if (waiting_slot_ != nullptr)
        ExecDropSingleTupleTableSlot(waiting_slot_);
    waiting_slot_ = nullptr;
    waiting_ = NIL;
    waiting_bytes_ = 0;
}

void TableSink::MakeTable() {
    const std::vector<TrainingColumns::Column> known = columns();
    table_.emplace(DefinitionsOf(known));
    coder_.emplace(&*table_);
    const ContextScope context(kept_);
    encoder_.emplace(known, &*coder_);
}

void TableSink::Append(TupleTableSlot* slot) {
    const Cell* cells = encoder_->Encode(slot);
    CheckChunk();
    if (!table_->BeginRow())
        throw std::bad_alloc();
    for (int cell = 0; cell < encoder_->cell_count(); ++cell)
        table_->SetCode(cell, cells[cell].code);
    table_->CommitRow();
    Check();
}

/// Before a row that begins a chunk.
void TableSink::CheckChunk() const {
    if (table_->rows() % ColumnarTable::kChunkRows == 0)
        CheckMemory(table_->chunk_bytes());
}

/// After a row.
void TableSink::Check() const {
    if (table_->rows() % kCheckEvery != 0)
        return;
    CheckMemory(0);
    if (table_->rows() % kReportEvery == 0)
        on_rows_(table_->rows());
}

void TableSink::CheckMemory(size_t wanted) const {
    if (BytesOf(*table_) + wanted > memory_limit_)
        ThrowOverLimit();
}

void TableSink::ThrowOverLimit() const {
    throw SqlError(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
                   "the rows of the source take more than dlent.max_training_memory (" +
                       std::to_string(memory_limit_ >> 20) + " MB)",
                   std::to_string(table_ ? table_->rows() : 0) + " rows were read.",
                   "Read fewer rows (LIMIT, TABLESAMPLE, a WHERE clause), select fewer columns, or raise "
                   "dlent.max_training_memory.");
}

}  // namespace dlent::pg
