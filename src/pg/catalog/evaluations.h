#pragma once

#include <string>

#include "core/base/json.h"
#include "pg/catalog/models.h"

namespace dlent::pg {

/// Stores what dlent_evaluate() found: `report` is its result, `options` what it was asked with; the current
/// user must be able to predict with the model, which whoever could evaluate it is. Returns the evaluation's
/// number. 25006 in a read-only transaction.
int64_t StoreEvaluation(const VersionIdentity& identity, const std::string& source, const Json& report,
                        const Json& options);

}  // namespace dlent::pg
