#pragma once

#include "pg/bridge/postgres.h"
#include "pg/scan/scan_builder.h"

namespace dlent::pg {

/// Scores what `node`, an Agg or WindowAgg, aggregates: its child's output is extended by the scores. Raises
/// PostgreSQL errors.
void BatchArguments(Plan* node, RewriteContext* context);

}  // namespace dlent::pg
