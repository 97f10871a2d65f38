#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>

#include "gpu/daemon/plugin.h"

namespace dlent::gpu {

/// Places that are handed out first come, first served.
class Lane {
 public:
    explicit Lane(int places) : free_places_(places) {}

    /// Held until the object dies.
    class Place {
     public:
        /// Waits for its turn. False when `cancel` said so before there was one.
        static bool Take(Lane& lane, const CancelToken& cancel, Place* place);
        Place() = default;
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        ~Place();

     private:
        Lane* lane_ = nullptr;
    };

    struct Counts {
        uint64_t running = 0;
        uint64_t waiting = 0;
        uint64_t done = 0;
    };
    Counts counts() const;

 private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    int free_places_;
    uint64_t running_ = 0;
    uint64_t done_ = 0;
    uint64_t next_ticket_ = 0;
    std::deque<uint64_t> line_;  ///< tickets that wait, in order
};

/// The device that this process owns: its memory, and its places.
class Device {
 public:
    Device(const Plugin& plugin, int index, const DlentDeviceInfo& info, uint64_t memory_limit, int places)
        : plugin_(plugin),
          index_(index),
          info_(info),
          memory_limit_(memory_limit),
          jobs_(places),
          spread_jobs_(1),
          blocks_(places) {}

    /// Trainings, and blocks of rows to be scored: these take milliseconds and do not wait for those.
    Lane& jobs() { return jobs_; }
    Lane& blocks() { return blocks_; }
    /// Trainings that several devices share, to be taken before a place among the jobs. One at a time: what
    /// waits for other devices holds a part of this one, and of many there might be no room for the one that
    /// they wait for.
    Lane& spread_jobs() { return spread_jobs_; }

    Expected<DeviceBackend> MakeBackend(Precision precision, const DlentMemoryGate& gate) const {
        return plugin_.MakeBackend(index_, precision, gate);
    }
    Status JoinGroup(Backend& backend, DlentGroup* group) const {
        return plugin_.JoinGroup(index_, backend, group);
    }

    /// What gives memory back that nobody needs just now: asked for so many bytes, frees what it can. To be
    /// set before the first job.
    void SetReclaim(std::function<void(uint64_t bytes)> reclaim) { reclaim_ = std::move(reclaim); }
    /// Books device memory; false when all together would hold more than the limit.
    bool Reserve(size_t bytes);
    /// The same, and takes back for it what is only kept for later.
    bool ReserveOrReclaim(size_t bytes);
    void Release(size_t bytes) { memory_used_ -= bytes; }
    uint64_t memory_limit() const { return memory_limit_; }

    /// What a job has shown of the device's speed.
    void Learn(double flops_per_second, double step_seconds);
    /// The same of a block of rows.
    void LearnScoring(uint64_t rows, double flops_per_second, double block_seconds);
    /// How many models are kept.
    void SetModels(uint64_t count) { models_ = count; }

    DeviceStatus status() const;
    /// Whether anything has been done on it, so that it holds a context.
    bool was_used() const { return models_ > 0 || jobs_.counts().done > 0; }

 private:
    const Plugin& plugin_;
    const int index_;
    const DlentDeviceInfo info_;
    const uint64_t memory_limit_;
    std::atomic<uint64_t> memory_used_ = 0;
    std::atomic<uint64_t> models_ = 0;
    std::atomic<uint64_t> rows_scored_ = 0;
    std::function<void(uint64_t)> reclaim_;
    Lane jobs_;
    Lane spread_jobs_;
    Lane blocks_;

    mutable std::mutex mutex_;  ///< of what follows
    double flops_per_second_ = 0.0;
    double step_seconds_ = 0.0;
    double scoring_flops_per_second_ = 0.0;
    double block_seconds_ = 0.0;
};

/// The device memory of one job, as the plugin's gate.
class JobMemory {
 public:
    /// `may_reclaim`: whether what is only kept for later makes way.
    explicit JobMemory(Device& device, bool may_reclaim = true)
        : device_(device), may_reclaim_(may_reclaim), gate_{this, Reserve, Release} {}
    /// A backend that takes its memory here, which outlives it; it takes some at once. `hint` as for
    /// Explain().
    Expected<DeviceBackend> MakeBackend(Precision precision, const std::string& hint) const;
    uint64_t held() const { return held_; }
    /// Says which of the two limits was met, where memory was; `hint` is advice.
    Status Explain(const Status& status, const std::string& hint) const;

 private:
    static int Reserve(void* context, size_t bytes);
    static void Release(void* context, size_t bytes);

    Device& device_;
    const bool may_reclaim_;
    bool refused_ = false;  ///< whether a request was, by the limit rather than the driver
    uint64_t held_ = 0;
    DlentMemoryGate gate_;
};

}  // namespace dlent::gpu
