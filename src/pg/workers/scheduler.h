#pragma once

#include "pg/bridge/postgres.h"

struct BackgroundWorkerHandle;

namespace dlent::pg {

/// Asks for the scheduler of a database; false when no background worker is free. Raises no error.
bool StartScheduler(Oid database, BackgroundWorkerHandle** handle);

/// Registers the launcher, and the hook by which DROP DATABASE and others get a database to themselves. To be
/// called from _PG_init(); without effect unless the library is being preloaded, or under pg_upgrade.
void RegisterLauncherWorker();
void InstallDatabaseHook();

}  // namespace dlent::pg
