#include "core/base/device_choice.h"

#include <cstdio>

namespace dlent {
namespace {

/// The GPU must be estimated that much faster: estimates err.
constexpr double kMargin = 2.0;

std::string Seconds(double seconds) {
    char text[32];
    std::snprintf(text, sizeof(text), seconds < 10.0 ? "%.1f s" : "%.0f s", seconds);
    return text;
}

}  // namespace

RoutingDecision ChooseDevice(double cpu_seconds, double gpu_seconds, double worthwhile_seconds,
                             const GpuEstimateBasis& basis) {
    RoutingDecision decision;
    decision.cpu_seconds = cpu_seconds;
    decision.gpu_seconds = gpu_seconds;
    const std::string estimates =
        "about " + Seconds(cpu_seconds) + " on the CPU, " + Seconds(gpu_seconds) + " on " +
        (basis.cards > 1 ? std::to_string(basis.cards) + " GPUs" : "the GPU") +
        (basis.jobs > 0 ? ", which has " + std::to_string(basis.jobs) + " other jobs" : "") +
        (basis.measured ? "" : ", by rates that are assumed");
    if (cpu_seconds < worthwhile_seconds) {
        decision.reason = "the CPU is quick enough: " + estimates;
    } else if (cpu_seconds < kMargin * gpu_seconds) {
        decision.reason = "the GPU would not be clearly faster: " + estimates;
    } else {
        decision.gpu = true;
        decision.reason = "the GPU is faster: " + estimates;
    }
    return decision;
}

Json RoutingDecision::ToJson() const {
    Json json = {{"device", gpu ? "gpu" : "cpu"}, {"reason", reason}};
    if (cpu_seconds > 0.0) {
        json["cpu_seconds"] = cpu_seconds;
        json["gpu_seconds"] = gpu_seconds;
    }
    return json;
}

}  // namespace dlent
