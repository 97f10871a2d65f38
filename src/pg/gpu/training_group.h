#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "pg/gpu/training_card.h"

namespace dlent::pg {

/// A card has failed with the network of its group, whose other cards have been stopped.
struct CardFailure {
    TrainingCard* card = nullptr;
    Status status;
};

/// What a group says of its training.
using GroupEvent = std::variant<TrainingProgress, TrainerResult, CardFailure>;

/// The cards that train one network together, each as one rank; usually one card. They get their turns one
/// after another, in the order of their numbers: a group that has its turn on some cards waits for higher
/// ones only, so that no two groups wait for each other. What the first rank says counts; all must come to
/// the same weights.
class TrainingGroup {
 public:
    /// Cards that are there and train nothing, in the order of their numbers; they outlive the group.
    explicit TrainingGroup(std::vector<TrainingCard*> cards)
        : cards_(std::move(cards)), results_(cards_.size()) {}

    /// Sends the training to the first card; the others get it when they may begin. What the training names
    /// outlives it.
    Status Start(const PlacedTraining& training, const TrainingImage& image, gpu::Precision precision,
                 const CancelToken& cancel);
    /// What its cards say, if anything.
    Expected<std::optional<GroupEvent>> Listen();

    std::span<TrainingCard* const> cards() const { return cards_; }
    int failures() const { return failures_; }

 private:
    using Clock = std::chrono::steady_clock;

    void SendTo(size_t rank);
    /// What one card has said; nothing when that is of no interest outside.
    Expected<std::optional<GroupEvent>> Hear(size_t rank, CardEvent event);
    Status Turn(size_t rank, std::string id);
    /// Once all ranks have their result.
    Expected<TrainerResult> Finish();
    /// Keeps what most likely failed first.
    void Suspect(size_t rank, const Status& status);
    GroupEvent Fail();

    std::vector<TrainingCard*> cards_;
    const TrainingImage* image_ = nullptr;
    Network* network_ = nullptr;
    int failures_ = 0;  ///< of places that had the network before
    gpu::Parcel job_;
    size_t sent_ = 0;                                     ///< ranks that have the job
    std::string id_;                                      ///< of the group, once the first rank has made it
    std::vector<std::optional<gpu::JobResult>> results_;  ///< by rank
    std::optional<CardFailure> suspect_;
    Clock::time_point suspected_at_;
};

}  // namespace dlent::pg
