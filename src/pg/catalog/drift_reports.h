#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/drift/profile.h"
#include "pg/catalog/models.h"

namespace dlent::pg {

/// dlent.version.reference of a version; an empty object where it has none.
struct StoredReference {
    Json json;
};
StoredReference ReadStoredReference(int64_t version_id);

/// Stores the rows of a report; the current user must be able to predict with the model, which whoever could
/// make the report is. Returns the report's number.
int64_t StoreDriftReport(const VersionIdentity& identity, const std::string& source,
                         const std::string& profile, const std::vector<DriftFinding>& findings);

}  // namespace dlent::pg
