#pragma once

#include <string>

#include "core/base/json.h"

namespace dlent {

/// Where work goes when the user leaves it open, and why.
struct RoutingDecision {
    bool gpu = false;
    double cpu_seconds = 0.0;  ///< estimates of the whole work
    double gpu_seconds = 0.0;
    std::string reason;

    Json ToJson() const;
};

/// A GPU needs its context first, where nothing has used it yet.
inline constexpr double kColdStartSeconds = 2.0;

/// The GPU where that saves time worth the way there: where the CPU would take `worthwhile_seconds`, and the
/// GPU, which has `jobs` others, clearly less. `measured`: its rates are, rather than assumed.
RoutingDecision ChooseDevice(double cpu_seconds, double gpu_seconds, double worthwhile_seconds, int jobs,
                             bool measured);

}  // namespace dlent
