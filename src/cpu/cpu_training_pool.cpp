#include "cpu/cpu_training_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace dlent {
namespace {

constexpr std::chrono::milliseconds kWatchInterval{10};

/// Blocks every signal of this thread, and so of threads that it starts, for a scope.
class ScopedSignalBlock {
 public:
    ScopedSignalBlock() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &saved_);
    }
    ~ScopedSignalBlock() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }
    ScopedSignalBlock(const ScopedSignalBlock&) = delete;
    ScopedSignalBlock& operator=(const ScopedSignalBlock&) = delete;

 private:
    sigset_t saved_;
};

class CpuTrainingPool final : public TrainingPool {
 public:
    CpuTrainingPool(int threads, CpuIsa max_isa) {
        for (int i = 0; i < std::max(threads, 1); ++i)
            backends_.push_back(MakeCpuBackend(max_isa));
    }

    int width() const override { return static_cast<int>(backends_.size()); }

    Status Run(int count, const std::function<void(int, Backend&)>& task,
               const std::function<void()>& watch) override {
        std::atomic<int> next{0};
        std::mutex mutex;
        std::condition_variable changed;
        size_t ended = 0;
        const auto work = [&](Backend& backend) {
            for (int index = next++; index < count; index = next++)
                task(index, backend);
            const std::scoped_lock lock(mutex);
            ++ended;
            changed.notify_one();
        };

        std::vector<std::jthread> threads;  // joined by their destructors, also when `watch` throws
        threads.reserve(backends_.size());
        std::string refusal;
        {
            const ScopedSignalBlock block;
            try {
                for (size_t i = 0; i < std::min(backends_.size(), static_cast<size_t>(count)); ++i)
                    threads.emplace_back(work, std::ref(*backends_[i]));
            } catch (const std::system_error& error) {
                refusal = error.what();  // those that did start do all the work
            }
        }
        if (threads.empty() && count > 0)
            return {StatusCode::kResourceLimit, "could not start a thread for training", refusal};
        std::unique_lock lock(mutex);
        while (ended < threads.size()) {
            changed.wait_for(lock, kWatchInterval);
            lock.unlock();
            watch();
            lock.lock();
        }
        return Status::Ok();
    }

 private:
    std::vector<std::unique_ptr<Backend>> backends_;
};

}  // namespace

std::unique_ptr<TrainingPool> MakeCpuTrainingPool(int threads, CpuIsa max_isa) {
    return std::make_unique<CpuTrainingPool>(threads, max_isa);
}

}  // namespace dlent
