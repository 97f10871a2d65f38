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

/// What the estimate for a GPU rests on, for people.
struct GpuEstimateBasis {
    int cards = 1;          ///< that share the work
    int jobs = 0;           ///< of others, there
    bool measured = false;  ///< rates are, rather than assumed
};

/// The GPU where that saves time worth the way there: where the CPU would take `worthwhile_seconds`, and the
/// GPU clearly less.
RoutingDecision ChooseDevice(double cpu_seconds, double gpu_seconds, double worthwhile_seconds,
                             const GpuEstimateBasis& basis);

}  // namespace dlent
