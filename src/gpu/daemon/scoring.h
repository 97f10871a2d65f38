#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/nn/device_buffer.h"
#include "gpu/daemon/job_signal.h"
#include "gpu/daemon/resident_models.h"

namespace dlent::gpu {

/// Blocks on their way from the connection to the thread that scores them.
class BlockQueue {
 public:
    /// False when there are more than a session may have under way.
    bool Push(const BlockReady& block);
    /// Waits for one; nothing when there will be none.
    std::optional<BlockReady> Take();
    /// There will be none.
    void Close();

 private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<BlockReady> blocks_;
    bool closed_ = false;
};

/// Scores blocks of rows by one model for one session, on the thread that made it: all device memory is taken
/// at the beginning, and a block allocates nothing.
class BlockScorer {
 public:
    /// `weights`: what came with kModel, where something did; else the model must be `resident`. Blocks have
    /// fewer rows than were asked for where memory is short.
    static Expected<std::unique_ptr<BlockScorer>> Create(Device& device, ResidentModels& models,
                                                         const ModelUse& use,
                                                         std::shared_ptr<const ResidentModel> resident,
                                                         SharedMemory weights, const JobSignal& signal);

    const BlockShape& shape() const { return layout_.shape; }
    /// Where blocks are handed over.
    const SharedMemory& memory() const { return memory_; }

    /// From the slot's rows to its logits. kCorrupt when a device could not read the rows, kCancelled.
    Status Score(const BlockReady& block);

 private:
    BlockScorer(Device& device, const JobSignal& signal)
        : device_(device), signal_(signal), allowance_(device) {}
    Status Prepare(uint32_t rows);
    Status CopyInputs(const BlockReady& block);
    Status Run(const BlockReady& block);

    Device& device_;
    const JobSignal& signal_;
    JobMemory allowance_;
    DeviceBackend backend_{nullptr, {nullptr}};
    std::shared_ptr<const ResidentModel> model_;
    std::vector<std::unique_ptr<Network>> members_;
    size_t member_logits_ = 0;  ///< of a row
    BlockLayout layout_;
    SharedMemory memory_;
    // What the device reads is copied first: the session could change its memory after it was looked at.
    std::vector<float> numeric_;
    std::vector<float> plain_;
    std::vector<int32_t> codes_;
    std::vector<float> logits_;
    DeviceBuffer<float> device_numeric_;
    DeviceBuffer<float> device_plain_;
    DeviceBuffer<int32_t> device_codes_;
};

}  // namespace dlent::gpu
