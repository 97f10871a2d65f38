#pragma once

#include "pg/source/table_sink.h"

namespace dlent::pg {

/// Reads a source together with up to `workers` parallel workers (ChooseParallelWorkers) and gives `sink` the
/// rows that Source::Read() would give it, in the same order. Works with the workers that there are, none
/// included, and returns how many there were. Their errors are raised here.
int ReadInParallel(const Source& source, int workers, TableSink* sink);

}  // namespace dlent::pg
