#pragma once

#include <memory>

#include "core/train/training_pool.h"
#include "cpu/cpu_backend.h"

namespace dlent {

/// `threads` threads, each with a CPU backend of its own. They live while Run() does, with all signals
/// blocked, so that the process's own thread alone handles them. Not for a database session's process: its
/// server knows nothing of threads.
std::unique_ptr<TrainingPool> MakeCpuTrainingPool(int threads, CpuIsa max_isa = CpuIsa::kAvx512);

}  // namespace dlent
