#include "core/model/model.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <new>
#include <optional>

#include "core/formats/safetensors.h"
#include "core/model/member_tensors.h"
#include "core/nn/json_integer.h"
#include "core/nn/layer.h"

namespace dlent {
namespace {

constexpr const char* kFormat = "dlent.model/1";
constexpr const char* kQuantization = "quantization";
constexpr int64_t kMaxMembers = 256;
constexpr size_t kMaxKindLength = 63;
constexpr size_t kQuotedBytes = 64;  ///< of an untrusted name in a message

Status Bad(const std::string& what) {
    return Status::Corrupt("the stored model is not valid", "The reason: " + what + ".");
}

std::string TensorOf(size_t member, const std::string& name) {
    return "tensor \"" + name.substr(0, kQuotedBytes) + "\" of member " + std::to_string(member);
}

/// What the layers of a network declare, by "<layer>.<tensor>".
using Declarations = std::map<std::string, const TensorDeclaration*, std::less<>>;

Declarations DeclarationsOf(const NetworkSpec& network, const std::vector<GraphLayer>& graph) {
    Declarations declarations;
    for (size_t i = 0; i < graph.size(); ++i) {
        for (const TensorDeclaration& tensor : graph[i].layer->tensors())
            declarations.emplace(network.layers[i].name + "." + tensor.name, &tensor);
    }
    return declarations;
}

/// That the network reads what the pipeline makes and answers what the target asks.
Status CheckBorders(const Model& model, const std::vector<GraphLayer>& graph) {
    const NetworkSpec& network = model.network;
    const Pipeline& pipeline = model.pipeline;
    bool fits = network.numeric == pipeline.numeric_count() && network.plain == pipeline.plain_count() &&
                static_cast<int>(network.codes.size()) == pipeline.field_count();
    for (int field = 0; fits && field < pipeline.field_count(); ++field)
        fits = network.codes[field] == pipeline.cardinality(field);
    if (!fits)
        return Bad("its network does not read what its pipeline makes");
    for (size_t i = 0; i < network.layers.size(); ++i) {
        if (network.layers[i].name == network.outputs[0] &&
            graph[i].layer->output().width() != model.target.output_count())
            return Bad("its network has " + std::to_string(graph[i].layer->output().width()) +
                       " outputs where its target takes " + std::to_string(model.target.output_count()));
    }
    return Status::Ok();
}

/// All tensors that the network declares and no other, in their shapes, finite.
Status CheckTensors(const Declarations& declarations, size_t member,
                    const std::vector<NamedTensorData>& tensors) {
    std::map<std::string_view, const NamedTensorData*> by_name;
    for (const NamedTensorData& tensor : tensors) {
        const auto declared = declarations.find(tensor.name);
        if (declared == declarations.end())
            return Bad("its network has no " + TensorOf(member, tensor.name));
        if (!by_name.emplace(tensor.name, &tensor).second)
            return Bad(TensorOf(member, tensor.name) + " is there twice");
        if (tensor.shape != declared->second->shape ||
            tensor.values.size() != static_cast<size_t>(declared->second->count()))
            return Bad(TensorOf(member, tensor.name) + " does not have the shape that its network asks for");
        if (!std::all_of(tensor.values.begin(), tensor.values.end(),
                         [](float value) { return std::isfinite(value); }))
            return Bad(TensorOf(member, tensor.name) + " has a value that is not finite");
    }
    for (const auto& [name, declaration] : declarations) {
        if (!by_name.contains(name))
            return Bad(TensorOf(member, name) + " is missing");
    }
    return Status::Ok();
}

/// That the members cut numbers where the pipeline says: at increasing edges, or a value would fall between
/// bins.
Status CheckEdges(const Model& model) {
    for (const LayerSpec& layer : model.network.layers) {
        if (layer.type != "piecewise_linear_embedding" || layer.inputs[0] != "numeric")
            continue;
        const Json& bins = layer.attributes.at("bins");
        std::vector<float> edges;
        for (int i = 0; i < model.pipeline.numeric_count(); ++i) {
            const std::vector<float>& of_column = model.pipeline.edges(i);
            if (of_column.size() != bins[i].get<size_t>() + 1)
                return Bad("layer \"" + layer.name + "\" does not have the bins of its pipeline");
            edges.insert(edges.end(), of_column.begin(), of_column.end());
        }
        const std::string name = layer.name + ".edges";
        for (size_t member = 0; member < model.members.size(); ++member) {
            for (const NamedTensorData& tensor : model.members[member]) {
                if (tensor.name == name && tensor.values != edges)
                    return Bad(TensorOf(member, name) + " is not what its pipeline says");
            }
        }
    }
    return Status::Ok();
}

/// FromDescription but for memory that is refused.
Expected<Model> ReadDescription(const Json& specification, const Json& pipeline) {
    Model model;
    std::optional<int64_t> member_count;
    try {
        if (specification.at("format") != kFormat)
            return Bad("its format is unknown");
        model.kind = specification.at("kind").get<std::string>();
        member_count = IntegerWithin(specification.at("members"), 1, kMaxMembers);
        const Json& temperature = specification.at("temperature");
        if (!temperature.is_number())
            return Bad("its temperature is not a number");
        model.temperature = temperature.get<float>();
        DLENT_ASSIGN_OR_RETURN(model.target, TargetEncoder::FromJson(specification.at("target")));
        Expected<NetworkSpec> network = NetworkSpec::FromJson(specification.at("network"));
        if (!network.ok()) {
            // a newer version of the format is no damage
            if (network.status().code() != StatusCode::kInvalidArgument)
                return network.status();
            return Bad(network.status().message());
        }
        model.network = std::move(*network);
        if (specification.contains(kQuantization)) {
            DLENT_ASSIGN_OR_RETURN(model.quantization,
                                   Quantization::FromJson(specification.at(kQuantization)));
        }
    } catch (const Json::exception& error) {
        return Bad(error.what());
    }
    if (!member_count)
        return Bad("it has no members, or too many");
    DLENT_ASSIGN_OR_RETURN(model.pipeline, Pipeline::FromJson(pipeline));
    model.members.resize(static_cast<size_t>(*member_count));
    return model;
}

/// FromArtifact but for memory that is refused.
Expected<Model> ReadArtifact(const Json& specification, const Json& pipeline, std::string_view weights) {
    DLENT_ASSIGN_OR_RETURN(Model model, ReadDescription(specification, pipeline));
    DLENT_ASSIGN_OR_RETURN(std::vector<NamedTensorData> tensors, ReadSafetensors(weights));
    auto members = SplitByMember(std::move(tensors), model.members.size());
    if (!members.ok())
        return Bad(members.status().message());
    model.members = std::move(*members);
    DLENT_RETURN_IF_ERROR(model.Validate());
    return model;
}

}  // namespace

Status Model::Validate() const {
    if (kind.empty() || kind.size() > kMaxKindLength)
        return Bad("its kind is empty or too long");
    if (!(temperature > 0.0f) || !std::isfinite(temperature) || !std::isfinite(1.0f / temperature))
        return Bad("its temperature is not a positive number");
    if (members.empty() || members.size() > static_cast<size_t>(kMaxMembers))
        return Bad("it has no members, or too many");
    const Expected<std::vector<GraphLayer>> graph = MakeGraph(network);
    if (!graph.ok())
        return Bad(graph.status().message());
    DLENT_RETURN_IF_ERROR(CheckBorders(*this, *graph));
    const Declarations declarations = DeclarationsOf(network, *graph);
    for (size_t member = 0; member < members.size(); ++member)
        DLENT_RETURN_IF_ERROR(CheckTensors(declarations, member, members[member]));
    if (quantization)
        DLENT_RETURN_IF_ERROR(quantization->Check(network, members.size()));
    return CheckEdges(*this);
}

Json Model::SpecificationJson() const {
    Json json = {{"format", kFormat},          {"kind", kind},
                 {"target", target.ToJson()},  {"members", members.size()},
                 {"temperature", temperature}, {"network", network.ToJson()}};
    if (quantization)
        json[kQuantization] = quantization->ToJson();
    return json;
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
    try {
        return ReadArtifact(specification, pipeline, weights);
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory for a stored model");
    }
}

Expected<Model> Model::FromDescription(const Json& specification, const Json& pipeline) {
    try {
        return ReadDescription(specification, pipeline);
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory for a stored model");
    }
}

}  // namespace dlent
