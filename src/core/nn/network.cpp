#include "core/nn/network.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dlent {
namespace {

constexpr size_t kAlignment = 16;  ///< floats in a cache line: every tensor starts one

size_t Aligned(size_t count) {
    return (count + kAlignment - 1) / kAlignment * kAlignment;
}

size_t WorkspaceSize(const WorkspaceDeclaration& workspace, int max_batch) {
    return Aligned(static_cast<size_t>(workspace.per_row) * max_batch + workspace.fixed);
}

}  // namespace

Expected<std::unique_ptr<Network>> Network::Create(const NetworkSpec& spec, Backend& backend, int max_batch,
                                                   bool for_training, bool input_gradients) {
    return Make(spec, backend, max_batch, for_training, input_gradients, nullptr);
}

Expected<std::unique_ptr<Network>> Network::CreateOver(const NetworkSpec& spec, Backend& backend,
                                                       int max_batch, const FlatTensors& tensors) {
    return Make(spec, backend, max_batch, false, false, &tensors);
}

Expected<std::unique_ptr<Network>> Network::Make(const NetworkSpec& spec, Backend& backend, int max_batch,
                                                 bool for_training, bool input_gradients,
                                                 const FlatTensors* tensors) {
    if (max_batch < 1) {
        return Status::Invalid("a network's batch must have at least one row");
    }
    try {
        std::unique_ptr<Network> network(new Network(spec, backend, max_batch, for_training));
        network->input_gradients_ = input_gradients;
        DLENT_RETURN_IF_ERROR(network->Build(tensors));
        return network;
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory for the network");
    }
}

Status Network::Build(const FlatTensors* tensors) {
    DLENT_ASSIGN_OR_RETURN(std::vector<GraphLayer> graph, MakeGraph(spec_));
    // Operators take rows and sizes as int: rows × members × width must fit.
    for (const GraphLayer& node : graph) {
        const ValueShape& shape = node.layer->output();
        if (shape.width() * shape.members * max_batch_ > std::numeric_limits<int32_t>::max()) {
            return {StatusCode::kResourceLimit,
                    "the network is too wide for batches of " + std::to_string(max_batch_) + " rows"};
        }
    }
    values_.resize(kGraphInputs + graph.size());
    for (size_t i = 0; i < graph.size(); ++i) {
        Node& node = nodes_.emplace_back();
        node.layer = std::move(graph[i].layer);
        node.inputs = std::move(graph[i].inputs);
        node.output = static_cast<int>(kGraphInputs + i);
        values_[node.output].shape = node.layer->output();
    }
    for (const std::string& output : spec_.outputs) {
        for (size_t i = 0; i < spec_.layers.size(); ++i) {
            if (spec_.layers[i].name == output) {
                output_values_.push_back(static_cast<int>(kGraphInputs + i));
            }
        }
    }
    DLENT_RETURN_IF_ERROR(PlanParameters(tensors));
    DLENT_RETURN_IF_ERROR(PlanValues());
    return PlanWorkspaces();
}

Status Network::PlanParameters(const FlatTensors* tensors) {
    size_t trainable = 0;
    size_t state = 0;
    for (size_t i = 0; i < nodes_.size(); ++i) {
        for (const TensorDeclaration& tensor : nodes_[i].layer->tensors()) {
            ParameterInfo info;
            info.name = spec_.layers[i].name + "." + tensor.name;
            info.shape = tensor.shape;
            info.count = static_cast<size_t>(tensor.count());
            info.learning_rate_multiplier = tensor.learning_rate_multiplier;
            info.weight_decay_multiplier = tensor.weight_decay_multiplier;
            info.trainable = tensor.trainable;
            size_t& end = tensor.trainable ? trainable : state;
            info.offset = end;
            end += Aligned(info.count);
            parameters_.push_back(std::move(info));
        }
    }
    // Layers write tensors only when they train: the running statistics.
    float* parameter_data = nullptr;
    float* state_data = nullptr;
    if (tensors != nullptr) {
        if (tensors->parameters.size() != trainable || tensors->state.size() != state) {
            return Status::Corrupt("the network does not have as many weights as its specification asks for");
        }
        parameter_data = const_cast<float*>(tensors->parameters.data());
        state_data = const_cast<float*>(tensors->state.data());
    } else {
        DLENT_RETURN_IF_ERROR(parameter_data_.Allocate(backend_, trainable));
        DLENT_RETURN_IF_ERROR(state_data_.Allocate(backend_, state));
        parameter_data = parameter_data_.data();
        state_data = state_data_.data();
    }
    if (for_training_) {
        DLENT_RETURN_IF_ERROR(gradient_data_.Allocate(backend_, trainable + 1));
    }
    size_t next = 0;
    for (Node& node : nodes_) {
        for (size_t i = 0; i < node.layer->tensors().size(); ++i) {
            const ParameterInfo& info = parameters_[next++];
            node.context.tensors.push_back((info.trainable ? parameter_data : state_data) + info.offset);
            const bool has_gradient = for_training_ && info.trainable;
            node.context.gradients.push_back(has_gradient ? gradient_data_.data() + info.offset : nullptr);
            node.backward = node.backward || info.trainable;
        }
    }
    return Status::Ok();
}

Status Network::PlanValues() {
    const auto size = [this](const Value& value) {
        return Aligned(static_cast<size_t>(value.shape.width()) * value.shape.members * max_batch_);
    };
    if (for_training_) {
        std::vector<bool> differentiable(values_.size(), false);
        const int widths[] = {spec_.numeric, spec_.plain};
        for (int i = 0; input_gradients_ && i < 2; ++i) {
            differentiable[i] = true;
            DLENT_RETURN_IF_ERROR(activations_.emplace_back().Allocate(
                backend_, Aligned(static_cast<size_t>(widths[i]) * max_batch_)));
            values_[i].gradient = activations_.back().data();
        }
        for (Node& node : nodes_) {
            for (const int input : node.inputs) {
                node.backward = node.backward || differentiable[input];
            }
            differentiable[node.output] = node.backward;
            Value& value = values_[node.output];
            DLENT_RETURN_IF_ERROR(activations_.emplace_back().Allocate(backend_, size(value)));
            value.buffer = activations_.back().data();
            const bool is_output =
                std::find(output_values_.begin(), output_values_.end(), node.output) != output_values_.end();
            if (node.backward || is_output) {
                DLENT_RETURN_IF_ERROR(activations_.emplace_back().Allocate(backend_, size(value)));
                value.gradient = activations_.back().data();
            }
        }
        return Status::Ok();
    }

    // Inference: a value's memory is free again after its last reader. What an identity passes on lives as
    // long as its readers.
    std::vector<int> source(values_.size());
    std::vector<size_t> last_reader(values_.size(), 0);
    for (size_t i = 0; i < values_.size(); ++i) {
        source[i] = static_cast<int>(i);
    }
    for (size_t i = 0; i < nodes_.size(); ++i) {
        for (const int input : nodes_[i].inputs) {
            last_reader[source[input]] = i;
        }
        if (nodes_[i].layer->IsIdentityInInference()) {
            source[nodes_[i].output] = source[nodes_[i].inputs[0]];
        }
    }
    for (const int output : output_values_) {
        last_reader[source[output]] = nodes_.size();
    }
    struct Slot {
        size_t count = 0;
        size_t busy_until = 0;
    };
    std::vector<Slot> slots;
    std::vector<size_t> slot_of(values_.size(), 0);
    for (size_t i = 0; i < nodes_.size(); ++i) {
        const int value = nodes_[i].output;
        if (source[value] != value) {
            continue;
        }
        size_t chosen = slots.size();
        for (size_t s = 0; s < slots.size(); ++s) {
            if (slots[s].busy_until < i && (chosen == slots.size() || slots[s].count > slots[chosen].count)) {
                chosen = s;
            }
        }
        if (chosen == slots.size()) {
            slots.emplace_back();
        }
        slots[chosen].count = std::max(slots[chosen].count, size(values_[value]));
        slots[chosen].busy_until = last_reader[value];
        slot_of[value] = chosen;
    }
    for (const Slot& slot : slots) {
        DLENT_RETURN_IF_ERROR(activations_.emplace_back().Allocate(backend_, slot.count));
    }
    for (const Node& node : nodes_) {
        if (source[node.output] == node.output) {
            values_[node.output].buffer = activations_[slot_of[node.output]].data();
        }
    }
    return Status::Ok();
}

Status Network::PlanWorkspaces() {
    size_t scratch = 0;
    for (Node& node : nodes_) {
        const Layer& layer = *node.layer;
        size_t needed = WorkspaceSize(layer.scratch(), max_batch_);
        for (const WorkspaceDeclaration& saved : layer.saved()) {
            // Without a Backward, what would be saved lives in the scratch memory of the call.
            needed += !for_training_ && !saved.training_only ? WorkspaceSize(saved, max_batch_) : 0;
        }
        scratch = std::max(scratch, needed);
    }
    DLENT_RETURN_IF_ERROR(scratch_.Allocate(backend_, scratch));
    for (size_t i = 0; i < nodes_.size(); ++i) {
        Node& node = nodes_[i];
        const Layer& layer = *node.layer;
        node.context.backend = &backend_;
        node.context.inputs.resize(node.inputs.size());
        node.context.output = values_[node.output].buffer;
        node.context.output_gradient = values_[node.output].gradient;
        node.context.scratch = scratch_.data();
        size_t offset = WorkspaceSize(layer.scratch(), max_batch_);
        for (const WorkspaceDeclaration& saved : layer.saved()) {
            const size_t size = WorkspaceSize(saved, max_batch_);
            if (for_training_) {
                DLENT_RETURN_IF_ERROR(activations_.emplace_back().Allocate(backend_, size));
                node.context.saved.push_back(activations_.back().data());
            } else if (saved.training_only) {
                node.context.saved.push_back(nullptr);
            } else {
                node.context.saved.push_back(scratch_.data() + offset);
                offset += size;
            }
        }
        for (const std::vector<int32_t>& table : layer.tables()) {
            DeviceBuffer<int32_t>& copy = node.tables.emplace_back();
            DLENT_RETURN_IF_ERROR(copy.Allocate(backend_, table.size()));
            backend_.Upload(copy.data(), table.data(), table.size() * sizeof(int32_t));
            node.context.tables.push_back(copy.data());
        }
    }
    return backend_.Synchronize();
}

Status Network::Initialize(uint64_t seed) {
    std::vector<float> values;
    size_t next = 0;
    for (size_t i = 0; i < nodes_.size(); ++i) {
        RandomStream random(seed, i);
        for (size_t index = 0; index < nodes_[i].layer->tensors().size(); ++index) {
            const ParameterInfo& info = parameters_[next++];
            values.assign(info.count, 0.0f);
            nodes_[i].layer->Initialize(index, random, values);
            backend_.Upload(Address(info), values.data(), info.count * sizeof(float));
            DLENT_RETURN_IF_ERROR(backend_.Synchronize());
        }
    }
    return Status::Ok();
}

int64_t Network::trainable_count() const {
    int64_t count = 0;
    for (const ParameterInfo& info : parameters_) {
        count += info.trainable ? static_cast<int64_t>(info.count) : 0;
    }
    return count;
}

size_t Network::workspace_bytes() const {
    size_t bytes = scratch_.bytes();
    for (const DeviceBuffer<float>& activation : activations_) {
        bytes += activation.bytes();
    }
    return bytes;
}

bool Network::HasLayer(std::string_view type) const {
    return std::any_of(spec_.layers.begin(), spec_.layers.end(),
                       [type](const LayerSpec& layer) { return layer.type == type; });
}

const ParameterInfo* Network::Find(std::string_view name) const {
    const auto found = std::find_if(parameters_.begin(), parameters_.end(),
                                    [name](const ParameterInfo& info) { return info.name == name; });
    return found == parameters_.end() ? nullptr : &*found;
}

Status Network::SetTensor(std::string_view name, std::span<const float> values) {
    const ParameterInfo* info = Find(name);
    if (info == nullptr) {
        return {StatusCode::kNotFound, "the network has no tensor \"" + std::string(name) + "\""};
    }
    if (values.size() != info->count) {
        return Status::Invalid("tensor \"" + info->name + "\" has " + std::to_string(info->count) +
                               " values, not " + std::to_string(values.size()));
    }
    backend_.Upload(Address(*info), values.data(), values.size_bytes());
    return backend_.Synchronize();
}

Status Network::GetTensor(std::string_view name, std::span<float> values) const {
    const ParameterInfo* info = Find(name);
    if (info == nullptr) {
        return {StatusCode::kNotFound, "the network has no tensor \"" + std::string(name) + "\""};
    }
    if (values.size() != info->count) {
        return Status::Invalid("tensor \"" + info->name + "\" has " + std::to_string(info->count) +
                               " values, not " + std::to_string(values.size()));
    }
    backend_.Download(values.data(), Address(*info), values.size_bytes());
    return backend_.Synchronize();
}

Expected<std::vector<NamedTensorData>> Network::Save() const {
    std::vector<NamedTensorData> tensors;
    tensors.reserve(parameters_.size());
    for (const ParameterInfo& info : parameters_) {
        NamedTensorData& tensor = tensors.emplace_back();
        tensor.name = info.name;
        tensor.shape = info.shape;
        tensor.values.resize(info.count);
        backend_.Download(tensor.values.data(), Address(info), info.count * sizeof(float));
    }
    DLENT_RETURN_IF_ERROR(backend_.Synchronize());
    return tensors;
}

Status Network::Load(std::span<const NamedTensorData> tensors) {
    std::vector<const NamedTensorData*> by_parameter(parameters_.size(), nullptr);
    for (const NamedTensorData& tensor : tensors) {
        const ParameterInfo* info = Find(tensor.name);
        if (info == nullptr) {
            return Status::Corrupt("the network has no tensor \"" + tensor.name + "\"");
        }
        const NamedTensorData*& entry = by_parameter[static_cast<size_t>(info - parameters_.data())];
        if (entry != nullptr) {
            return Status::Corrupt("tensor \"" + tensor.name + "\" is there twice");
        }
        if (tensor.shape != info->shape || tensor.values.size() != info->count) {
            return Status::Corrupt("tensor \"" + tensor.name +
                                   "\" does not have the shape that the network " + "specification gives it");
        }
        if (!std::all_of(tensor.values.begin(), tensor.values.end(),
                         [](float value) { return std::isfinite(value); })) {
            return Status::Corrupt("tensor \"" + tensor.name + "\" has a value that is not finite");
        }
        entry = &tensor;
    }
    for (size_t i = 0; i < parameters_.size(); ++i) {
        if (by_parameter[i] == nullptr) {
            return Status::Corrupt("tensor \"" + parameters_[i].name + "\" is missing");
        }
    }
    for (size_t i = 0; i < parameters_.size(); ++i) {
        backend_.Upload(Address(parameters_[i]), by_parameter[i]->values.data(),
                        parameters_[i].count * sizeof(float));
    }
    return backend_.Synchronize();
}

void Network::BindInputs(const BatchInputs& batch) {
    values_[0].data = batch.numeric;
    values_[1].data = batch.plain;
    values_[2].codes = batch.codes;
}

Status Network::Forward(const BatchInputs& batch, bool training, uint64_t seed, uint64_t step) {
    if (batch.rows < 1 || batch.rows > max_batch_) {
        return Status::Internal("a batch of " + std::to_string(batch.rows) + " rows where 1 to " +
                                std::to_string(max_batch_) + " were planned");
    }
    BindInputs(batch);
    const bool keep = training && for_training_;
    for (size_t i = 0; i < nodes_.size(); ++i) {
        Node& node = nodes_[i];
        if (cancel_ != nullptr && cancel_->IsCancelled()) {
            return Status::Cancelled();
        }
        if (!keep && node.layer->IsIdentityInInference()) {
            values_[node.output].data = values_[node.inputs[0]].data;
            continue;
        }
        values_[node.output].data = values_[node.output].buffer;
        LayerContext& context = node.context;
        context.rows = batch.rows;
        context.training = keep;
        context.seed = Mix64(seed ^ Mix64(i));
        context.step = step;
        for (size_t j = 0; j < node.inputs.size(); ++j) {
            context.inputs[j].data = values_[node.inputs[j]].data;
            context.inputs[j].codes = values_[node.inputs[j]].codes;
        }
        node.layer->Forward(context);
    }
    return Status::Ok();
}

Status Network::Backward() {
    for (Value& value : values_) {
        value.gradient_written = false;
    }
    for (const int output : output_values_) {
        values_[output].gradient_written = true;
    }
    for (size_t i = nodes_.size(); i > 0; --i) {
        Node& node = nodes_[i - 1];
        if (!node.backward) {
            continue;
        }
        if (cancel_ != nullptr && cancel_->IsCancelled()) {
            return Status::Cancelled();
        }
        for (size_t j = 0; j < node.inputs.size(); ++j) {
            Value& value = values_[node.inputs[j]];
            node.context.inputs[j].gradient = value.gradient;
            node.context.inputs[j].accumulate = value.gradient_written;
            value.gradient_written = true;
        }
        node.layer->Backward(node.context);
    }
    const int widths[] = {spec_.numeric, spec_.plain};
    for (int i = 0; input_gradients_ && i < 2; ++i) {
        if (!values_[i].gradient_written) {
            backend_.Zero(values_[i].gradient, static_cast<size_t>(widths[i]) * max_batch_ * sizeof(float));
        }
    }
    return Status::Ok();
}

}  // namespace dlent
