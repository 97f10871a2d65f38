#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "core/base/cancel.h"

namespace dlent::gpu {

/// Ends a job from another thread, and shows that the job is alive: whoever asks whether to stop is.
class JobSignal final : public CancelToken {
 public:
    bool IsCancelled() const override {
        Beat();
        return cancelled_;
    }
    /// The same of who only looks.
    bool was_cancelled() const { return cancelled_; }
    void Cancel() { cancelled_ = true; }
    void Beat() const { last_beat_ = Now(); }
    /// Until the next beat there is nothing to do, and silence means nothing.
    void Rest() const { last_beat_ = kResting; }
    /// Since the job last showed that it is alive.
    std::chrono::milliseconds silence() const {
        const int64_t last = last_beat_;
        return std::chrono::milliseconds(last == kResting ? 0 : Now() - last);
    }

 private:
    static constexpr int64_t kResting = -1;

    static int64_t Now() {
        return std::chrono::duration_cast<std::chrono::milliseconds>(
                   std::chrono::steady_clock::now().time_since_epoch())
            .count();
    }
    std::atomic<bool> cancelled_ = false;
    mutable std::atomic<int64_t> last_beat_ = Now();
};

}  // namespace dlent::gpu
