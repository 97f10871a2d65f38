#include "pg/bridge/postgres.h"

#include "pg/source/row_encoder.h"

#include "pg/bridge/text.h"

namespace dlent::pg {

RowEncoder::RowEncoder(const std::vector<TrainingColumns::Column>& columns, CategoryCoder* coder) {
    scratch_ = CallPostgres([] {
        return AllocSetContextCreate(CurrentMemoryContext, "dlent row decoding", ALLOCSET_SMALL_SIZES);
    });
    std::vector<RowDecoder::Column> decoders;
    for (size_t i = 0; i < columns.size(); ++i) {
        DecodeTarget target;
        target.name = FromUtf8(columns[i].definition.name);
        target.kind = columns[i].definition.kind;
        target.width = columns[i].definition.width;
        target.coder = coder;
        target.coder_column = static_cast<int>(i);
        decoders.push_back({columns[i].attribute, ValueDecoder::Create(target, columns[i].type)});
    }
    rows_ = RowDecoder(std::move(decoders));
    cells_.resize(static_cast<size_t>(rows_.cell_count()));
}

const Cell* RowEncoder::Encode(TupleTableSlot* slot) {
    if (DecodeStored(slot))
        return cells_.data();
    if (++rows_since_reset_ == kRowsBetweenResets) {
        MemoryContextReset(scratch_);
        rows_since_reset_ = 0;
    }
    slot_getsomeattrs(slot, rows_.attributes_needed());
    const MemoryContext previous = MemoryContextSwitchTo(scratch_);
    rows_.Decode(slot->tts_values, slot->tts_isnull, cells_.data());
    MemoryContextSwitchTo(previous);
    return cells_.data();
}

bool RowEncoder::DecodeStored(const TupleTableSlot* slot) {
    const HeapTupleData* const tuple = HeapTupleOf(slot);
    if (tuple == nullptr)
        return false;
    if (slot->tts_tupleDescriptor != described_) {
        described_ = slot->tts_tupleDescriptor;
        fixed_ = FixedTupleDecoder::Create(rows_, described_);
    }
    return fixed_.has_value() && fixed_->Decode(tuple->t_data, cells_.data());
}

}  // namespace dlent::pg
