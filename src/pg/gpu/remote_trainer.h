#pragma once

#include <optional>
#include <string>

#include "core/train/network_trainer.h"
#include "core/train/routing.h"
#include "gpu/protocol/job.h"
#include "pg/gpu/connection.h"
#include "pg/gpu/failure.h"

namespace dlent::pg {

/// Trains in the process of a GPU: one data image a model, one job a network. No exception passes the core:
/// what PostgreSQL raises meanwhile is kept, ends the training, and is thrown by ThrowIfFailed().
class RemoteTrainer final : public NetworkTrainer {
 public:
    /// Whether the user asked for a GPU, or for what is best.
    enum class Choice { kGpu, kAuto };
    /// `device`: its number, or any. With kAuto, `cpu` and `threads` are what the GPU is compared with, and
    /// no GPU is no failure.
    RemoteTrainer(Choice choice, std::optional<int> device, gpu::Precision precision, Backend& cpu,
                  int threads)
        : choice_(choice), wanted_(device), precision_(precision), cpu_(cpu), threads_(threads) {}

    Expected<bool> Begin(const TrainingPlan& plan, const CancelToken& cancel) override;
    Expected<TrainerResult> Train(Network& network, std::span<const uint32_t> train_rows,
                                  std::span<const uint32_t> validation_rows, const TrainerOptions& options,
                                  const CancelToken& cancel, const ProgressCallback& progress) override;

    /// Whether it was the device, or the way to it, that failed, rather than the training: then why.
    const std::optional<Status>& device_failure() const { return device_failure_; }
    void ThrowIfFailed() const { error_.Throw(); }
    /// "cuda:0", or "cpu" where trainings are left to it; once begun.
    std::string device_name() const { return takes_them_ ? connection_->name() : "cpu"; }
    /// Of kAuto: what was decided, and why.
    const std::optional<RoutingDecision>& decision() const { return decision_; }
    /// Of the device, for details of the version.
    Json Describe() const;

 private:
    Status BeginGuarded(const TrainingPlan& plan, const CancelToken& cancel);
    /// Whether a GPU is to be had, and worth it.
    Expected<bool> Route(const TrainingPlan& plan, const CancelToken& cancel);
    Expected<TrainerResult> TrainGuarded(Network& network, std::span<const uint32_t> train_rows,
                                         std::span<const uint32_t> validation_rows,
                                         const TrainerOptions& options, const CancelToken& cancel,
                                         const ProgressCallback& progress);
    /// Keeps what failed, unless it was the training itself.
    Status Blame(Status status);

    const Choice choice_;
    const std::optional<int> wanted_;
    const gpu::Precision precision_;
    Backend& cpu_;
    const int threads_;
    bool takes_them_ = false;
    std::optional<RoutingDecision> decision_;
    std::optional<GpuConnection> connection_;
    gpu::SharedMemory image_;
    std::optional<Status> device_failure_;
    KeptError error_;
    double image_seconds_ = 0.0;
};

}  // namespace dlent::pg
