#pragma once

#include "pg/bridge/postgres.h"

extern "C" {
#include "nodes/plannodes.h"
}

namespace dlent::pg {

/// Spells out the whole rows that scoring calls of a table's scan take:
/// dlent_predict_version('m', 7, t) becomes dlent_predict_version('m', 7, t.a, t.b, ...), and the scan builds
/// no composite value of its row. The arms of a rollout may read different columns: dlent_predict('m', t)
/// becomes dlent_predict('m', ROW(t.unit, t.a, t.b, ...)), a row of all of them by name, which the batching
/// node takes apart without building it. Changes `plan` when it is a scan; raises PostgreSQL errors.
void ExpandWholeRows(Plan* plan, List* range_table);

}  // namespace dlent::pg
