#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "pg/catalog/models.h"
#include "pg/monitor/monitor_store.h"
#include "pg/monitor/policy.h"

namespace dlent::pg {

/// What was measured of the live rows, and what follows.
struct Watched {
    Json measurements;
    std::vector<std::string> fired;  ///< a sentence for each trigger that fires
    std::vector<std::string> calm;   ///< for each that does not
    std::vector<Alert> alerts;       ///< what lasts now
};

/// Measures all triggers of the policy, as the current user, under the active snapshot. `store` keeps drift
/// reports and results of expectations. For C++ frames.
Watched Watch(const Monitor& monitor, const MonitorPolicy& policy, const VersionIdentity& champion,
              bool store);

}  // namespace dlent::pg
