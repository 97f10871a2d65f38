#pragma once

#include <memory>

#include "core/base/status.h"
#include "core/model/scorer.h"
#include "cpu/cpu_backend.h"

namespace dlent {

/// Packs `model` for this machine. Networks made of numeric embeddings, one-hot codes and a stack of dense
/// layers get our row kernels; any other graph is run by Network on the CPU backend, one row at a time.
/// kCorrupt when the model's parts do not fit each other (Model::Validate), kOutOfMemory. `max_isa` is for
/// tests, as in MakeCpuBackend.
Expected<std::unique_ptr<Scorer>> MakeCpuScorer(Model model, CpuIsa max_isa = CpuIsa::kAvx512);

}  // namespace dlent
