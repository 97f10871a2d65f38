#pragma once

#include "pg/bridge/postgres.h"

struct BackgroundWorkerHandle;

namespace dlent::pg {

/// Asks for the process that writes a database's recorded answers and distributions; false when no background
/// worker is free. Raises no error.
bool StartPredictionWriter(Oid database, BackgroundWorkerHandle** handle);

/// Whether something of a database is to be written, and nobody is there to do it.
bool WantsPredictionWriter(Oid database);

}  // namespace dlent::pg
