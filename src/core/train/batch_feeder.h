#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/nn/device_buffer.h"
#include "core/nn/network.h"
#include "core/train/trainer.h"

namespace dlent {

/// Brings mini-batches of a TrainingData to the device, through staging memory that is allocated once.
class BatchFeeder {
 public:
    BatchFeeder(Backend& backend, const TrainingData& data) : backend_(backend), data_(data) {}

    /// Room for batches of `max_rows` of what `spec` reads, and their targets and weights `with_targets`.
    Status Prepare(const NetworkSpec& spec, int max_rows, bool with_targets);

    /// Gathers and uploads rows; the result is valid until the next call.
    BatchInputs Feed(std::span<const uint32_t> rows);
    /// The batch of so many rows that was fed last, or will be before anything reads it.
    BatchInputs Fed(int rows) const {
        return {rows, numeric_.device.data(), plain_.device.data(), codes_.device.data()};
    }

    /// Brings all rows of the data to the device, once and for all, when they lie in memory, it wants them
    /// there and has the room: whether it has. kCancelled.
    Expected<bool> MakeResident(const CancelToken& cancel);
    /// The rows order[first], ..., of data that is resident; `order` is the device's.
    BatchInputs FeedResident(const uint32_t* order, size_t first, int rows);

    const void* targets() const { return targets_.device.data(); }
    /// Null when the data has none.
    const float* weights() const { return weights_.device.data(); }

 private:
    template <typename T>
    struct Staged {
        std::vector<T> host;
        DeviceBuffer<T> device;
        DeviceBuffer<T> table;  ///< all rows, when resident
        size_t width = 0;

        Status Prepare(Backend& backend, size_t width_, size_t rows) {
            width = width_;
            host.resize(width * rows);
            return device.Allocate(backend, width * rows);
        }
        T* Host() { return width > 0 ? host.data() : nullptr; }
        void Upload(Backend& backend, size_t rows) {
            if (width > 0) {
                backend.Upload(device.data(), host.data(), rows * width * sizeof(T));
            }
        }
        Status UploadTable(Backend& backend, const void* rows, const CancelToken& cancel) {
            constexpr size_t kPiece = size_t{16} << 20;
            const auto* from = static_cast<const char*>(rows);
            auto* const to = reinterpret_cast<char*>(table.data());
            for (size_t done = 0; done < table.bytes(); done += kPiece) {
                if (cancel.IsCancelled()) {
                    return Status::Cancelled();
                }
                backend.Upload(to + done, from + done, std::min(kPiece, table.bytes() - done));
            }
            return Status::Ok();
        }
        RowGather OnDevice() { return {static_cast<int>(width), table.data(), device.data()}; }
    };

    /// Calls f for every part.
    template <typename Function>
    void ForEach(Function f) {
        f(numeric_);
        f(plain_);
        f(codes_);
        f(targets_);
        f(weights_);
    }

    Backend& backend_;
    const TrainingData& data_;
    Staged<float> numeric_;
    Staged<float> plain_;
    Staged<int32_t> codes_;
    Staged<float> targets_;  ///< or the bits of int32 labels
    Staged<float> weights_;
};

}  // namespace dlent
