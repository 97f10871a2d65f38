#pragma once

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// Keeps the extension from being dropped until the transaction ends, after waiting for one who is about to;
/// the extension's OID, or InvalidOid when there is none. An extension that was dropped and created anew is
/// another. Raises PostgreSQL errors.
Oid LockExtension();

}  // namespace dlent::pg
