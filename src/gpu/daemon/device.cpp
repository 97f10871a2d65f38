#include "gpu/daemon/device.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace dlent::gpu {
namespace {

constexpr std::chrono::milliseconds kCancelPoll{10};

}  // namespace

bool Device::Place::Take(Device& device, const CancelToken& cancel, Place* place) {
    std::unique_lock lock(device.mutex_);
    const uint64_t ticket = device.next_ticket_++;
    device.line_.push_back(ticket);
    const auto is_our_turn = [&] { return device.free_places_ > 0 && device.line_.front() == ticket; };
    while (!device.changed_.wait_for(lock, kCancelPoll, is_our_turn)) {
        if (cancel.IsCancelled()) {
            std::erase(device.line_, ticket);
            device.changed_.notify_all();
            return false;
        }
    }
    device.line_.pop_front();
    --device.free_places_;
    ++device.running_;
    device.changed_.notify_all();
    place->device_ = &device;
    return true;
}

Device::Place::~Place() {
    if (device_ == nullptr)
        return;
    const std::scoped_lock lock(device_->mutex_);
    ++device_->free_places_;
    --device_->running_;
    ++device_->jobs_done_;
    device_->changed_.notify_all();
}

bool Device::Reserve(size_t bytes) {
    uint64_t used = memory_used_.load();
    do {
        if (bytes > memory_limit_ || used > memory_limit_ - bytes)
            return false;
    } while (!memory_used_.compare_exchange_weak(used, used + bytes));
    return true;
}

void Device::Learn(double flops_per_second, double step_seconds) {
    const std::scoped_lock lock(mutex_);
    flops_per_second_ = std::max(flops_per_second_, flops_per_second);
    step_seconds_ = step_seconds_ == 0.0 ? step_seconds : std::min(step_seconds_, step_seconds);
}

DeviceStatus Device::status() const {
    DeviceStatus status;
    status.name = info_.name;
    status.kind = plugin_.kind();
    status.driver = info_.driver;
    status.memory_total = info_.memory_bytes;
    status.memory_used = memory_used_;
    status.memory_limit = memory_limit_;
    const std::scoped_lock lock(mutex_);
    status.jobs = running_;
    status.waiting = line_.size();
    status.jobs_done = jobs_done_;
    status.flops_per_second = flops_per_second_;
    status.step_seconds = step_seconds_;
    status.pid = static_cast<uint64_t>(getpid());
    return status;
}

int JobMemory::Reserve(void* context, size_t bytes) {
    auto* const memory = static_cast<JobMemory*>(context);
    if (memory->device_.Reserve(bytes))
        return 1;
    memory->refused_ = true;
    return 0;
}

void JobMemory::Release(void* context, size_t bytes) {
    static_cast<JobMemory*>(context)->device_.Release(bytes);
}

}  // namespace dlent::gpu
