#pragma once

#include <string>

#include "core/train/progress.h"
#include "pg/bridge/interrupts.h"
#include "pg/functions/progress.h"

namespace dlent::pg {

/// What the core sees of the session while it trains: its interrupts, and where progress goes. No exception
/// passes the core: an error that a message raises is kept, cancels the training, and is thrown by
/// ThrowIfFailed().
class TrainingMonitor final : public CancelToken {
 public:
    /// `model` in the server's encoding.
    TrainingMonitor(std::string model, bool messages, ProgressDisplay* display)
        : model_(std::move(model)), messages_(messages), display_(display) {}

    bool IsCancelled() const override { return error_ != nullptr || interrupts_.IsCancelled(); }

    /// Shows it, and tells the client now and then.
    void Report(const TrainingProgress& progress);
    /// The last line, which the client always gets.
    void Finish();
    void ThrowIfFailed() const;

 private:
    void Send(const TrainingProgress& progress);

    const std::string model_;
    const bool messages_;
    ProgressDisplay* const display_;
    InterruptToken interrupts_;
    ErrorData* error_ = nullptr;
    TrainingProgress last_;  ///< the last end of an epoch
    bool last_is_sent_ = true;
    double sent_at_ = 0.0;
};

}  // namespace dlent::pg
