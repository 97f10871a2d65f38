#include "core/train/spread_estimate.h"

#include <algorithm>
#include <cstdio>

namespace dlent {
namespace {

// of cards that see each other's memory through PCIe 4; NVLink has ten times the rate
constexpr double kSumLatencySeconds = 25e-6;
constexpr double kLinkBytesPerSecond = 20e9;

std::string Milliseconds(double seconds) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.2f ms", seconds * 1e3);
    return text;
}

}  // namespace

std::string SpreadEstimate::Describe() const {
    return "a step takes about " + Milliseconds(alone_seconds) + " on one GPU and " +
           Milliseconds(spread_seconds) + " on " + std::to_string(ranks) +
           (measured ? "" : ", by rates that are assumed");
}

Json SpreadEstimate::ToJson() const {
    return {{"gpus_a_network", ranks},
            {"gradient_bytes", gradient_bytes},
            {"step_seconds_on_one", alone_seconds},
            {"step_seconds", spread_seconds},
            {"pays", pays()},
            {"reason", Describe()}};
}

SpreadEstimate EstimateSpread(const TrainingPlan& plan, const DeviceRates& rates, int ranks) {
    SpreadEstimate estimate;
    estimate.ranks = ranks;
    estimate.measured = rates.measured;
    estimate.gradient_bytes = 4.0 * static_cast<double>(plan.parameters);
    const double compute_seconds =
        TrainingFlops(plan) / std::max(TrainingSteps(plan), 1.0) / rates.flops_per_second;
    const double ring = 2.0 * (ranks - 1) / ranks;
    estimate.alone_seconds = rates.step_seconds + compute_seconds;
    estimate.spread_seconds = rates.step_seconds + compute_seconds / ranks + kSumLatencySeconds +
                              ring * estimate.gradient_bytes / kLinkBytesPerSecond;
    return estimate;
}

}  // namespace dlent
