#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "core/base/status.h"
#include "core/model/scorer.h"
#include "cpu/cpu_backend.h"

namespace dlent {

/// Scores from an image that PackedModel::Pack() made, wherever it lies: `owner` keeps it there. Networks
/// made of numeric embeddings, one-hot codes and a stack of dense layers get our row kernels; any other graph
/// is run by Network on the CPU backend, one row at a time. Only the description and the working memory are
/// the scorer's own. kCorrupt, kUnsupported as ModelImage::Open, kOutOfMemory. `max_isa` is for tests, as in
/// MakeCpuBackend.
Expected<std::unique_ptr<Scorer>> MakeCpuScorer(std::span<const std::byte> image,
                                                std::shared_ptr<const void> owner,
                                                CpuIsa max_isa = CpuIsa::kAvx512);

/// The same from a model that is packed first. kCorrupt when the model's parts do not fit each other
/// (Model::Validate).
Expected<std::unique_ptr<Scorer>> MakeCpuScorer(const Model& model, CpuIsa max_isa = CpuIsa::kAvx512);

}  // namespace dlent
