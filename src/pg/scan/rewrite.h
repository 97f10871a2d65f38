#pragma once

#include "pg/bridge/postgres.h"

extern "C" {
#include "nodes/plannodes.h"
}

namespace dlent::pg {

/// Rewrites a finished plan so that scoring calls are answered in batches: every call that is evaluated for
/// each row of a node is taken out of it and computed by a Custom Scan (DlentScore) above it (or below it,
/// for the arguments of aggregates and window functions). Calls that are conditional, volatile in their
/// features, or part of a plan that locks or changes rows stay as they are: the function itself is the
/// fallback everywhere. Changes `statement` in place; raises PostgreSQL errors.
void BatchScoreCalls(PlannedStmt* statement, int cursor_options);

/// Whether a scoring call is left in some expression of the statement's plans.
bool HasScoreCalls(PlannedStmt* statement);

}  // namespace dlent::pg
