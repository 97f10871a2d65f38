#pragma once

#include "pg/source/training_columns.h"

namespace dlent::pg {

/// Runs `source` and encodes its rows in one pass: no copy of them exists as text or as Datums. Rows that
/// come before the length of every vector column is known are the exception; they wait as tuples. 53400 with
/// a hint when the encoded rows would take more than `memory_limit` bytes. `on_rows` is called every few
/// thousand rows with their number so far; it must not call PostgreSQL. Parallel workers read with this
/// process where that pays (ChooseParallelWorkers), to the same table; `workers` is set to their number.
/// Rows that the session has kept (kept_rows.h) make way.
ColumnarTable ReadTrainingTable(Source* source, const TrainingColumns& plan, size_t memory_limit,
                                const std::function<void(uint64_t)>& on_rows, int* workers = nullptr);

}  // namespace dlent::pg
