#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/nn/network.h"
#include "gpu/daemon/device.h"
#include "gpu/protocol/scoring.h"

namespace dlent::gpu {

/// For who has no room to score.
inline constexpr const char* kScoringMemoryHint = "Raise dlent.gpu_memory, or score on the CPU.";

/// Weights on the device. They never change, and any thread's networks may read them.
class ResidentModel {
 public:
    const NetworkSpec& network() const { return network_; }
    size_t members() const { return members_.size(); }
    FlatTensors tensors(size_t member) const { return members_[member]->tensors(); }
    /// Of one row and all members.
    double forward_flops() const;

 private:
    friend class ResidentModels;
    NetworkSpec network_;
    std::vector<std::unique_ptr<Network>> members_;
};

/// The models that sessions score by: kept on the device while there is room, so that who comes next finds
/// them there. What no session uses goes, the least recently used first, when jobs need its memory, and when
/// models hold more than half of what jobs may. For the threads of sessions.
class ResidentModels {
 public:
    explicit ResidentModels(Device& device) : device_(device), memory_(device, false) {
        device.SetReclaim([this](uint64_t bytes) { Free(bytes); });
    }

    /// Null when it is not there.
    std::shared_ptr<const ResidentModel> Find(const std::string& key);
    /// Puts it there, and takes that of another session where one was quicker. kOutOfMemory, kCorrupt.
    Expected<std::shared_ptr<const ResidentModel>> Add(const std::string& key, const ScoredModel& model,
                                                       const CancelToken& cancel);

 private:
    struct Entry {
        std::string key;
        std::shared_ptr<const ResidentModel> model;
        uint64_t bytes = 0;
    };

    Expected<std::shared_ptr<ResidentModel>> Load(const ScoredModel& model, const CancelToken& cancel);
    std::shared_ptr<const ResidentModel> FindLocked(const std::string& key);
    void Free(uint64_t bytes);
    /// At least so many bytes, where that can be.
    void FreeLocked(uint64_t bytes);

    Device& device_;
    std::mutex mutex_;  ///< of what follows
    JobMemory memory_;
    DeviceBackend backend_{nullptr, {nullptr}};  ///< that the weights are allocated with; outlives them
    std::list<Entry> entries_;                   ///< the most recently used first
};

}  // namespace dlent::gpu
