#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "core/base/cancel.h"
#include "core/base/status.h"

namespace dlent::gpu {

/// Owns a file descriptor.
class FileDescriptor {
 public:
    FileDescriptor() = default;
    explicit FileDescriptor(int fd) : fd_(fd) {}
    FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    FileDescriptor& operator=(FileDescriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~FileDescriptor();

    int get() const { return fd_; }
    bool valid() const { return fd_ >= 0; }

 private:
    int fd_ = -1;
};

/// Memory that two processes share by passing its descriptor (memfd): without a name, so that it is gone with
/// the last of them, and sealed against a change of size, so that no access to it can fault.
class SharedMemory {
 public:
    SharedMemory() = default;
    SharedMemory(SharedMemory&& other) noexcept { *this = std::move(other); }
    SharedMemory& operator=(SharedMemory&& other) noexcept {
        std::swap(fd_, other.fd_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~SharedMemory();

    /// Zeroed and writable; its pages are there (kOutOfMemory when the machine has no room for them).
    static Expected<SharedMemory> Create(size_t bytes, const CancelToken& cancel);
    enum class Access { kRead, kWrite };
    /// Maps what a peer sent. kCorrupt unless it is sealed and has `bytes` bytes.
    static Expected<SharedMemory> Map(FileDescriptor fd, size_t bytes, Access access = Access::kRead);

    int fd() const { return fd_.get(); }
    size_t size() const { return size_; }
    /// On a page.
    std::byte* data() { return data_; }
    const std::byte* data() const { return data_; }

 private:
    FileDescriptor fd_;
    std::byte* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace dlent::gpu
