#pragma once

#include <functional>

#include "core/base/status.h"
#include "core/nn/backend.h"

namespace dlent {

/// Where trainings of one model's networks run beside each other. A training gives the same bytes wherever it
/// runs. Only a process that is not a database session's may have one: CpuTrainingPool in cpu/.
class TrainingPool {
 public:
    virtual ~TrainingPool() = default;

    /// How many tasks run at the same time, at most.
    virtual int width() const = 0;

    /// Calls task(0, backend) ... task(count − 1, backend), each once, begun in that order, on threads of its
    /// own; no two tasks use a backend at the same time. Meanwhile calls `watch` on this thread, at least
    /// every 20 ms. Returns when all are done. Tasks must not throw; kResourceLimit when no thread is to be
    /// had, and then none was called.
    virtual Status Run(int count, const std::function<void(int task, Backend& backend)>& task,
                       const std::function<void()>& watch) = 0;
};

}  // namespace dlent
