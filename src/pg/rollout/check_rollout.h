#pragma once

#include <cstdint>
#include <string>

#include "core/base/json.h"

namespace dlent::pg {

/// Options of dlent_check_rollout().
struct CheckRolloutRequest {
    int64_t rollout = 0;  ///< 0: the one under way, or the last
    bool apply = false;

    /// 22023 with a HINT that lists the options.
    static CheckRolloutRequest Parse(const Json& json);
};

/// Has the verdict on a rollout applied every `seconds`, as the current user, until the rollout ends.
void ScheduleRolloutChecks(const std::string& model, int64_t rollout, double seconds);

}  // namespace dlent::pg
