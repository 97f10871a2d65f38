#pragma once

#include "core/explain/explainer_kernels.h"
#include "cpu/cpu_backend.h"

namespace dlent {

/// The fastest set that this processor runs, up to `max_isa`.
const ExplainerKernels& SelectExplainerKernels(CpuIsa max_isa);

#if defined(__x86_64__)
// One set per translation unit; SelectExplainerKernels is the only caller.
const ExplainerKernels& Avx2ExplainerKernels();
const ExplainerKernels& Avx512ExplainerKernels();
#endif

}  // namespace dlent
