#include "gpu/daemon/device.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace dlent::gpu {
namespace {

constexpr std::chrono::milliseconds kCancelPoll{10};

/// The best seen so far.
void KeepBest(double flops_per_second, double seconds, double* best_flops, double* best_seconds) {
    *best_flops = std::max(*best_flops, flops_per_second);
    *best_seconds = *best_seconds == 0.0 ? seconds : std::min(*best_seconds, seconds);
}

}  // namespace

bool Lane::Place::Take(Lane& lane, const CancelToken& cancel, Place* place) {
    std::unique_lock lock(lane.mutex_);
    const uint64_t ticket = lane.next_ticket_++;
    lane.line_.push_back(ticket);
    const auto is_our_turn = [&] { return lane.free_places_ > 0 && lane.line_.front() == ticket; };
    while (!lane.changed_.wait_for(lock, kCancelPoll, is_our_turn)) {
        if (cancel.IsCancelled()) {
            std::erase(lane.line_, ticket);
            lane.changed_.notify_all();
            return false;
        }
    }
    lane.line_.pop_front();
    --lane.free_places_;
    ++lane.running_;
    lane.changed_.notify_all();
    place->lane_ = &lane;
    return true;
}

Lane::Place::~Place() {
    if (lane_ == nullptr)
        return;
    const std::scoped_lock lock(lane_->mutex_);
    ++lane_->free_places_;
    --lane_->running_;
    ++lane_->done_;
    lane_->changed_.notify_all();
}

Lane::Counts Lane::counts() const {
    const std::scoped_lock lock(mutex_);
    return {running_, line_.size(), done_};
}

bool Device::Reserve(size_t bytes) {
    uint64_t used = memory_used_.load();
    do {
        if (bytes > memory_limit_ || used > memory_limit_ - bytes)
            return false;
    } while (!memory_used_.compare_exchange_weak(used, used + bytes));
    return true;
}

bool Device::ReserveOrReclaim(size_t bytes) {
    if (Reserve(bytes))
        return true;
    reclaim_(bytes);
    return Reserve(bytes);
}

void Device::Learn(double flops_per_second, double step_seconds) {
    const std::scoped_lock lock(mutex_);
    KeepBest(flops_per_second, step_seconds, &flops_per_second_, &step_seconds_);
}

void Device::LearnScoring(uint64_t rows, double flops_per_second, double block_seconds) {
    rows_scored_ += rows;
    const std::scoped_lock lock(mutex_);
    KeepBest(flops_per_second, block_seconds, &scoring_flops_per_second_, &block_seconds_);
}

DeviceStatus Device::status() const {
    DeviceStatus status;
    status.name = info_.name;
    status.kind = plugin_.kind();
    status.driver = info_.driver;
    status.memory_total = info_.memory_bytes;
    status.memory_used = memory_used_;
    status.memory_limit = memory_limit_;
    status.models = models_;
    status.rows_scored = rows_scored_;
    const Lane::Counts jobs = jobs_.counts();
    status.jobs = jobs.running;
    status.waiting = jobs.waiting + spread_jobs_.counts().waiting;
    status.jobs_done = jobs.done;
    const std::scoped_lock lock(mutex_);
    status.flops_per_second = flops_per_second_;
    status.step_seconds = step_seconds_;
    status.scoring_flops_per_second = scoring_flops_per_second_;
    status.block_seconds = block_seconds_;
    status.pid = static_cast<uint64_t>(getpid());
    return status;
}

int JobMemory::Reserve(void* context, size_t bytes) {
    auto* const memory = static_cast<JobMemory*>(context);
    if (memory->may_reclaim_ ? memory->device_.ReserveOrReclaim(bytes) : memory->device_.Reserve(bytes)) {
        memory->held_ += bytes;
        return 1;
    }
    memory->refused_ = true;
    return 0;
}

void JobMemory::Release(void* context, size_t bytes) {
    auto* const memory = static_cast<JobMemory*>(context);
    memory->held_ -= bytes;
    memory->device_.Release(bytes);
}

Expected<DeviceBackend> JobMemory::MakeBackend(Precision precision, const std::string& hint) const {
    Expected<DeviceBackend> backend = device_.MakeBackend(precision, gate_);
    // what else may be in its way has nothing to do with memory
    if (!backend.ok() && refused_)
        return Explain(backend.status(), hint);
    return backend;
}

Status JobMemory::Explain(const Status& status, const std::string& hint) const {
    if (status.code() != StatusCode::kOutOfMemory)
        return status;
    const DeviceStatus now = device_.status();
    std::string detail = status.detail();
    if (refused_)
        detail += (detail.empty() ? "" : " ") + std::string("Jobs may hold ") +
                  std::to_string(now.memory_limit >> 20) + " MB of \"" + now.name + "\", and hold " +
                  std::to_string(now.memory_used >> 20) + " MB.";
    return {StatusCode::kOutOfMemory, "out of memory on the GPU", std::move(detail), hint};
}

}  // namespace dlent::gpu
