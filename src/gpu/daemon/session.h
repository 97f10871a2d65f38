#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "gpu/daemon/device.h"
#include "gpu/daemon/resident_models.h"
#include "gpu/daemon/scoring.h"
#include "gpu/daemon/training.h"
#include "gpu/protocol/channel.h"
#include "gpu/protocol/image.h"

namespace dlent::gpu {

/// A connection: the image that its jobs read, and at most one job: a training, or the scoring of blocks for
/// as long as the connection lasts. Everything but the job's own thread runs on the server's thread.
class Session {
 public:
    /// `wakeup`: an eventfd that is written to when a job ends.
    Session(Device& device, ResidentModels& models, Channel channel, int wakeup)
        : device_(device), models_(models), channel_(std::move(channel)), wakeup_(wakeup) {}
    /// The job must have ended.
    ~Session();

    int fd() const { return channel_.fd(); }
    /// Handles all messages that are there.
    void Read();
    /// Whether the connection is over; its job may still be on its way to the end.
    bool closed() const { return closed_; }
    bool has_job() const { return job_.joinable(); }
    /// Whether it has been given something to do, rather than asked how things are.
    bool in_use() const { return data_.has_value() || scores_ || has_job(); }
    /// Joins a job that has ended.
    void Reap();
    /// How long a job that runs has been silent; zero without one.
    std::chrono::milliseconds silence() const;

 private:
    class ProgressSender;

    Status Handle(Received received);
    Status OpenImage(Received received);
    Status StartJob(Received received);
    Status UseModel(Received received);
    Status QueueBlock(const Json& body);
    Status StartThread(std::function<void()> body);
    void RunJob(const Json& body, const RankOfJob& rank, SharedMemory memory);
    void RunScoring(const ModelUse& use, std::shared_ptr<const ResidentModel> resident, SharedMemory weights);
    Status ScoreBlocks(const ModelUse& use, std::shared_ptr<const ResidentModel> resident,
                       SharedMemory weights);
    void Wake();
    void Cancel();
    void Send(MessageType type, const Json& body, int memory = -1);
    void Close();

    Device& device_;
    ResidentModels& models_;
    Channel channel_;
    const int wakeup_;
    std::mutex send_mutex_;
    std::atomic<bool> closed_ = false;
    bool greeted_ = false;

    SharedMemory image_;
    std::optional<ImageData> data_;

    std::thread job_;
    std::unique_ptr<JobSignal> signal_;
    std::atomic<bool> job_ended_ = false;

    bool scores_ = false;  ///< the connection is for scoring
    BlockQueue blocks_;
    std::mutex shape_mutex_;
    std::optional<BlockShape> block_shape_;  ///< of blocks, once they may come
};

}  // namespace dlent::gpu
