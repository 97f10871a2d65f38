#pragma once

#include <memory>

#include "core/base/status.h"
#include "core/nn/layer.h"

/// What the table of layer_registry.cpp points at; the attributes of each type stand in network_spec.h.
namespace dlent {

using MadeLayer = Expected<std::unique_ptr<Layer>>;

MadeLayer MakeDense(const LayerSite& site);
MadeLayer MakeEmbedding(const LayerSite& site);
MadeLayer MakePiecewiseLinearEmbedding(const LayerSite& site);
MadeLayer MakePeriodicEmbedding(const LayerSite& site);
MadeLayer MakeSmoothClip(const LayerSite& site);
MadeLayer MakeScale(const LayerSite& site);
MadeLayer MakeActivation(const LayerSite& site);
MadeLayer MakeDropout(const LayerSite& site);
MadeLayer MakeBatchNorm(const LayerSite& site);
MadeLayer MakeLayerNorm(const LayerSite& site);
MadeLayer MakeAdd(const LayerSite& site);
MadeLayer MakeConcat(const LayerSite& site);
MadeLayer MakeBatchEnsembleDense(const LayerSite& site);
MadeLayer MakeEnsembleHeads(const LayerSite& site);

}  // namespace dlent
