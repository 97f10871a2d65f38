#pragma once

#include "core/base/device_choice.h"
#include "core/nn/backend.h"
#include "core/train/network_trainer.h"

namespace dlent {

/// How fast a device trains.
struct DeviceRates {
    double flops_per_second = 0.0;
    double step_seconds = 0.0;  ///< that a step takes however small it is
    bool measured = false;      ///< rather than assumed
};

/// What a GPU is thought to do until a job has shown better: a tenth of a data-centre card, a graph of a few
/// dozen kernels a step.
inline constexpr DeviceRates kAssumedGpuRates = {5e12, 60e-6, false};

/// A GPU as the decision sees it.
struct GpuOffer {
    DeviceRates rates = kAssumedGpuRates;
    bool is_warm = false;  ///< its context is there
    int jobs = 0;          ///< that run or wait
    int cards = 1;         ///< alike, over which networks can be spread
};

/// Multiplications and additions of the plan's whole budget: two for each weight and row forward, four
/// backward.
double TrainingFlops(const TrainingPlan& plan);
double TrainingSteps(const TrainingPlan& plan);

/// Of this thread, by a product of the size of usual layers; takes some milliseconds.
DeviceRates MeasureCpuRates(Backend& cpu);

/// Where a training goes when the user leaves it open; its seconds are those of its budget, early stopping
/// may end sooner. `threads`: of trainings beside each other on the CPU.
RoutingDecision RouteTraining(const TrainingPlan& plan, const DeviceRates& cpu, int threads,
                              const GpuOffer& gpu);

}  // namespace dlent
