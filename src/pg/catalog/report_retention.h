#pragma once

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// Deletes drift reports and results of expectations that were made before a time, a bounded number, the
/// oldest first; whether there are more. The newest report of each model, and the newest result of each
/// expectation, stay. For C++ frames, inside a transaction.
bool PruneReports(TimestampTz before);

}  // namespace dlent::pg
