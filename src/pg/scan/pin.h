#pragma once

#include "pg/bridge/postgres.h"

extern "C" {
#include "nodes/params.h"
#include "nodes/parsenodes.h"
}

namespace dlent::pg {

/// Names the version in every scoring call of `query` whose model is known, as the current user may call it
/// under the active snapshot: a statement then never mixes versions, on however many nodes it runs. Calls
/// that take part in a rollout stay as they are. True when the query has scoring calls at all. Changes
/// `query` in place; raises PostgreSQL errors.
bool PinVersions(Query* query, ParamListInfo parameters);

}  // namespace dlent::pg
