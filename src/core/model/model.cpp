#include "core/model/model.h"

#include <cmath>

#include "core/formats/safetensors.h"

namespace dlent {
namespace {

constexpr const char* kFormat = "dlent.model/1";
constexpr size_t kMaxMembers = 256;

}  // namespace

Json Model::SpecificationJson() const {
    return {{"format", kFormat},          {"kind", kind},
            {"target", target.ToJson()},  {"members", members.size()},
            {"temperature", temperature}, {"network", network.ToJson()}};
}

std::string Model::WeightsBytes() const {
    std::vector<NamedTensorData> tensors;
    for (size_t member = 0; member < members.size(); ++member) {
        for (const NamedTensorData& tensor : members[member]) {
            tensors.push_back(tensor);
            tensors.back().name = std::to_string(member) + "/" + tensor.name;
        }
    }
    return WriteSafetensors(tensors, {{"format", kFormat}, {"kind", kind}});
}

Expected<Model> Model::FromArtifact(const Json& specification, const Json& pipeline,
                                    std::string_view weights) {
    auto bad = [](const std::string& what) {
        return Status::Corrupt("the stored model is not valid", "The reason: " + what + ".");
    };
    Model model;
    size_t member_count = 0;
    try {
        if (specification.at("format") != kFormat)
            return bad("its format is unknown");
        model.kind = specification.at("kind").get<std::string>();
        member_count = specification.at("members").get<size_t>();
        model.temperature = specification.at("temperature").get<float>();
        DLENT_ASSIGN_OR_RETURN(model.target, TargetEncoder::FromJson(specification.at("target")));
        DLENT_ASSIGN_OR_RETURN(model.network, NetworkSpec::FromJson(specification.at("network")));
    } catch (const Json::exception& error) {
        return bad(error.what());
    }
    if (member_count < 1 || member_count > kMaxMembers)
        return bad("it has no members, or too many");
    if (!(model.temperature > 0.0f) || !std::isfinite(model.temperature))
        return bad("its temperature is not a positive number");
    DLENT_ASSIGN_OR_RETURN(model.pipeline, Pipeline::FromJson(pipeline));

    const NetworkSpec& network = model.network;
    bool fits = network.numeric == model.pipeline.numeric_count() &&
                network.plain == model.pipeline.plain_count() &&
                static_cast<int>(network.codes.size()) == model.pipeline.field_count();
    for (int field = 0; fits && field < model.pipeline.field_count(); ++field)
        fits = network.codes[field] == model.pipeline.cardinality(field);
    if (!fits)
        return bad("its network does not read what its pipeline makes");

    DLENT_ASSIGN_OR_RETURN(std::vector<NamedTensorData> tensors, ReadSafetensors(weights));
    model.members.resize(member_count);
    for (NamedTensorData& tensor : tensors) {
        const size_t slash = tensor.name.find('/');
        size_t member = member_count;
        if (slash != std::string::npos && slash > 0 && slash < 4 &&
            tensor.name.find_first_not_of("0123456789") == slash)
            member = std::stoul(tensor.name.substr(0, slash));
        if (member >= member_count)
            return bad("tensor \"" + tensor.name + "\" belongs to no member");
        tensor.name.erase(0, slash + 1);
        model.members[member].push_back(std::move(tensor));
    }
    return model;
}

}  // namespace dlent
