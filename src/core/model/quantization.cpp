#include "core/model/quantization.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "core/nn/json_integer.h"

namespace dlent {
namespace {

constexpr const char* kType = "int8";

Status BadQuantization(const std::string& what) {
    return Status::Corrupt("the quantization of the stored model is not valid", "The reason: " + what + ".");
}

Expected<InputQuantization> ReadInput(const Json& json) {
    InputQuantization input;
    const Json& scale = json.at("scale");
    const auto zero_point = IntegerWithin(json.at("zero_point"), 0, InputQuantization::kLevels);
    if (!scale.is_number() || !zero_point)
        return BadQuantization("a scale or a zero point is not a number within its limits");
    input.scale = scale.get<float>();
    if (!(input.scale >= InputQuantization::kMinScale && input.scale <= InputQuantization::kMaxScale))
        return BadQuantization("a scale is not a number within its limits");
    input.zero_point = static_cast<int>(*zero_point);
    return input;
}

}  // namespace

InputQuantization InputQuantization::OfRange(float low, float high) {
    low = std::min(low, 0.0f);
    high = std::max(high, 0.0f);
    InputQuantization input;
    if (high > low) {
        const double step = (static_cast<double>(high) - low) / kLevels;
        input.scale = std::clamp(static_cast<float>(step), kMinScale, kMaxScale);
        input.zero_point = std::clamp(static_cast<int>(std::lround(-low / input.scale)), 0, kLevels);
    }
    return input;
}

Json Quantization::ToJson() const {
    Json members = Json::array();
    for (const std::vector<InputQuantization>& member : inputs) {
        Json& list = members.emplace_back(Json::array());
        for (const InputQuantization& input : member)
            list.push_back({{"scale", input.scale}, {"zero_point", input.zero_point}});
    }
    return {{"type", kType}, {"layers", layers}, {"inputs", std::move(members)}};
}

Expected<Quantization> Quantization::FromJson(const Json& json) {
    if (json.at("type") != kType)
        return BadQuantization("its type is unknown");
    Quantization quantization;
    quantization.layers = json.at("layers").get<std::vector<std::string>>();
    if (!json.at("inputs").is_array())
        return BadQuantization("its inputs are not an array");
    for (const Json& member : json.at("inputs")) {
        if (!member.is_array())
            return BadQuantization("the inputs of a member are not an array");
        std::vector<InputQuantization>& inputs = quantization.inputs.emplace_back();
        for (const Json& entry : member) {
            DLENT_ASSIGN_OR_RETURN(const InputQuantization input, ReadInput(entry));
            inputs.push_back(input);
        }
    }
    return quantization;
}

Status Quantization::Check(const NetworkSpec& network, size_t members) const {
    if (layers.empty() || layers != QuantizableLayers(network))
        return BadQuantization("its layers are not those of the network that int8 is for");
    const bool complete = inputs.size() == members &&
                          std::all_of(inputs.begin(), inputs.end(),
                                      [this](const auto& member) { return member.size() == layers.size(); });
    return complete ? Status::Ok()
                    : BadQuantization("it is not of as many members and layers as the model has");
}

std::vector<std::string> QuantizableLayers(const NetworkSpec& network) {
    static constexpr std::array<std::string_view, 5> kPlain = {"piecewise_linear_embedding", "smooth_clip",
                                                               "embedding", "dropout", "dense"};
    std::vector<std::string> layers;
    std::string last;  // of the stack of dense layers
    for (const LayerSpec& layer : network.layers) {
        if (std::find(kPlain.begin(), kPlain.end(), layer.type) == kPlain.end())
            return {};
        const bool continues = layer.inputs.size() == 1 && layer.inputs[0] == last;
        if (layer.type == "dense") {
            if (!last.empty() && !continues)
                return {};
            if (continues && layer.name != network.outputs[0])
                layers.push_back(layer.name);
            last = layer.name;
        } else if (layer.type == "dropout" && continues) {
            last = layer.name;
        }
    }
    return layers;
}

}  // namespace dlent
