#pragma once

#include <optional>
#include <string>
#include <variant>

#include "core/train/network_trainer.h"
#include "gpu/protocol/image.h"
#include "gpu/protocol/job.h"
#include "pg/gpu/connection.h"

namespace dlent::pg {

/// The encoded rows of a model, once for all cards that train it.
struct TrainingImage {
    gpu::ImageShape shape;
    gpu::SharedMemory memory;
};

/// What a card says of its training.
using CardEvent = std::variant<TrainingProgress, TrainerResult>;

/// A GPU as the trainings of one model use it: a connection to its process while there is use for one, and
/// the network that it trains. A connection that closes ends the job there. Failures are the card's or the
/// training's; throws PgError when interrupted.
class TrainingCard {
 public:
    TrainingCard(int device, std::optional<GpuConnection> connection)
        : device_(device), connection_(std::move(connection)) {
        KeepStatus();
    }

    /// How versions call it: "cuda:0"; only its number before it was ever reached.
    std::string name() const;
    int device() const { return device_; }
    /// As it was when it was last looked at.
    const gpu::DeviceStatus& status() const { return status_; }
    /// Trainings of others that ran or waited there then.
    int others() const { return static_cast<int>(status_.jobs + status_.waiting); }
    const GpuConnection* connection() const { return connection_ ? &*connection_ : nullptr; }
    bool was_reached() const { return !status_.kind.empty(); }
    bool is_training() const { return network_ != nullptr; }
    /// It is there and trains nothing, for whomever.
    bool is_idle() const { return connection_.has_value() && !is_training() && others() == 0; }
    int failures() const { return failures_; }
    int networks_trained() const { return networks_trained_; }

    /// That it is to be used no more.
    void Abandon();
    bool is_abandoned() const { return abandoned_; }

    /// Looks at what it has to do, where it trains nothing; opens a connection where there is none and the
    /// process runs.
    Status Look(const CancelToken& cancel);
    /// Closes the connection of a card that trains nothing.
    void Release();
    /// Sends a training to a card that has a connection; that it could not be sent is told by Listen().
    Status Start(const PlacedTraining& training, const TrainingImage& image, gpu::Precision precision,
                 const CancelToken& cancel);
    /// What it says of its training, if anything.
    Expected<std::optional<CardEvent>> Listen();

 private:
    void KeepStatus();
    Expected<TrainerResult> Finish(gpu::Received received);

    int device_;
    std::optional<GpuConnection> connection_;
    bool has_image_ = false;  ///< by this connection
    Status sent_;             ///< whether the last training could be
    bool abandoned_ = false;
    gpu::DeviceStatus status_;
    Network* network_ = nullptr;  ///< that it trains
    size_t logits_ = 0;           ///< that are to come with it
    int failures_ = 0;            ///< of cards that had the network before
    int networks_trained_ = 0;
};

}  // namespace dlent::pg
