#pragma once

#include "pg/bridge/postgres.h"

extern "C" {
#include "nodes/plannodes.h"
}

namespace dlent::pg {

/// Spells out the whole rows that scoring calls of a table's scan take:
/// dlent_predict_version('m', 7, t) becomes dlent_predict_version('m', 7, t.a, t.b, ...), and the scan builds
/// no composite value of its row. Changes `plan` when it is a scan; raises PostgreSQL errors.
void ExpandWholeRows(Plan* plan, List* range_table);

}  // namespace dlent::pg
