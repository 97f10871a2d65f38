#pragma once

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// The double nearest to a numeric, as numeric::float8 gives it, without going through text for values of up
/// to 16 digits. NaN and the infinities map to themselves. May raise a PostgreSQL error (out of memory).
double DoubleOfNumeric(Datum numeric);

}  // namespace dlent::pg
