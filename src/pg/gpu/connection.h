#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "gpu/protocol/channel.h"
#include "gpu/protocol/job.h"

namespace dlent::pg {

/// What is known of GPUs before one is used.
struct GpuListing {
    struct Entry {
        std::string name;
        std::string kind;
        std::string driver;
        uint64_t memory = 0;
    };
    std::vector<Entry> devices;
    Status problem;  ///< why there are none
};

/// The devices as the supervisor found them; starts one, and waits for it, where none has looked yet or too
/// long ago. For C++ frames; throws PgError when interrupted.
GpuListing ListGpus(const CancelToken& cancel);

/// A greeted connection to the process of one device.
class GpuConnection {
 public:
    /// Device `device`, or the one with the fewest jobs. Starts what is not running, and waits for it. On
    /// failure a Status that says why no GPU is to be had; kCancelled. Throws PgError when interrupted.
    static Expected<GpuConnection> Open(std::optional<int> device, const CancelToken& cancel);
    /// The same, all devices that are to be had, by number; without a connection where that is not `device`
    /// or its process does not run just now. There is one connection at least.
    static Expected<std::vector<std::optional<GpuConnection>>> OpenAll(std::optional<int> device,
                                                                       const CancelToken& cancel);
    /// Only where the process runs already; kNotFound.
    static Expected<GpuConnection> OpenRunning(int device, const CancelToken& cancel);

    int device() const { return device_; }
    /// As it was when the connection was made, or it was asked again.
    const gpu::DeviceStatus& status() const { return status_; }
    /// Asks for the status, on a connection without a job.
    Status AskStatus(const CancelToken& cancel);
    /// How versions call it: "cuda:0".
    std::string name() const { return status_.kind + ":" + std::to_string(device_); }

    Status Send(gpu::MessageType type, const Json& body, int memory = -1) {
        return channel_.Send(type, body, memory);
    }
    /// Waits for the next message, interruptibly. A kError message is returned as such. kNotFound when the
    /// process is gone; kCancelled.
    Expected<gpu::Received> Receive(const CancelToken& cancel);
    /// The next message where there is one already.
    Expected<std::optional<gpu::Received>> ReceiveNow() { return channel_.Receive(); }
    /// Sleeps until one of them has a message, an interrupt, or the time.
    static void WaitForAny(std::span<const GpuConnection* const> connections, long milliseconds);

 private:
    GpuConnection(gpu::Channel channel, int device) : channel_(std::move(channel)), device_(device) {}
    Status Greet(const CancelToken& cancel);
    /// What a process answers at once, or it does not work: kUnsupported.
    Expected<gpu::Received> ReceiveAnswer(const CancelToken& cancel);
    Expected<gpu::Received> ReceiveWithin(std::optional<int> patience_ms, const CancelToken& cancel);

    gpu::Channel channel_;
    int device_;
    gpu::DeviceStatus status_;
};

}  // namespace dlent::pg
