#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <variant>

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
    int beside = 1;                ///< of them, most that need not wait for each other
    int64_t parameters = 0;        ///< of one network
    const Recipe* recipe = nullptr;
};

/// One training of one network at a place of a NetworkTrainer; what it names outlives it.
struct PlacedTraining {
    Network* network =
        nullptr;  ///< begins with its weights, and leaves the best; need not be one for training
    std::span<const uint32_t> train_rows;
    std::span<const uint32_t> validation_rows;
    TrainerOptions options;
    int failures = 0;  ///< of places that had it before
};

/// A place has failed and takes no training any more; the one it had is to begin anew at another.
struct PlaceFailed {};

/// What has come of the training at a place.
struct PlaceEvent {
    int place = 0;
    std::variant<TrainingProgress, TrainerResult, PlaceFailed> what;
};

/// Carries out the trainings of a model's networks in the place of this thread: processes that own devices.
/// It has places, of which each trains one network at a time, beside the others. A failure that a call
/// returns ends all trainings that run; Begin() begins anew.
class NetworkTrainer {
 public:
    virtual ~NetworkTrainer() = default;

    /// To be called once a model, before its first training. False when these trainings are better done here.
    virtual Expected<bool> Begin(const TrainingPlan& plan, const CancelToken& cancel) = 0;

    /// How many trainings could run beside each other now, at least 1.
    virtual int width() const = 0;

    /// Where one more training should begin; nothing while it had better wait for one of those that run.
    virtual Expected<std::optional<int>> FindPlace(const CancelToken& cancel) = 0;

    /// Begins a training at a place that FindPlace() has just named, as TrainNetwork() on the plan's data.
    /// That the place has failed is told by Wait().
    virtual Status Start(int place, const PlacedTraining& training, const CancelToken& cancel) = 0;

    /// What happens next at a place that trains; nothing when that takes long, so that FindPlace() is asked
    /// again. A training that fails is a failure of the call.
    virtual Expected<std::optional<PlaceEvent>> Wait(const CancelToken& cancel) = 0;
};

}  // namespace dlent
