#pragma once

#include <cstddef>
#include <utility>

#include "core/base/status.h"
#include "core/nn/backend.h"

namespace dlent {

/// Owns `count` elements of device memory.
template <typename T>
class DeviceBuffer {
 public:
    DeviceBuffer() = default;
    DeviceBuffer(const DeviceBuffer&) = delete;
    DeviceBuffer& operator=(const DeviceBuffer&) = delete;
    DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
    DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
        std::swap(backend_, other.backend_);
        std::swap(data_, other.data_);
        std::swap(count_, other.count_);
        return *this;
    }
    ~DeviceBuffer() {
        if (data_ != nullptr) {
            backend_->Free(data_);
        }
    }

    /// Zeroed; replaces what was held. kOutOfMemory when the device has no room. A count of 0 holds nothing.
    Status Allocate(Backend& backend, size_t count) {
        *this = DeviceBuffer();
        if (count == 0) {
            return Status::Ok();
        }
        if (count > static_cast<size_t>(-1) / sizeof(T)) {
            return {StatusCode::kOutOfMemory, "a buffer of the network is too large"};
        }
        backend_ = &backend;
        data_ = static_cast<T*>(backend.Allocate(count * sizeof(T)));
        if (data_ == nullptr) {
            return {StatusCode::kOutOfMemory, "out of memory for the network",
                    "Failed on " + std::to_string(count * sizeof(T)) + " bytes on device \"" +
                        backend.name() + "\"."};
        }
        count_ = count;
        return Status::Ok();
    }

    T* data() const { return data_; }
    size_t count() const { return count_; }
    size_t bytes() const { return count_ * sizeof(T); }

 private:
    Backend* backend_ = nullptr;
    T* data_ = nullptr;
    size_t count_ = 0;
};

}  // namespace dlent
