#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>

#include "gpu/daemon/device.h"
#include "gpu/protocol/job.h"

namespace dlent::gpu {

/// Ends a job from another thread, and shows that the job is alive: whoever asks whether to stop is.
class JobSignal final : public CancelToken {
 public:
    bool IsCancelled() const override {
        Beat();
        return cancelled_;
    }
    void Cancel() { cancelled_ = true; }
    void Beat() const { last_beat_ = Now(); }
    /// Since the job last showed that it is alive.
    std::chrono::milliseconds silence() const { return std::chrono::milliseconds(Now() - last_beat_); }

 private:
    static int64_t Now() {
        return std::chrono::duration_cast<std::chrono::milliseconds>(
                   std::chrono::steady_clock::now().time_since_epoch())
            .count();
    }
    std::atomic<bool> cancelled_ = false;
    mutable std::atomic<int64_t> last_beat_ = Now();
};

/// Carries out a job on the device, on the calling thread: waits for a place, trains, and packs what came of
/// it. `data` outlives the call.
Expected<Parcel> RunTraining(Device& device, const TrainJob& job, const ImageData& data,
                             const JobSignal& signal, const ProgressCallback& progress);

}  // namespace dlent::gpu
