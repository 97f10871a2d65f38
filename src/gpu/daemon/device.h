#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>

#include "gpu/daemon/plugin.h"

namespace dlent::gpu {

/// The device that this process owns: its memory, and its places for jobs.
class Device {
 public:
    Device(const Plugin& plugin, int index, const DlentDeviceInfo& info, uint64_t memory_limit, int places)
        : plugin_(plugin), index_(index), info_(info), memory_limit_(memory_limit), free_places_(places) {}

    /// Waits for its turn, first come first served, and holds a place until the object dies.
    class Place {
     public:
        /// False when `cancel` said so before there was one.
        static bool Take(Device& device, const CancelToken& cancel, Place* place);
        Place() = default;
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        ~Place();

     private:
        Device* device_ = nullptr;
    };

    Expected<DeviceBackend> MakeBackend(Precision precision, const DlentMemoryGate& gate) const {
        return plugin_.MakeBackend(index_, precision, gate);
    }
    /// Books device memory; false when all jobs together would hold more than the limit.
    bool Reserve(size_t bytes);
    void Release(size_t bytes) { memory_used_ -= bytes; }

    /// What a job has shown of the device's speed.
    void Learn(double flops_per_second, double step_seconds);

    DeviceStatus status() const;

 private:
    const Plugin& plugin_;
    const int index_;
    const DlentDeviceInfo info_;
    const uint64_t memory_limit_;
    std::atomic<uint64_t> memory_used_ = 0;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    int free_places_;
    uint64_t running_ = 0;
    uint64_t jobs_done_ = 0;
    double flops_per_second_ = 0.0;
    double step_seconds_ = 0.0;
    uint64_t next_ticket_ = 0;
    std::deque<uint64_t> line_;  ///< tickets that wait, in order
};

/// The device memory of one job, as the plugin's gate.
class JobMemory {
 public:
    explicit JobMemory(Device& device) : device_(device), gate_{this, Reserve, Release} {}
    const DlentMemoryGate& gate() const { return gate_; }
    /// Whether a request was refused by the limit rather than the driver.
    bool refused() const { return refused_; }

 private:
    static int Reserve(void* context, size_t bytes);
    static void Release(void* context, size_t bytes);

    Device& device_;
    bool refused_ = false;
    DlentMemoryGate gate_;
};

}  // namespace dlent::gpu
