#include "core/train/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>

namespace dlent {
namespace {

constexpr std::array<const char*, 5> kNames = {"cycles", "coslog4", "cosine", "flat_cos", "constant"};

/// ½(1 − cos(2π·log₂(1 + (2^cycles − 1)·t))).
double LogCosine(double t, int cycles) {
    const double position = std::log2(1.0 + (std::exp2(cycles) - 1.0) * t);
    return 0.5 * (1.0 - std::cos(2.0 * std::numbers::pi * position));
}

}  // namespace

const char* ScheduleName(ScheduleKind kind) {
    return kNames[static_cast<size_t>(kind)];
}

Expected<ScheduleKind> ParseSchedule(std::string_view name) {
    for (size_t i = 0; i < kNames.size(); ++i) {
        if (name == kNames[i]) {
            return static_cast<ScheduleKind>(i);
        }
    }
    return Status::Invalid("unknown schedule \"" + std::string(name) + "\"", {},
                           "Known schedules: cycles, coslog4, cosine, flat_cos, constant.");
}

double Schedule::Shape(double t) const {
    switch (kind_) {
        case ScheduleKind::kCycles:
        case ScheduleKind::kCoslog4:
            return LogCosine(t, cycles());
        case ScheduleKind::kCosine:
            return 0.5 * (1.0 + std::cos(std::numbers::pi * t));
        case ScheduleKind::kFlatCos:
            return t < 0.5 ? 1.0 : 0.5 * (1.0 + std::cos(std::numbers::pi * (2.0 * t - 1.0)));
        case ScheduleKind::kConstant:
            break;
    }
    return 1.0;
}

double Schedule::Factor(int64_t step) const {
    const double t =
        std::min((static_cast<double>(step) + 0.5) / static_cast<double>(std::max<int64_t>(budget_, 1)), 1.0);
    const double factor = Shape(t);
    return t < warmup_ ? factor * t / warmup_ : factor;
}

int Schedule::cycles() const {
    switch (kind_) {
        case ScheduleKind::kCycles:
            return 5;
        case ScheduleKind::kCoslog4:
            return 4;
        default:
            return 1;
    }
}

int Schedule::Cycle(double t) const {
    int cycle = 0;
    while (cycle + 1 < cycles() && t >= CycleEnd(cycle)) {
        ++cycle;
    }
    return cycle;
}

double Schedule::CycleEnd(int cycle) const {
    return (std::exp2(cycle + 1) - 1.0) / (std::exp2(cycles()) - 1.0);
}

}  // namespace dlent
