#pragma once

#include <optional>
#include <string>

#include "gpu/protocol/message.h"
#include "gpu/protocol/shared_memory.h"

namespace dlent::gpu {

struct Received {
    Message message;
    FileDescriptor memory;  ///< that came with it
};

/// One end of a connection. All calls are non-blocking but for Send(), which waits up to a second for a peer
/// that does not read.
class Channel {
 public:
    Channel() = default;
    explicit Channel(FileDescriptor fd) : fd_(std::move(fd)) {}

    /// kNotFound when nobody listens there. The peer is checked.
    static Expected<Channel> Connect(const std::string& path);

    int fd() const { return fd_.get(); }
    bool is_open() const { return fd_.valid(); }
    void Close() { fd_ = FileDescriptor(); }

    /// That the peer is a process of the same system user; kInvalidArgument otherwise.
    Status CheckPeer() const;

    /// `memory`: a descriptor to go along, or −1. kNotFound when the peer is gone.
    Status Send(MessageType type, const Json& body, int memory = -1);
    /// The next message, nothing when none is there yet; kNotFound when the peer has closed, kUnsupported or
    /// kCorrupt when it sent what cannot be read.
    Expected<std::optional<Received>> Receive();

 private:
    FileDescriptor fd_;
};

/// A socket that listens at `path` (which must not exist), for this system user alone.
Expected<FileDescriptor> Listen(const std::string& path);

}  // namespace dlent::gpu
