#pragma once

#include "pg/source/decode.h"
#include "pg/source/training_columns.h"

namespace dlent::pg {

/// Turns the rows of a source into the cells of a training's columns.
class RowEncoder {
 public:
    /// The lengths of vectors must be known. `coder` gives the codes of categories, by the index of the
    /// column. Handles of functions and the like live in the current memory context, until it is deleted.
    /// Throws PgError.
    RowEncoder(const std::vector<TrainingColumns::Column>& columns, CategoryCoder* coder);

    int cell_count() const { return rows_.cell_count(); }
    /// All cells of a row, until the next call. Under the rules of ValueDecoder::Decode().
    const Cell* Encode(TupleTableSlot* slot);
    /// Asks the coder again for every code: to be called when its codes are no longer those it gave.
    void ForgetCodes() { rows_.ForgetCodes(); }

 private:
    static constexpr int kRowsBetweenResets = 256;

    /// Writes the cells of a tuple that need no deforming.
    bool DecodeStored(const TupleTableSlot* slot);

    MemoryContext scratch_;  ///< decoding leaves small garbage here
    RowDecoder rows_;
    TupleDesc described_ = nullptr;           ///< by the slot before
    std::optional<FixedTupleDecoder> fixed_;  ///< for tuples described so
    std::vector<Cell> cells_;
    int rows_since_reset_ = 0;
};

}  // namespace dlent::pg
