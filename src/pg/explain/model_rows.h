#pragma once

#include <string>

#include "core/explain/row_set.h"
#include "core/model/scorer.h"
#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// At most `most` rows of a source as the model reads them, chosen by the seed and, where `outcomes`, among
/// those whose outcome the model knows. The same rows in the same order give the same choice. For C++ frames;
/// can be cancelled. 42703 for columns that are missing, 53400 when the source is larger than
/// dlent.max_training_memory.
RowSet ReadModelRows(const std::string& source_text, Scorer* scorer, bool outcomes, int most, uint64_t seed);

}  // namespace dlent::pg
