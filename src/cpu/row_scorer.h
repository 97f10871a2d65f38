#pragma once

#include <memory>

#include "core/base/status.h"
#include "core/model/scorer.h"

namespace dlent {

/// Packs `model` for this machine. Networks made of numeric embeddings, one-hot codes and a stack of dense
/// layers get our row kernels; any other graph is run by Network on the CPU backend, one row at a time.
Expected<std::unique_ptr<Scorer>> MakeCpuScorer(Model model);

}  // namespace dlent
