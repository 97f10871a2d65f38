#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/train/network_trainer.h"
#include "core/train/routing.h"
#include "core/train/spread_estimate.h"
#include "pg/gpu/failure.h"
#include "pg/gpu/training_card.h"
#include "pg/gpu/training_group.h"

namespace dlent::pg {

/// Trains in the processes of GPUs, each of which is a place, or as many as train a network together: one
/// data image a model, one job a network and card. No thread: whatever the cards say is read here. No
/// exception passes the core: what PostgreSQL raises meanwhile is kept, ends the training, and is thrown by
/// ThrowIfFailed().
class RemoteTrainer final : public NetworkTrainer {
 public:
    /// Whether the user asked for a GPU, or for what is best.
    enum class Choice { kGpu, kAuto };
    /// `device`: its number, or any; then `ranks` train each network together. With kAuto, `cpu` and
    /// `threads` are what the GPU is compared with, and no GPU is no failure.
    RemoteTrainer(Choice choice, std::optional<int> device, int ranks, gpu::Precision precision, Backend& cpu,
                  int threads)
        : choice_(choice),
          wanted_(device),
          ranks_(ranks),
          precision_(precision),
          cpu_(cpu),
          threads_(threads) {}

    Expected<bool> Begin(const TrainingPlan& plan, const CancelToken& cancel) override;
    int width() const override;
    Expected<std::optional<int>> FindPlace(const CancelToken& cancel) override;
    Status Start(int place, const PlacedTraining& training, const CancelToken& cancel) override;
    Expected<std::optional<PlaceEvent>> Wait(const CancelToken& cancel) override;

    /// Whether it was the devices, or the way to them, that failed, rather than the training: then why.
    const std::optional<Status>& device_failure() const { return device_failure_; }
    void ThrowIfFailed() const { error_.Throw(); }
    /// "cuda:0", "cuda:0,cuda:1", or "cpu" where trainings are left to it; once begun.
    std::string device_name() const;
    /// Where trainings went and why, for details of the version; null where nothing was decided.
    Json Routing() const;
    /// Of the devices, for details of the version; null where they were not used.
    Json Describe() const;

 private:
    using Clock = std::chrono::steady_clock;

    /// Whether a GPU is to be had, and worth it.
    Expected<bool> Route(const TrainingPlan& plan, const CancelToken& cancel);
    Status BeginGuarded(const TrainingPlan& plan, const CancelToken& cancel);
    Status OpenCards(const CancelToken& cancel);
    Expected<std::optional<int>> FindPlaceGuarded(const CancelToken& cancel);
    Expected<std::optional<PlaceEvent>> WaitGuarded(const CancelToken& cancel);
    Expected<std::optional<PlaceEvent>> ListenToAll();
    /// Goes on without a card, which a warning says, or fails. `failures`: of places with the network that it
    /// trained, this one counted.
    Status GiveUp(TrainingCard* card, const Status& failure, int failures);
    /// The rates of a card, where a job has shown them.
    static DeviceRates RatesOf(const TrainingCard& card);
    const TrainingCard& LeastBusyCard() const;
    /// What several cards a network are thought to bring; says so where that is nothing.
    void JudgeSpread(const TrainingPlan& plan);
    Status TooFewCards(int count, const char* what) const;
    /// Keeps what failed, unless it was the training itself.
    Status Blame(Status status);
    int IdleCards() const;
    std::vector<const TrainingCard*> CardsUsed() const;

    const Choice choice_;
    const std::optional<int> wanted_;
    const int ranks_;
    const gpu::Precision precision_;
    Backend& cpu_;
    const int threads_;
    bool takes_them_ = false;
    std::optional<RoutingDecision> decision_;
    std::string spread_;                             ///< why there are as many cards as there are
    std::optional<SpreadEstimate> spread_estimate_;  ///< where several cards train each network
    std::vector<TrainingCard> cards_;
    std::map<int, TrainingGroup> groups_;  ///< of those cards, by the number of the first: what trains
    TrainingImage image_;
    std::optional<Clock::time_point> no_place_since_;  ///< asked in vain then, and no card has ended since
    Status last_failure_;                              ///< of a card that the training goes on without
    std::optional<Status> device_failure_;
    KeptError error_;
    double image_seconds_ = 0.0;
};

}  // namespace dlent::pg
