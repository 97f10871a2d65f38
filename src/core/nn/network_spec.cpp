#include "core/nn/network_spec.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "core/nn/json_integer.h"
#include "core/nn/layer.h"

namespace dlent {
namespace {

constexpr size_t kMaxNameLength = 63;
constexpr size_t kMaxInputs = 1000;  ///< of one layer

Status SpecError(const std::string& problem) {
    return Status::Invalid("network specification: " + problem);
}

/// Letters, digits and underscores: safe in tensor names and file formats.
bool IsValidName(std::string_view name) {
    return !name.empty() && name.size() <= kMaxNameLength &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
           });
}

/// An untrusted text for a message: shortened, and plain ASCII whatever it was.
std::string Quoted(const std::string& text) {
    std::string quoted = "\"";
    for (const char c : text.substr(0, kMaxNameLength)) {
        quoted += c >= ' ' && c <= '~' && c != '"' ? c : '?';
    }
    return quoted + (text.size() > kMaxNameLength ? "...\"" : "\"");
}

Status ReadInteger(const Json& object, const char* key, int64_t low, int64_t high, bool required,
                   int64_t* value) {
    const auto found = object.find(key);
    if (found == object.end()) {
        return required ? SpecError(std::string("\"") + key + "\" is missing") : Status::Ok();
    }
    const std::optional<int64_t> integer = IntegerWithin(*found, low, high);
    if (!integer) {
        return SpecError(std::string("\"") + key + "\" must be an integer between " + std::to_string(low) +
                         " and " + std::to_string(high));
    }
    *value = *integer;
    return Status::Ok();
}

Status RefuseUnknownKeys(const Json& object, std::initializer_list<std::string_view> known,
                         const std::string& where) {
    for (const auto& [key, value] : object.items()) {
        if (std::find(known.begin(), known.end(), key) == known.end()) {
            return SpecError("unknown key " + Quoted(key) + where);
        }
    }
    return Status::Ok();
}

Status ReadInputs(const Json& json, NetworkSpec* spec) {
    const auto inputs = json.find("inputs");
    if (inputs == json.end() || !inputs->is_object()) {
        return SpecError("\"inputs\" must be an object");
    }
    DLENT_RETURN_IF_ERROR(RefuseUnknownKeys(*inputs, {"numeric", "plain", "codes"}, " in \"inputs\""));
    int64_t numeric = 0;
    int64_t plain = 0;
    DLENT_RETURN_IF_ERROR(ReadInteger(*inputs, "numeric", 0, NetworkSpec::kMaxWidth, false, &numeric));
    DLENT_RETURN_IF_ERROR(ReadInteger(*inputs, "plain", 0, NetworkSpec::kMaxWidth, false, &plain));
    spec->numeric = static_cast<int>(numeric);
    spec->plain = static_cast<int>(plain);
    const auto codes = inputs->find("codes");
    if (codes == inputs->end()) {
        return Status::Ok();
    }
    if (!codes->is_array() || codes->size() > static_cast<size_t>(NetworkSpec::kMaxWidth)) {
        return SpecError("\"codes\" must be a list of cardinalities");
    }
    for (const Json& cardinality : *codes) {
        const std::optional<int64_t> levels = IntegerWithin(cardinality, 1, NetworkSpec::kMaxParameters);
        if (!levels) {
            return SpecError("a cardinality in \"codes\" must be an integer between 1 and " +
                             std::to_string(NetworkSpec::kMaxParameters));
        }
        spec->codes.push_back(static_cast<int32_t>(*levels));
    }
    return Status::Ok();
}

/// A list of names, or one name where `single_allowed`.
Status ReadNames(const Json& object, const char* key, bool single_allowed, const std::string& where,
                 std::vector<std::string>* names) {
    const auto found = object.find(key);
    const std::string problem = where + "\"" + key + "\" must be a list of names";
    if (found == object.end()) {
        return SpecError(problem);
    }
    if (single_allowed && found->is_string()) {
        names->push_back(found->get<std::string>());
        return Status::Ok();
    }
    if (!found->is_array() || found->empty() || found->size() > kMaxInputs) {
        return SpecError(problem);
    }
    for (const Json& name : *found) {
        if (!name.is_string()) {
            return SpecError(problem);
        }
        names->push_back(name.get<std::string>());
    }
    return Status::Ok();
}

Status ReadLayer(const Json& json, size_t index, LayerSpec* layer) {
    const std::string position = "layer " + std::to_string(index + 1);
    if (!json.is_object()) {
        return SpecError(position + " must be an object");
    }
    for (const auto& [key, to] : {std::pair{"name", &layer->name}, std::pair{"type", &layer->type}}) {
        const auto found = json.find(key);
        if (found == json.end() || !found->is_string()) {
            return SpecError(position + ": \"" + key + "\" must be a text");
        }
        *to = found->get<std::string>();
        if (!IsValidName(*to)) {
            return SpecError(position + ": \"" + key +
                             "\" must be 1 to 63 letters, digits or underscores, not " + Quoted(*to));
        }
    }
    DLENT_RETURN_IF_ERROR(
        ReadNames(json, "inputs", false, "layer \"" + layer->name + "\": ", &layer->inputs));
    for (const auto& [key, value] : json.items()) {
        if (key == "name" || key == "type" || key == "inputs") {
            continue;
        }
        if (!IsValidName(key)) {
            return SpecError("layer \"" + layer->name + "\": unknown attribute " + Quoted(key));
        }
        layer->attributes[key] = value;
    }
    return Status::Ok();
}

/// The members-independent limits on what the network reads.
Status CheckInputs(const NetworkSpec& spec) {
    if (spec.numeric < 0 || spec.numeric > NetworkSpec::kMaxWidth || spec.plain < 0 ||
        spec.plain > NetworkSpec::kMaxWidth ||
        spec.codes.size() > static_cast<size_t>(NetworkSpec::kMaxWidth)) {
        return SpecError("the number of inputs is out of range");
    }
    int64_t levels = 0;
    for (const int32_t cardinality : spec.codes) {
        if (cardinality < 1) {
            return SpecError("a cardinality in \"codes\" must be at least 1");
        }
        levels += cardinality;
    }
    if (levels > NetworkSpec::kMaxParameters) {
        return SpecError("the cardinalities in \"codes\" add up to more than " +
                         std::to_string(NetworkSpec::kMaxParameters));
    }
    if (spec.members < 1 || spec.members > NetworkSpec::kMaxMembers) {
        return SpecError("\"members\" must be between 1 and " + std::to_string(NetworkSpec::kMaxMembers));
    }
    if (spec.layers.empty() || spec.layers.size() > static_cast<size_t>(NetworkSpec::kMaxLayers)) {
        return SpecError("there must be between 1 and " + std::to_string(NetworkSpec::kMaxLayers) +
                         " layers");
    }
    return Status::Ok();
}

/// Resolves names to values while the layers are walked in order.
class GraphMaker {
 public:
    explicit GraphMaker(const NetworkSpec& spec) : spec_(spec) {
        AddValue("numeric", {false, 1, {spec.numeric}});
        AddValue("plain", {false, 1, {spec.plain}});
        AddValue("codes", {true, 1, {static_cast<int64_t>(spec.codes.size())}});
    }

    Expected<std::vector<GraphLayer>> Make() {
        std::vector<GraphLayer> graph;
        for (const LayerSpec& layer : spec_.layers) {
            DLENT_RETURN_IF_ERROR(AddLayer(layer, &graph));
        }
        DLENT_RETURN_IF_ERROR(CheckOutputs());
        return graph;
    }

 private:
    void AddValue(const std::string& name, ValueShape shape) {
        values_.emplace(name, static_cast<int>(shapes_.size()));
        shapes_.push_back(std::move(shape));
        read_.push_back(false);
    }

    Status AddLayer(const LayerSpec& layer, std::vector<GraphLayer>* graph) {
        if (!IsValidName(layer.name)) {
            return SpecError("a layer's name must be 1 to 63 letters, digits or underscores, not " +
                             Quoted(layer.name));
        }
        if (values_.contains(layer.name)) {
            return LayerProblem(layer, "its name is taken");
        }
        if (layer.inputs.empty() || layer.inputs.size() > kMaxInputs) {
            return LayerProblem(layer, "has no inputs, or too many");
        }
        GraphLayer node;
        LayerSite site{spec_, layer, {}};
        for (const std::string& input : layer.inputs) {
            const auto found = values_.find(input);
            if (found == values_.end()) {
                return LayerProblem(layer, "input " + Quoted(input) +
                                               " is not an input of the network or an " + "earlier layer");
            }
            const ValueShape& shape = shapes_[found->second];
            if (shape.width() == 0) {
                return LayerProblem(layer, "input " + Quoted(input) + " has no columns");
            }
            read_[found->second] = true;
            node.inputs.push_back(found->second);
            site.inputs.push_back(shape);
        }
        DLENT_ASSIGN_OR_RETURN(node.layer, MakeLayer(site));
        DLENT_RETURN_IF_ERROR(CheckSizes(layer, *node.layer));
        AddValue(layer.name, node.layer->output());
        graph->push_back(std::move(node));
        return Status::Ok();
    }

    Status CheckSizes(const LayerSpec& spec, const Layer& layer) {
        const ValueShape& output = layer.output();
        if (output.width() * output.members > NetworkSpec::kMaxWidth) {
            return LayerProblem(spec, "its output is wider than " + std::to_string(NetworkSpec::kMaxWidth));
        }
        activations_ += output.width() * output.members;
        if (activations_ > NetworkSpec::kMaxActivations) {
            return LayerProblem(spec, "the network's layers put out more than " +
                                          std::to_string(NetworkSpec::kMaxActivations) + " values a row");
        }
        for (const TensorDeclaration& tensor : layer.tensors()) {
            parameters_ += tensor.count();
            if (parameters_ > NetworkSpec::kMaxParameters) {
                return LayerProblem(spec, "the network has more than " +
                                              std::to_string(NetworkSpec::kMaxParameters) + " parameters");
            }
        }
        return Status::Ok();
    }

    Status CheckOutputs() {
        if (spec_.outputs.empty()) {
            return SpecError("\"output\" is missing");
        }
        std::unordered_set<int> seen;
        for (const std::string& output : spec_.outputs) {
            const auto found = values_.find(output);
            if (found == values_.end() || found->second < kGraphInputs) {
                return SpecError("\"output\" " + Quoted(output) + " is not a layer");
            }
            if (!seen.insert(found->second).second) {
                return SpecError("\"output\" " + Quoted(output) + " is named twice");
            }
            read_[found->second] = true;
        }
        for (size_t i = 0; i < spec_.layers.size(); ++i) {
            if (!read_[kGraphInputs + i]) {
                return LayerProblem(spec_.layers[i], "nothing reads it");
            }
        }
        return Status::Ok();
    }

    static Status LayerProblem(const LayerSpec& layer, const std::string& problem) {
        return Status::Invalid("layer \"" + layer.name + "\" (" + layer.type + "): " + problem);
    }

    const NetworkSpec& spec_;
    std::unordered_map<std::string, int> values_;
    std::vector<ValueShape> shapes_;
    std::vector<bool> read_;
    int64_t parameters_ = 0;
    int64_t activations_ = 0;
};

}  // namespace

Expected<std::vector<GraphLayer>> MakeGraph(const NetworkSpec& spec) {
    try {
        DLENT_RETURN_IF_ERROR(CheckInputs(spec));
        return GraphMaker(spec).Make();
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory for the network specification");
    }
}

Status NetworkSpec::Validate() const {
    return MakeGraph(*this).status();
}

Expected<NetworkSpec> NetworkSpec::FromJson(const Json& json) {
    if (!json.is_object()) {
        return SpecError("must be an object");
    }
    DLENT_RETURN_IF_ERROR(
        RefuseUnknownKeys(json, {"version", "inputs", "members", "layers", "output"}, std::string()));
    int64_t version = 0;
    DLENT_RETURN_IF_ERROR(ReadInteger(json, "version", 1, INT32_MAX, true, &version));
    if (version > kVersion) {
        return Status(StatusCode::kUnsupported, "network specification version " + std::to_string(version) +
                                                    " is newer than this library's " +
                                                    std::to_string(kVersion));
    }
    NetworkSpec spec;
    DLENT_RETURN_IF_ERROR(ReadInputs(json, &spec));
    int64_t members = 1;
    DLENT_RETURN_IF_ERROR(ReadInteger(json, "members", 1, kMaxMembers, false, &members));
    spec.members = static_cast<int>(members);
    const auto layers = json.find("layers");
    if (layers == json.end() || !layers->is_array() || layers->size() > static_cast<size_t>(kMaxLayers)) {
        return SpecError("\"layers\" must be a list of at most " + std::to_string(kMaxLayers) + " layers");
    }
    for (size_t i = 0; i < layers->size(); ++i) {
        DLENT_RETURN_IF_ERROR(ReadLayer((*layers)[i], i, &spec.layers.emplace_back()));
    }
    DLENT_RETURN_IF_ERROR(ReadNames(json, "output", true, std::string(), &spec.outputs));
    DLENT_RETURN_IF_ERROR(spec.Validate());
    return spec;
}

Json NetworkSpec::ToJson() const {
    Json json;
    json["version"] = kVersion;
    json["inputs"] = {{"numeric", numeric}, {"plain", plain}, {"codes", codes}};
    json["members"] = members;
    json["layers"] = Json::array();
    for (const LayerSpec& layer : layers) {
        Json object = {{"name", layer.name}, {"type", layer.type}, {"inputs", layer.inputs}};
        for (const auto& [key, value] : layer.attributes.items()) {
            object[key] = value;
        }
        json["layers"].push_back(std::move(object));
    }
    if (outputs.size() == 1) {
        json["output"] = outputs[0];
    } else {
        json["output"] = outputs;
    }
    return json;
}

}  // namespace dlent
