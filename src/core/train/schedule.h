#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/status.h"

namespace dlent {

/// How the learning rate moves over a run. t is the share of the budget that is used up.
enum class ScheduleKind : uint8_t {
    kCycles,   ///< ½(1 − cos(2π·log₂(1 + 31t))): five cycles of doubling length
    kCoslog4,  ///< ½(1 − cos(2π·log₂(1 + 15t))): four (Holzmüller et al. 2024)
    kCosine,   ///< ½(1 + cos(πt)) (Loshchilov & Hutter 2017)
    kFlatCos,  ///< constant for the first half, then cosine to 0
    kConstant,
};

const char* ScheduleName(ScheduleKind kind);
/// "cycles", "coslog4", "cosine", "flat_cos", "constant".
Expected<ScheduleKind> ParseSchedule(std::string_view name);

/// A schedule over a budget of steps.
class Schedule {
 public:
    /// `warmup` is the share of the budget over which the factor rises linearly to the schedule's value.
    Schedule(ScheduleKind kind, int64_t budget_steps, double warmup)
        : kind_(kind), budget_(budget_steps), warmup_(warmup) {}

    /// The factor on the base learning rate of step `step` (from 0), evaluated at the middle of the step: a
    /// cycle of few steps is not cut to zeros, and no step is wasted on a rate of 0.
    double Factor(int64_t step) const;
    /// The factor at share t of the budget, without warm-up.
    double Shape(double t) const;
    int cycles() const;
    /// The cycle (from 0) that share t of the budget falls in; a schedule without cycles is one.
    int Cycle(double t) const;
    /// The share of the budget at which a cycle ends.
    double CycleEnd(int cycle) const;

 private:
    ScheduleKind kind_;
    int64_t budget_;
    double warmup_;
};

}  // namespace dlent
