#include "core/train/calibrate_quantization.h"

#include <algorithm>
#include <cmath>

#include "core/nn/network.h"

namespace dlent {
namespace {

constexpr int kBatch = 256;

/// The network up to and with `layer`.
NetworkSpec UpTo(const NetworkSpec& network, const std::string& layer) {
    NetworkSpec part = network;
    const auto last = std::find_if(part.layers.begin(), part.layers.end(),
                                   [&layer](const LayerSpec& spec) { return spec.name == layer; });
    part.layers.erase(std::next(last), part.layers.end());
    part.outputs = {layer};
    return part;
}

/// The tensors of these that `network` has.
std::vector<NamedTensorData> TensorsOf(const Network& network, const std::vector<NamedTensorData>& tensors) {
    std::vector<NamedTensorData> own;
    for (const ParameterInfo& parameter : network.parameters()) {
        for (const NamedTensorData& tensor : tensors) {
            if (tensor.name == parameter.name)
                own.push_back(tensor);
        }
    }
    return own;
}

Expected<InputQuantization> CalibrateInput(Network* network, const TrainingData& data,
                                           std::span<const uint32_t> rows, Backend& backend,
                                           const CancelToken& cancel) {
    float low = 0.0f;
    float high = 0.0f;
    std::vector<float> values;
    for (size_t first = 0; first < rows.size(); first += kBatch) {
        const auto batch = rows.subspan(first, std::min<size_t>(kBatch, rows.size() - first));
        values.resize(batch.size() * static_cast<size_t>(network->outputs()));
        DLENT_RETURN_IF_ERROR(PredictLogits(*network, backend, data, batch, values, cancel));
        for (const float value : values) {
            if (!std::isfinite(value))
                return Status(StatusCode::kNonFinite, "layer \"" + network->spec().outputs[0] +
                                                          "\" gives values that are not finite");
            low = std::min(low, value);
            high = std::max(high, value);
        }
    }
    return InputQuantization::OfRange(low, high);
}

}  // namespace

Expected<Quantization> CalibrateQuantization(const Model& model, const TrainingData& data,
                                             std::span<const uint32_t> rows, Backend& backend,
                                             const CancelToken& cancel) {
    Quantization quantization;
    quantization.layers = QuantizableLayers(model.network);
    if (quantization.layers.empty())
        return Status(StatusCode::kUnsupported, "the network has no layer that can be computed in int8");
    quantization.inputs.resize(model.members.size());
    for (const LayerSpec& layer : model.network.layers) {
        if (std::find(quantization.layers.begin(), quantization.layers.end(), layer.name) ==
            quantization.layers.end())
            continue;
        DLENT_ASSIGN_OR_RETURN(const std::unique_ptr<Network> network,
                               Network::Create(UpTo(model.network, layer.inputs[0]), backend, kBatch, false));
        for (size_t member = 0; member < model.members.size(); ++member) {
            DLENT_RETURN_IF_ERROR(network->Load(TensorsOf(*network, model.members[member])));
            DLENT_ASSIGN_OR_RETURN(const InputQuantization input,
                                   CalibrateInput(network.get(), data, rows, backend, cancel));
            quantization.inputs[member].push_back(input);
        }
    }
    return quantization;
}

}  // namespace dlent
