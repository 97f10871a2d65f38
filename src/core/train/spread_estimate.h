#pragma once

#include <string>

#include "core/base/json.h"
#include "core/train/network_trainer.h"
#include "core/train/routing.h"

namespace dlent {

/// What it is thought to bring that several devices train each network together.
struct SpreadEstimate {
    int ranks = 1;
    double gradient_bytes = 0.0;  ///< that they add up in each step
    double alone_seconds = 0.0;   ///< of a step on one
    double spread_seconds = 0.0;  ///< of the same on all of them, the sums included
    bool measured = false;        ///< by rates that a job has shown, rather than assumed ones

    bool pays() const { return spread_seconds < alone_seconds; }
    /// "a step takes about 0.06 ms on one GPU and 0.08 ms on 2"
    std::string Describe() const;
    Json ToJson() const;
};

/// A step costs its latency, its operations at the device's rate, of which each rank does its share, and the
/// sum of the gradients: a latency, and 2 · (ranks − 1) / ranks times their bytes over a link, as rings need
/// (docs/gpu.md, "One network on several GPUs").
SpreadEstimate EstimateSpread(const TrainingPlan& plan, const DeviceRates& rates, int ranks);

}  // namespace dlent
