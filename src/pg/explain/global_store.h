#pragma once

#include <string>

#include "core/base/json.h"
#include "pg/catalog/models.h"

namespace dlent::pg {

/// Stores what dlent_explain_global found, in place of what was stored for the version before. `rows`: how
/// many were explained; `importances`: objects of class, feature, mean_abs, std_error and rank.
void StoreGlobalExplanation(const VersionIdentity& identity, const std::string* source, size_t rows,
                            const Json& method, const Json& importances);

}  // namespace dlent::pg
