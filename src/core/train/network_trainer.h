#pragma once

#include <cstddef>
#include <span>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/nn/network.h"
#include "core/train/recipe.h"
#include "core/train/trainer.h"

namespace dlent {

/// What the trainings of one model read, before the first of them.
struct TrainingPlan {
    const TrainingData* data = nullptr;  ///< outlives the trainings
    int numeric = 0;                     ///< columns of its blocks, as NetworkSpec counts them
    int plain = 0;
    int fields = 0;
    bool integer_targets = false;  ///< labels rather than floats
    size_t train_rows = 0;         ///< that one training learns from
    int trainings = 1;             ///< at least
    int64_t parameters = 0;        ///< of one network
    const Recipe* recipe = nullptr;
};

/// Carries out the trainings of a model's networks in the place of this thread: a process that owns a device.
class NetworkTrainer {
 public:
    virtual ~NetworkTrainer() = default;

    /// To be called once a model, before its first training. False when these trainings are better done here.
    virtual Expected<bool> Begin(const TrainingPlan& plan, const CancelToken& cancel) = 0;

    /// As TrainNetwork() does on the plan's data, from the weights that `network` holds; leaves it with the
    /// best. The network need not be one for training.
    virtual Expected<TrainerResult> Train(Network& network, std::span<const uint32_t> train_rows,
                                          std::span<const uint32_t> validation_rows,
                                          const TrainerOptions& options, const CancelToken& cancel,
                                          const ProgressCallback& progress) = 0;
};

}  // namespace dlent
