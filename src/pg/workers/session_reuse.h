#pragma once

#include "pg/bridge/postgres.h"

namespace dlent::pg {

// A worker's session that runs one job after another. Functions for frames without destructors.

/// What a new session of `role` in this database is made from: the role, the database, and the settings that
/// either has, as one number. A session whose origin has changed is not what a new one would be. Needs a
/// transaction.
uint64_t SessionOrigin(Oid role);

/// Makes the session as it was when it began, as DISCARD ALL does: settings, session user, temporary tables,
/// prepared statements, cursors, sequences, LISTEN, and every advisory lock, the worker's own among them. In
/// a transaction that has done nothing yet.
void ResetSession();

}  // namespace dlent::pg
