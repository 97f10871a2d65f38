#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "pg/rollout/decision_options.h"

namespace dlent::pg {

/// What dlent_deploy() is asked for, with what was left out filled in.
struct DeployRequest {
    struct Arm {
        int version = 0;  ///< 0: the champion
        std::string name;
        double weight = 0.0;
        bool shadow = false;
    };

    std::string mode = "canary";
    std::string unit;       ///< column, in the server's encoding; empty: none
    std::vector<Arm> arms;  ///< the champion's first
    double coverage = 1.0;  ///< of the first step
    std::string seed;       ///< server encoding; empty: to be made
    std::string reason;     ///< server encoding; empty: none
    DecisionOptions decision;
    Json options;  ///< as they are stored, but for the seed

    /// `version` is the argument, 0 when it is NULL. 22023 with a HINT that lists the options.
    static DeployRequest Parse(const Json& options, int version);
};

/// Units that take part in a step of a canary whose candidate answers `share`: as many answer as control,
/// while there are enough.
double CanaryCoverage(double share);

}  // namespace dlent::pg
