#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace dlent::cuda {

/// Pinned host memory that uploads pass through, so that a call returns when its source has been read, while
/// what was enqueued before goes on: from pageable memory the driver waits for the stream first. Slots are
/// filled one after another and reused when their copies are done, so the host may be ahead by what fits into
/// them: the next batch is gathered and staged while the last one is computed. Slots come as they are needed.
class StagingRing {
 public:
    static constexpr int kSlots = 4;
    static constexpr size_t kSlotBytes = size_t{4} << 20;

    StagingRing() = default;
    StagingRing(const StagingRing&) = delete;
    StagingRing& operator=(const StagingRing&) = delete;
    /// The stream that it was used with must be at rest.
    ~StagingRing() {
        for (const Slot& slot : slots_) {
            if (slot.copied != nullptr)
                cudaEventDestroy(slot.copied);
            if (slot.memory != nullptr)
                cudaFreeHost(slot.memory);
        }
    }

    /// Enqueues a copy; `host` may change when it has returned. Always the same stream, which records
    /// nothing. `wait` waits for an event in it.
    template <typename Wait>
    cudaError_t Upload(void* device, const void* host, size_t bytes, cudaStream_t stream, const Wait& wait) {
        auto* to = static_cast<char*>(device);
        auto* from = static_cast<const char*>(host);
        while (bytes > 0) {
            if (used_ == kSlotBytes) {
                if (const cudaError_t result = TakeNextSlot(stream, wait); result != cudaSuccess)
                    return result;
            }
            Slot& slot = slots_[current_];
            if (slot.memory == nullptr && !Allocate(&slot))
                return cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream);
            const size_t some = std::min(bytes, kSlotBytes - used_);
            char* const staged = slot.memory + used_;
            std::memcpy(staged, from, some);
            const cudaError_t result = cudaMemcpyAsync(to, staged, some, cudaMemcpyHostToDevice, stream);
            if (result != cudaSuccess)
                return result;
            used_ += (some + kAlignment - 1) / kAlignment * kAlignment;
            to += some;
            from += some;
            bytes -= some;
        }
        return cudaSuccess;
    }

 private:
    static constexpr size_t kAlignment = 64;
    static_assert(kSlotBytes % kAlignment == 0);

    struct Slot {
        char* memory = nullptr;
        cudaEvent_t copied = nullptr;  ///< when all copies from it are
    };

    template <typename Wait>
    cudaError_t TakeNextSlot(cudaStream_t stream, const Wait& wait) {
        if (const cudaError_t result = cudaEventRecord(slots_[current_].copied, stream);
            result != cudaSuccess)
            return result;
        current_ = (current_ + 1) % kSlots;
        used_ = 0;
        const cudaEvent_t copied = slots_[current_].copied;
        return copied == nullptr ? cudaSuccess : wait(copied);
    }

    /// False where the machine has no pinned memory to give: uploads then come from where they are.
    static bool Allocate(Slot* slot) {
        void* memory = nullptr;
        if (cudaEventCreateWithFlags(&slot->copied, cudaEventDisableTiming) == cudaSuccess &&
            cudaHostAlloc(&memory, kSlotBytes, cudaHostAllocDefault) == cudaSuccess) {
            slot->memory = static_cast<char*>(memory);
            return true;
        }
        cudaGetLastError();  // a refusal is an answer, not a fault
        if (slot->copied != nullptr)
            cudaEventDestroy(slot->copied);
        slot->copied = nullptr;
        return false;
    }

    std::array<Slot, kSlots> slots_;
    int current_ = 0;
    size_t used_ = 0;  ///< of the current slot
};

}  // namespace dlent::cuda
