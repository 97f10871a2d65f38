#include "core/explain/category_path.h"

#include <algorithm>

namespace dlent {
namespace {

/// A tensor whose rows codes select: how many rows stand before them, and the fields in their order.
struct CodedTensor {
    std::string name;
    std::vector<int> fields;
    size_t rows_before = 0;
};

std::vector<int> FieldsOf(const LayerSpec& layer, size_t field_count) {
    std::vector<int> fields;
    if (layer.attributes.contains("fields"))
        return layer.attributes.at("fields").get<std::vector<int>>();
    for (size_t field = 0; field < field_count; ++field)
        fields.push_back(static_cast<int>(field));
    return fields;
}

/// As NetworkSpec describes the tensors of each type. `rows_before` is left to the caller.
std::vector<CodedTensor> CodedTensors(const NetworkSpec& spec) {
    std::vector<CodedTensor> tensors;
    for (const LayerSpec& layer : spec.layers) {
        if (std::find(layer.inputs.begin(), layer.inputs.end(), "codes") == layer.inputs.end())
            continue;
        const std::vector<int> fields = FieldsOf(layer, spec.codes.size());
        if (layer.type == "embedding") {
            for (const int field : fields)
                tensors.push_back({layer.name + ".weight_" + std::to_string(field), {field}});
        } else {
            tensors.push_back({layer.name + ".weight", fields});
        }
    }
    return tensors;
}

}  // namespace

Expected<PathNetwork> PathNetwork::Create(const Model& model, size_t member, std::span<const int32_t> from,
                                          std::span<const int32_t> to, Backend& backend, int max_points) {
    NetworkSpec spec = model.network;
    for (LayerSpec& layer : spec.layers) {
        if (layer.type == "batch_norm")
            return Status(StatusCode::kUnsupported,
                          "integrated gradients do not know networks with batch normalization");
        if (layer.type == "dropout")
            layer.attributes["rate"] = 0.0;
    }
    const std::vector<int32_t> cardinalities = spec.codes;
    std::fill(spec.codes.begin(), spec.codes.end(), max_points);

    PathNetwork path;
    path.backend_ = &backend;
    path.max_points_ = max_points;
    DLENT_ASSIGN_OR_RETURN(path.network_, Network::Create(spec, backend, max_points, true, true));
    const std::vector<ParameterInfo>& parameters = path.network_->parameters();
    path.values_.resize(parameters.size());
    const std::vector<CodedTensor> coded_tensors = CodedTensors(model.network);
    for (const NamedTensorData& tensor : model.members[member]) {
        const auto coded = std::find_if(coded_tensors.begin(), coded_tensors.end(),
                                        [&](const CodedTensor& entry) { return entry.name == tensor.name; });
        if (coded == coded_tensors.end()) {
            DLENT_RETURN_IF_ERROR(path.network_->SetTensor(tensor.name, tensor.values));
            continue;
        }
        size_t parameter = 0;
        while (parameters[parameter].name != tensor.name)
            ++parameter;
        const size_t width = static_cast<size_t>(tensor.shape[1]);
        size_t stored_row = static_cast<size_t>(tensor.shape[0]);
        for (const int field : coded->fields)
            stored_row -= static_cast<size_t>(cardinalities[field]);
        std::vector<float>& values = path.values_[parameter];
        values.assign(parameters[parameter].count, 0.0f);
        std::copy_n(tensor.values.begin(), stored_row * width, values.begin());
        size_t row = stored_row;
        for (const int field : coded->fields) {
            Table& table = path.tables_.emplace_back();
            table.field = field;
            table.parameter = parameter;
            table.first_row = row;
            table.width = width;
            const auto select = [&](int32_t code) {
                const float* begin =
                    tensor.values.data() + (stored_row + static_cast<size_t>(std::max(code, 0))) * width;
                return code < 0 ? std::vector<float>(width, 0.0f) : std::vector<float>(begin, begin + width);
            };
            table.from = select(from[field]);
            table.to = select(to[field]);
            row += static_cast<size_t>(max_points);
            stored_row += static_cast<size_t>(cardinalities[field]);
        }
    }
    return path;
}

Status PathNetwork::SetPoints(std::span<const double> shares) {
    for (const Table& table : tables_) {
        float* row = values_[table.parameter].data() + table.first_row * table.width;
        for (const double share : shares) {
            for (size_t j = 0; j < table.width; ++j)
                *row++ = static_cast<float>(table.from[j] +
                                            share * (static_cast<double>(table.to[j]) - table.from[j]));
        }
    }
    for (size_t parameter = 0; parameter < values_.size(); ++parameter) {
        if (!values_[parameter].empty())
            DLENT_RETURN_IF_ERROR(
                network_->SetTensor(network_->parameters()[parameter].name, values_[parameter]));
    }
    return Status::Ok();
}

Status PathNetwork::AddContributions(std::span<const double> weights, std::span<double> of_field) const {
    std::vector<float> gradient;
    for (const Table& table : tables_) {
        if (table.from == table.to)
            continue;
        const ParameterInfo& info = network_->parameters()[table.parameter];
        gradient.resize(weights.size() * table.width);
        backend_->Download(gradient.data(),
                           network_->gradient_data() + info.offset + table.first_row * table.width,
                           gradient.size() * sizeof(float));
        DLENT_RETURN_IF_ERROR(backend_->Synchronize());
        for (size_t p = 0; p < weights.size(); ++p) {
            double sum = 0.0;
            for (size_t j = 0; j < table.width; ++j)
                sum += static_cast<double>(gradient[p * table.width + j]) *
                       (static_cast<double>(table.to[j]) - table.from[j]);
            of_field[table.field] += weights[p] * sum;
        }
    }
    return Status::Ok();
}

}  // namespace dlent
