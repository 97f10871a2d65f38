#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "gpu/daemon/device.h"
#include "gpu/daemon/training.h"
#include "gpu/protocol/channel.h"
#include "gpu/protocol/image.h"

namespace dlent::gpu {

/// A connection: the image that its jobs read, and at most one job. Everything but the job's own thread runs
/// on the server's thread.
class Session {
 public:
    /// `wakeup`: an eventfd that is written to when a job ends.
    Session(Device& device, Channel channel, int wakeup)
        : device_(device), channel_(std::move(channel)), wakeup_(wakeup) {}
    /// The job must have ended.
    ~Session();

    int fd() const { return channel_.fd(); }
    /// Handles all messages that are there.
    void Read();
    /// Whether the connection is over; its job may still be on its way to the end.
    bool closed() const { return closed_; }
    bool has_job() const { return job_.joinable(); }
    /// Joins a job that has ended.
    void Reap();
    /// How long a job that runs has been silent; zero without one.
    std::chrono::milliseconds silence() const;

 private:
    class ProgressSender;

    Status Handle(Received received);
    Status OpenImage(Received received);
    Status StartJob(Received received);
    void RunJob(Json body, SharedMemory memory);
    void Send(MessageType type, const Json& body, int memory = -1);
    void Close();

    Device& device_;
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
};

}  // namespace dlent::gpu
