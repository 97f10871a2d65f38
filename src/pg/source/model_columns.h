#pragma once

#include "pg/source/training_columns.h"

namespace dlent::pg {

/// Adds a column of the source that is to be read as a model has it, whatever its type there. 42804 when the
/// type cannot be read as that kind, before any row is read.
void AddModelColumn(const Source& source, int attribute, ColumnDefinition definition,
                    TrainingColumns* columns);

}  // namespace dlent::pg
