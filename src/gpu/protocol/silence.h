#pragma once

#include <algorithm>
#include <chrono>

namespace dlent::gpu {

/// How long a process has shown no sign of life, to a watcher that looks again and again. Of the time between
/// two looks no more than `longest_step` counts: a watcher that did not run itself, alone or with the whole
/// machine, cannot tell what the other would have shown, and gives it the time to show it now.
class Silence {
 public:
    using Clock = std::chrono::steady_clock;  ///< stands still while the machine is suspended

    Silence(std::chrono::milliseconds longest_step, Clock::time_point now)
        : longest_step_(longest_step), looked_at_(now) {}

    /// `sign`: whether there was one since the last look. Returns how long there has been none.
    Clock::duration Look(bool sign, Clock::time_point now) {
        length_ = sign ? Clock::duration::zero()
                       : length_ + std::min<Clock::duration>(now - looked_at_, longest_step_);
        looked_at_ = now;
        return length_;
    }

 private:
    std::chrono::milliseconds longest_step_;
    Clock::time_point looked_at_;
    Clock::duration length_ = Clock::duration::zero();
};

}  // namespace dlent::gpu
