#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "pg/catalog/models.h"
#include "pg/monitor/policy.h"
#include "pg/monitor/session.h"
#include "pg/monitor/training_data.h"

namespace dlent::pg {

struct GateVerdict {
    bool accepted = false;
    int candidate = 0;   ///< the one that was judged: the best of them
    std::string reason;  ///< of the first gate that it did not pass, or of all
    Json measurements;
};

/// Chooses the best of `candidates` (numbers of versions) and judges it by the policy's gates, in their
/// order, up to the first that it does not pass. Candidates and champion answer the same rows of one
/// snapshot. `live` is the monitor's source. Writes nothing. For C++ frames.
GateVerdict JudgeCandidates(MonitorSession& session, const MonitorPolicy& policy,
                            const VersionIdentity& champion, const std::vector<int>& candidates,
                            const std::string& live, const std::string& holdout);

}  // namespace dlent::pg
