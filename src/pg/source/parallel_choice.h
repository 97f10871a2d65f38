#pragma once

#include "pg/source/training_columns.h"

namespace dlent::pg {

/// With how many parallel workers the rows of a source are to be read, beside this process; 0 where workers
/// are not allowed, would not pay, or could read other rows, in another order, than the plan does.
///
/// They are asked for where the plan is one of sequential scans of permanent or unlogged heaps (BlockScansOf)
/// and all that it computes is parallel safe, as is what turns values into categories. Their number follows
/// from the length of the tables as for a parallel scan (min_parallel_table_scan_size, the tables' option
/// parallel_workers, max_parallel_workers_per_gather); parallel_setup_cost is held against the plan's cost
/// and cpu_operator_cost for each cell. debug_parallel_query asks for one worker at least. Throws PgError.
int ChooseParallelWorkers(const Source& source, const TrainingColumns& columns);

}  // namespace dlent::pg
