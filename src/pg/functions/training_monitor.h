#pragma once

#include <functional>
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
    /// `model` in the server's encoding. `listener` may be empty, and may throw PgError.
    TrainingMonitor(std::string model, bool messages, ProgressDisplay* display,
                    std::function<void(const TrainingProgress&)> listener = {})
        : model_(std::move(model)), messages_(messages), display_(display), listener_(std::move(listener)) {}

    bool IsCancelled() const override { return error_ != nullptr || interrupts_.IsCancelled(); }

    /// Shows it, and tells the client now and then.
    void Report(const TrainingProgress& progress);
    /// The last line, which the client always gets.
    void Finish();
    void ThrowIfFailed() const;
    /// Runs `function` on behalf of the core; false when a PgError was thrown and kept, now or before.
    template <typename Function>
    bool Guard(Function&& function) {
        if (error_ != nullptr)
            return false;
        try {
            function();
        } catch (const PgError& error) {
            error_ = error.data();
        }
        return error_ == nullptr;
    }

 private:
    void Send(const TrainingProgress& progress);

    const std::string model_;
    const bool messages_;
    ProgressDisplay* const display_;
    const std::function<void(const TrainingProgress&)> listener_;
    InterruptToken interrupts_;
    ErrorData* error_ = nullptr;
    TrainingProgress last_;  ///< the last end of an epoch
    bool last_is_sent_ = true;
    double sent_at_ = 0.0;
};

}  // namespace dlent::pg
