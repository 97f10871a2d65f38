#include <array>

#include "core/nn/layer.h"
#include "core/nn/layers/layers.h"

namespace dlent {
namespace {

struct LayerType {
    std::string_view name;
    Expected<std::unique_ptr<Layer>> (*make)(const LayerSite& site);
};

constexpr std::array kLayerTypes = {
    LayerType{"dense", MakeDense},
    LayerType{"embedding", MakeEmbedding},
    LayerType{"piecewise_linear_embedding", MakePiecewiseLinearEmbedding},
    LayerType{"periodic_embedding", MakePeriodicEmbedding},
    LayerType{"smooth_clip", MakeSmoothClip},
    LayerType{"scale", MakeScale},
    LayerType{"activation", MakeActivation},
    LayerType{"dropout", MakeDropout},
    LayerType{"batch_norm", MakeBatchNorm},
    LayerType{"layer_norm", MakeLayerNorm},
    LayerType{"add", MakeAdd},
    LayerType{"concat", MakeConcat},
    LayerType{"batch_ensemble_dense", MakeBatchEnsembleDense},
    LayerType{"ensemble_heads", MakeEnsembleHeads},
};

constexpr std::array<const char*, 9> kActivationNames = {"identity", "relu", "leaky_relu", "selu",   "gelu",
                                                         "silu",     "mish", "tanh",       "sigmoid"};

}  // namespace

std::vector<std::string_view> LayerTypes() {
    std::vector<std::string_view> names;
    for (const LayerType& type : kLayerTypes) {
        names.push_back(type.name);
    }
    return names;
}

Expected<std::unique_ptr<Layer>> MakeLayer(const LayerSite& site) {
    for (const LayerType& type : kLayerTypes) {
        if (type.name == site.spec.type) {
            return type.make(site);
        }
    }
    std::string known;
    for (const LayerType& type : kLayerTypes) {
        known += known.empty() ? "" : ", ";
        known += type.name;
    }
    return Status::Invalid("layer \"" + site.spec.name + "\" has the unknown type \"" + site.spec.type + "\"",
                           {}, "Known types: " + known + ".");
}

const char* ActivationName(Activation activation) {
    return kActivationNames[static_cast<size_t>(activation)];
}

Expected<Activation> ParseActivation(std::string_view name) {
    std::string known;
    for (size_t i = 0; i < kActivationNames.size(); ++i) {
        if (name == kActivationNames[i]) {
            return static_cast<Activation>(i);
        }
        known += known.empty() ? "" : ", ";
        known += kActivationNames[i];
    }
    return Status::Invalid("unknown activation \"" + std::string(name) + "\"", {},
                           "Known activations: " + known + ".");
}

void Layer::Initialize(size_t, RandomStream&, std::span<float>) const {}

}  // namespace dlent
