#pragma once

#include <memory>

#include "core/nn/backend.h"

namespace dlent {

/// Instruction sets that the kernels are compiled for, each including those before it.
enum class CpuIsa { kGeneric, kAvx2, kAvx512 };

/// The best that this processor runs.
CpuIsa DetectCpuIsa();

/// The processor as a device, one thread: an operator has run when it returns. The same inputs give the
/// same bytes on processors with the same instruction set. `max_isa` is for tests; more than the processor
/// runs is not used.
std::unique_ptr<Backend> MakeCpuBackend(CpuIsa max_isa = CpuIsa::kAvx512);

}  // namespace dlent
