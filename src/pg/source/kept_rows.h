#pragma once

#include <functional>
#include <memory>
#include <string>

#include "pg/source/training_columns.h"

namespace dlent::pg {

/// The rows of a training, and how they came.
struct TrainingTable {
    std::shared_ptr<const ColumnarTable> table;
    int workers = 0;      ///< that helped to read it
    bool reused = false;  ///< a training before this one has read it
};

/// Reads the rows of a training, as ReadTrainingTable() does, or takes those that the last one of the same
/// transaction has read, where reading them again would give the same table to the byte: the session has kept
/// them if they take no more than dlent.kept_rows_memory. docs/architecture.md, "Kept rows", says when that
/// is certain. Privileges are checked either way. `snapshot` is the active one (ReadPoint).
TrainingTable ReadOrReuseTrainingTable(Source* source, const TrainingColumns& columns,
                                       const std::string& snapshot, size_t memory_limit,
                                       const std::function<void(uint64_t)>& on_rows);

/// Lets the kept rows go. Never raises an error.
void ForgetKeptRows();

/// To be called once, from _PG_init().
void RegisterKeptRowsCallbacks();

}  // namespace dlent::pg
