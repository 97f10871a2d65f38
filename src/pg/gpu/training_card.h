#pragma once

#include <optional>
#include <string>
#include <variant>

#include "core/train/network_trainer.h"
#include "gpu/protocol/group.h"
#include "gpu/protocol/image.h"
#include "gpu/protocol/job.h"
#include "pg/gpu/connection.h"

namespace dlent::pg {

/// The encoded rows of a model, once for all cards that train it.
struct TrainingImage {
    gpu::ImageShape shape;
    gpu::SharedMemory memory;
};

/// The card has its turn as a rank of several; `id` names them, where it is the first.
struct CardTurn {
    std::string id;
};

/// What a card says of its training.
using CardEvent = std::variant<TrainingProgress, CardTurn, gpu::JobResult>;

/// A GPU as the trainings of one model use it: a connection to its process while there is use for one, and
/// the job that it has there. A connection that closes ends the job. Failures are the card's or the
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
    bool is_training() const { return is_training_; }
    /// It is there and trains nothing, for whomever.
    bool is_idle() const { return connection_.has_value() && !is_training() && others() == 0; }
    int networks_trained() const { return networks_trained_; }

    /// That it is to be used no more.
    void Abandon();
    bool is_abandoned() const { return abandoned_; }

    /// Looks at what it has to do, where it trains nothing; opens a connection where there is none and the
    /// process runs.
    Status Look(const CancelToken& cancel);
    /// Closes the connection of a card that trains nothing.
    void Release();
    /// From now on a card that has a connection trains a network, of whose held-out rows it is to give so
    /// many logits.
    void Reserve(size_t logits);
    /// Sends the job of a card that has been reserved; that it could not be sent is told by Listen().
    void Send(const gpu::Parcel& job, const gpu::RankOfJob& rank, const TrainingImage& image);
    /// What it says of its training, if anything.
    Expected<std::optional<CardEvent>> Listen();
    /// The training is done, and its result taken.
    void Finish();
    /// Ends the training, and the connection with it.
    void Stop();

 private:
    void KeepStatus();
    Expected<gpu::JobResult> Unpack(gpu::Received received) const;

    int device_;
    std::optional<GpuConnection> connection_;
    bool has_image_ = false;  ///< by this connection
    Status sent_;             ///< whether the last job could be
    bool abandoned_ = false;
    gpu::DeviceStatus status_;
    bool is_training_ = false;
    size_t logits_ = 0;  ///< that are to come
    int networks_trained_ = 0;
};

}  // namespace dlent::pg
