#pragma once

#include <optional>
#include <string>

#include "core/train/network_trainer.h"
#include "gpu/protocol/job.h"
#include "pg/gpu/connection.h"

namespace dlent::pg {

/// Trains in the process of a GPU: one data image a model, one job a network. No exception passes the core:
/// what PostgreSQL raises meanwhile is kept, ends the training, and is thrown by ThrowIfFailed().
class RemoteTrainer final : public NetworkTrainer {
 public:
    RemoteTrainer(std::optional<int> device, gpu::Precision precision)
        : wanted_(device), precision_(precision) {}

    Expected<bool> Begin(const TrainingPlan& plan, const CancelToken& cancel) override;
    Expected<TrainerResult> Train(Network& network, std::span<const uint32_t> train_rows,
                                  std::span<const uint32_t> validation_rows, const TrainerOptions& options,
                                  const CancelToken& cancel, const ProgressCallback& progress) override;

    /// Whether it was the device, or the way to it, that failed, rather than the training: then why.
    const std::optional<Status>& device_failure() const { return device_failure_; }
    void ThrowIfFailed() const;
    /// "cuda:0", once begun.
    std::string device_name() const { return connection_ ? connection_->name() : std::string(); }
    /// Of the device, for details of the version.
    Json Describe() const;

 private:
    template <typename Result, typename Work>
    Result Guard(Work work);
    Status BeginGuarded(const TrainingPlan& plan, const CancelToken& cancel);
    Expected<TrainerResult> TrainGuarded(Network& network, std::span<const uint32_t> train_rows,
                                         std::span<const uint32_t> validation_rows,
                                         const TrainerOptions& options, const CancelToken& cancel,
                                         const ProgressCallback& progress);
    /// Keeps what failed, unless it was the training itself.
    Status Blame(Status status);

    const std::optional<int> wanted_;
    const gpu::Precision precision_;
    std::optional<GpuConnection> connection_;
    gpu::SharedMemory image_;
    std::optional<Status> device_failure_;
    ErrorData* error_ = nullptr;
    double image_seconds_ = 0.0;
};

}  // namespace dlent::pg
