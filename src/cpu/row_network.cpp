#include "cpu/row_network.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/nn/layer.h"

namespace dlent {
namespace {

int Padded(int count) {
    return (count + kRowPadding - 1) / kRowPadding * kRowPadding;
}

Status NotPackable(const LayerSpec& layer) {
    return {StatusCode::kUnsupported,
            "layer \"" + layer.name + "\" of type " + layer.type + " has no row kernel"};
}

/// Finds a member's tensor and checks its shape.
Expected<const float*> Tensor(const std::vector<NamedTensorData>& tensors, const std::string& name,
                              const std::vector<int64_t>& shape) {
    for (const NamedTensorData& tensor : tensors) {
        if (tensor.name != name)
            continue;
        if (tensor.shape != shape)
            return Status::Corrupt("tensor \"" + name +
                                   "\" does not have the shape that the network asks for");
        return tensor.values.data();
    }
    return Status::Corrupt("tensor \"" + name + "\" is missing");
}

float ActivationValue(Activation activation, float x) {
    constexpr float kSeluScale = 1.05070098f;
    constexpr float kSeluAlpha = 1.67326324f;
    switch (activation) {
        case Activation::kIdentity:
            return x;
        case Activation::kRelu:
            return x > 0.0f ? x : 0.0f;
        case Activation::kLeakyRelu:
            return x > 0.0f ? x : 0.01f * x;
        case Activation::kSelu:
            return kSeluScale * (x > 0.0f ? x : kSeluAlpha * std::expm1(x));
        case Activation::kGelu:
            return 0.5f * x * (1.0f + std::erf(x * 0.70710678f));
        case Activation::kSilu:
            return x / (1.0f + std::exp(-x));
        case Activation::kMish:
            return x * std::tanh(x > 20.0f ? x : std::log1p(std::exp(x)));
        case Activation::kTanh:
            return std::tanh(x);
        case Activation::kSigmoid:
            return 1.0f / (1.0f + std::exp(-x));
    }
    return x;
}

/// Bytes of an int8 layer's weights, in floats.
size_t Int8WeightFloats(const RowNetworkLayout::Dense& dense) {
    return static_cast<size_t>(Padded(dense.inputs)) * dense.padded_outputs / sizeof(float);
}

/// Packs an int8 layer whose `weight` is [inputs × outputs]: each output's weights by their own scale, and
/// what the zero point of the inputs adds to its sum. Double precision, so that it is the same everywhere.
void PackInt8(const RowNetworkLayout::Dense& dense, const InputQuantization& input, const float* weight,
              float* packed) {
    auto* bytes = reinterpret_cast<int8_t*>(packed + dense.weight_at);
    auto* start = reinterpret_cast<int32_t*>(packed + dense.start_at);
    packed[dense.input_at] = 1.0f / input.scale;
    packed[dense.input_at + 1] = static_cast<float>(input.zero_point);
    for (int64_t j = 0; j < dense.outputs; ++j) {
        double largest = 0.0;
        for (int64_t i = 0; i < dense.inputs; ++i)
            largest = std::max(largest, std::abs(static_cast<double>(weight[i * dense.outputs + j])));
        if (largest == 0.0)
            continue;
        const double scale = largest / kMaxInt8Weight;
        packed[dense.scale_at + j] = static_cast<float>(scale * input.scale);
        for (int64_t i = 0; i < dense.inputs; ++i) {
            const double level = std::nearbyint(weight[i * dense.outputs + j] / scale);
            bytes[(i / 4 * dense.padded_outputs + j) * 4 + i % 4] = static_cast<int8_t>(level);
            start[j] -= input.zero_point * static_cast<int32_t>(level);
        }
    }
}

/// Whether the kernels of a dense layer have done it when they store a sum.
bool IsFused(Activation activation) {
    return activation == Activation::kIdentity || activation == Activation::kRelu;
}

void Activate(Activation activation, float* x, int count) {
    for (int i = 0; i < count; ++i)
        x[i] = ActivationValue(activation, x[i]) + 0.0f;  // one zero, whatever its sign
}

}  // namespace

Expected<RowNetworkLayout> RowNetworkLayout::FromSpec(const NetworkSpec& spec,
                                                      const Quantization* quantization) {
    RowNetworkLayout layout;
    layout.numeric = spec.numeric;
    layout.plain = spec.plain;
    layout.cardinalities.assign(spec.codes.begin(), spec.codes.end());
    if (spec.outputs.size() != 1)
        return Status(StatusCode::kUnsupported, "several outputs");

    std::map<std::string, Source> sources = {{"plain", Source::kPlain}};
    bool numbers = false;  ///< whether a layer reads them; one alone may
    std::string last;      ///< the value that the next dense layer must read
    for (const LayerSpec& layer : spec.layers) {
        const Json& attributes = layer.attributes;
        if (layer.type == "piecewise_linear_embedding" && layer.inputs[0] == "numeric" && !numbers) {
            numbers = true;
            layout.embedding = layer.name;
            layout.embedding_width = attributes.at("width").get<int>();
            layout.clip = attributes.value("clip", 3.0f);
            DLENT_ASSIGN_OR_RETURN(layout.embedding_activation,
                                   ParseActivation(attributes.value("activation", std::string("identity"))));
            for (const Json& bins : attributes.at("bins")) {
                layout.first_bin.push_back(layout.total_bins);
                layout.bins.push_back(bins.get<int32_t>());
                layout.total_bins += layout.bins.back();
            }
            sources[layer.name] = Source::kNumbers;
        } else if (layer.type == "smooth_clip" && layer.inputs[0] == "numeric" && !numbers) {
            numbers = true;
            layout.clip = attributes.value("limit", 3.0f);
            sources[layer.name] = Source::kNumbers;
        } else if (layer.type == "embedding" && layout.categories.empty()) {
            layout.categories = layer.name;
            layout.embedded_dims = attributes.at("dims").get<std::vector<int>>();
            if (attributes.contains("fields")) {
                layout.embedded_fields = attributes.at("fields").get<std::vector<int>>();
            } else {
                for (size_t field = 0; field < spec.codes.size(); ++field)
                    layout.embedded_fields.push_back(static_cast<int>(field));
            }
            sources[layer.name] = Source::kCategories;
        } else if (layer.type == "dropout" && layer.inputs[0] == last) {
            last = layer.name;
        } else if (layer.type == "dense") {
            Dense dense;
            dense.layer = layer.name;
            dense.outputs = attributes.at("units").get<int>();
            dense.padded_outputs = Padded(dense.outputs);
            if (!attributes.value("bias", true))
                return NotPackable(layer);
            DLENT_ASSIGN_OR_RETURN(dense.activation,
                                   ParseActivation(attributes.value("activation", std::string("identity"))));
            if (layout.dense.empty()) {
                bool codes = false;
                for (const std::string& input : layer.inputs) {
                    if (input == "codes") {
                        codes = true;
                        continue;
                    }
                    const auto source = sources.find(input);
                    if (source == sources.end())
                        return NotPackable(layer);
                    layout.sources.push_back(source->second);
                    switch (source->second) {
                        case Source::kNumbers:
                            layout.float_inputs += layout.numeric * layout.embedding_width;
                            break;
                        case Source::kPlain:
                            layout.float_inputs += layout.plain;
                            break;
                        case Source::kCategories:
                            for (const int dim : layout.embedded_dims)
                                layout.float_inputs += dim;
                            break;
                    }
                }
                dense.inputs = layout.float_inputs;
                if (codes) {
                    if (attributes.contains("fields")) {
                        layout.one_hot_fields = attributes.at("fields").get<std::vector<int>>();
                    } else {
                        for (size_t field = 0; field < spec.codes.size(); ++field)
                            layout.one_hot_fields.push_back(static_cast<int>(field));
                    }
                    for (const int field : layout.one_hot_fields) {
                        layout.one_hot_rows.push_back(dense.inputs);
                        dense.inputs += spec.codes[field];
                    }
                }
            } else if (layer.inputs.size() == 1 && layer.inputs[0] == last) {
                dense.inputs = layout.dense.back().outputs;
            } else {
                return NotPackable(layer);
            }
            dense.int8 = quantization != nullptr &&
                         std::find(quantization->layers.begin(), quantization->layers.end(), layer.name) !=
                             quantization->layers.end();
            if (dense.int8 && dense.inputs > kMaxInt8Inputs)
                return NotPackable(layer);
            layout.dense.push_back(std::move(dense));
            last = layer.name;
        } else {
            return NotPackable(layer);
        }
    }
    if (layout.dense.empty() || spec.outputs[0] != last)
        return Status(StatusCode::kUnsupported, "the output is not the last dense layer");
    layout.Place();
    return layout;
}

void RowNetworkLayout::Place() {
    const auto place = [this](size_t count) {
        constexpr size_t kLine = 64 / sizeof(float);
        const size_t at = packed_floats;
        packed_floats += (count + kLine - 1) / kLine * kLine;
        return at;
    };
    if (!embedding.empty()) {
        const size_t width = embedding_width;
        edges_at = place(static_cast<size_t>(total_bins) + numeric);
        linear_at = place(numeric * width);
        start_at = place(total_bins * width);
        slope_at = place(total_bins * width);
    }
    for (size_t i = 0; i < embedded_fields.size(); ++i)
        tables_at.push_back(place(static_cast<size_t>(cardinalities[embedded_fields[i]]) * embedded_dims[i]));
    for (size_t i = 0; i < dense.size(); ++i) {
        Dense& layer = dense[i];
        layer.weight_at = place(layer.int8        ? Int8WeightFloats(layer)
                                : layer.is_dot(i) ? Padded(layer.inputs)
                                                  : static_cast<size_t>(layer.inputs) * layer.padded_outputs);
        layer.bias_at = place(layer.padded_outputs);
        if (layer.int8) {
            layer.start_at = place(layer.padded_outputs);
            layer.scale_at = place(layer.padded_outputs);
            layer.input_at = place(2);
        }
    }
}

RowNetwork::Workspace::Workspace(const RowNetworkLayout& layout) {
    const size_t block = kBlockRows;
    int widest = Padded(layout.float_inputs);
    for (const RowNetworkLayout::Dense& dense : layout.dense)
        widest = std::max(widest, dense.padded_outputs);
    numeric = AlignedArray<float>(block * layout.numeric + kRowPadding);  // the encoding's last vector
    clipped = AlignedArray<float>(block * layout.numeric);
    plain = AlignedArray<float>(block * layout.plain + kRowPadding);
    codes = AlignedArray<int32_t>(block * layout.cardinalities.size());
    bin = AlignedArray<int32_t>(block * layout.numeric);
    fraction = AlignedArray<float>(block * layout.numeric);
    values = AlignedArray<float>(block * widest);
    next = AlignedArray<float>(block * widest);
    // one slot more than inputs: Compress writes before it knows whether the value counts
    const size_t one_hot = layout.one_hot_fields.size();
    rows = AlignedArray<int32_t>(std::max<size_t>(widest + one_hot + 1, block * one_hot));
    nonzero = AlignedArray<float>(widest + one_hot + 1);
    int widest_int8 = 0;
    for (const RowNetworkLayout::Dense& dense : layout.dense)
        widest_int8 = std::max(widest_int8, dense.int8 ? Padded(dense.inputs) : 0);
    quantized = AlignedArray<uint8_t>(block * widest_int8);
}

size_t RowNetwork::Workspace::bytes() const {
    return numeric.bytes() + clipped.bytes() + plain.bytes() + codes.bytes() + bin.bytes() +
           fraction.bytes() + values.bytes() + next.bytes() + rows.bytes() + nonzero.bytes() +
           quantized.bytes();
}

Status RowNetwork::Pack(const RowNetworkLayout& layout, const std::vector<NamedTensorData>& tensors,
                        std::span<const InputQuantization> int8_inputs, float* packed) {
    if (!layout.embedding.empty()) {
        const int64_t columns = layout.numeric;
        const int64_t width = layout.embedding_width;
        DLENT_ASSIGN_OR_RETURN(const float* linear,
                               Tensor(tensors, layout.embedding + ".linear", {columns, width}));
        DLENT_ASSIGN_OR_RETURN(const float* bias,
                               Tensor(tensors, layout.embedding + ".bias", {columns, width}));
        DLENT_ASSIGN_OR_RETURN(const float* weight,
                               Tensor(tensors, layout.embedding + ".weight", {layout.total_bins, width}));
        DLENT_ASSIGN_OR_RETURN(const float* edges,
                               Tensor(tensors, layout.embedding + ".edges", {layout.total_bins + columns}));
        std::copy_n(edges, layout.total_bins + columns, packed + layout.edges_at);
        std::copy_n(linear, columns * width, packed + layout.linear_at);
        std::copy_n(weight, layout.total_bins * width, packed + layout.slope_at);
        for (int64_t column = 0; column < columns; ++column) {
            for (int64_t j = 0; j < width; ++j) {
                double sum = bias[column * width + j];
                for (int64_t b = 0; b < layout.bins[column]; ++b) {
                    const int64_t row = (layout.first_bin[column] + b) * width + j;
                    packed[layout.start_at + row] = static_cast<float>(sum);
                    sum += weight[row];
                }
            }
        }
    }
    for (size_t i = 0; i < layout.embedded_fields.size(); ++i) {
        const int field = layout.embedded_fields[i];
        const int64_t cardinality = layout.cardinalities[field];
        DLENT_ASSIGN_OR_RETURN(const float* table,
                               Tensor(tensors, layout.categories + ".weight_" + std::to_string(field),
                                      {cardinality, layout.embedded_dims[i]}));
        std::copy_n(table, cardinality * layout.embedded_dims[i], packed + layout.tables_at[i]);
    }
    size_t int8_layers = 0;
    for (size_t index = 0; index < layout.dense.size(); ++index) {
        const RowNetworkLayout::Dense& dense = layout.dense[index];
        DLENT_ASSIGN_OR_RETURN(const float* weight,
                               Tensor(tensors, dense.layer + ".weight", {dense.inputs, dense.outputs}));
        DLENT_ASSIGN_OR_RETURN(const float* bias, Tensor(tensors, dense.layer + ".bias", {dense.outputs}));
        for (int j = 0; j < dense.outputs; ++j)
            packed[dense.bias_at + j] = bias[j] + 0.0f;  // no negative zero
        if (dense.int8) {
            PackInt8(dense, int8_inputs[int8_layers++], weight, packed);
            continue;
        }
        const int stride = dense.is_dot(index) ? 1 : dense.padded_outputs;
        for (int64_t i = 0; i < dense.inputs; ++i)
            std::copy_n(weight + i * dense.outputs, dense.outputs, packed + dense.weight_at + i * stride);
    }
    return Status::Ok();
}

void RowNetwork::GatherInputs(const RowNetworkLayout& layout, const RowKernels& kernels, int row,
                              const Workspace& w, float* value) const {
    const size_t first = static_cast<size_t>(row) * layout.numeric;
    for (const RowNetworkLayout::Source source : layout.sources) {
        switch (source) {
            case RowNetworkLayout::Source::kNumbers:
                if (layout.embedding.empty()) {
                    value = std::copy_n(w.clipped.data() + first, layout.numeric, value);
                } else {
                    const int count = layout.numeric * layout.embedding_width;
                    kernels.piecewise_linear(layout.numeric, layout.embedding_width, w.clipped.data() + first,
                                             layout.first_bin.data(), w.bin.data() + first,
                                             w.fraction.data() + first, packed_ + layout.linear_at,
                                             packed_ + layout.start_at, packed_ + layout.slope_at, value);
                    if (layout.embedding_activation != Activation::kIdentity)
                        Activate(layout.embedding_activation, value, count);
                    value += count;
                }
                break;
            case RowNetworkLayout::Source::kPlain:
                value = std::copy_n(w.plain.data() + static_cast<size_t>(row) * layout.plain, layout.plain,
                                    value);
                break;
            case RowNetworkLayout::Source::kCategories:
                for (size_t i = 0; i < layout.embedded_fields.size(); ++i) {
                    const int32_t code =
                        w.codes[row * layout.cardinalities.size() + layout.embedded_fields[i]];
                    const int dim = layout.embedded_dims[i];
                    if (code < 0)
                        value = std::fill_n(value, dim, 0.0f);
                    else
                        value = std::copy_n(packed_ + layout.tables_at[i] + static_cast<int64_t>(code) * dim,
                                            dim, value);
                }
                break;
        }
    }
}

void RowNetwork::ForwardInt8(const RowNetworkLayout::Dense& dense, const Int8Kernels& kernels, int rows,
                             Workspace* w) const {
    const int inputs = Padded(dense.inputs);  // the layer below is padded as well
    const float* input = packed_ + dense.input_at;
    kernels.quantize(w->values.data(), rows * inputs, input[0], input[1], w->quantized.data());
    kernels.dense(reinterpret_cast<const int8_t*>(packed_ + dense.weight_at), dense.padded_outputs,
                  w->quantized.data(), inputs, rows,
                  reinterpret_cast<const int32_t*>(packed_ + dense.start_at), packed_ + dense.scale_at,
                  packed_ + dense.bias_at, dense.activation == Activation::kRelu, w->next.data());
}

void RowNetwork::Forward(const RowNetworkLayout& layout, const RowKernels& kernels,
                         const Int8Kernels& int8_kernels, Workspace* w, float* logits) const {
    GatherInputs(layout, kernels, 0, *w, w->values.data());
    int count = kernels.compress(w->values.data(), layout.float_inputs, w->rows.data(), w->nonzero.data());
    for (size_t i = 0; i < layout.one_hot_fields.size(); ++i) {
        const int32_t code = w->codes[layout.one_hot_fields[i]];
        if (code >= 0) {
            w->rows[count] = layout.one_hot_rows[i] + code;
            w->nonzero[count++] = 1.0f;
        }
    }
    for (size_t i = 0; i < layout.dense.size(); ++i) {
        const RowNetworkLayout::Dense& dense = layout.dense[i];
        const float* weight = packed_ + dense.weight_at;
        const float* bias = packed_ + dense.bias_at;
        if (dense.int8) {
            ForwardInt8(dense, int8_kernels, 1, w);
        } else if (dense.is_dot(i)) {
            // the padding of the layer below is 0: its weights and biases are, and every activation maps 0 to
            // 0 but the sigmoid, whose padding meets weights of 0
            w->next[0] = bias[0] + kernels.dot(w->values.data(), weight, layout.dense[i - 1].padded_outputs);
        } else {
            if (i > 0)
                count = kernels.compress(w->values.data(), dense.inputs, w->rows.data(), w->nonzero.data());
            const bool relu = dense.activation == Activation::kRelu;
            kernels.affine(weight, dense.padded_outputs, w->rows.data(), w->nonzero.data(), count, bias, relu,
                           w->next.data());
        }
        if (dense.is_dot(i) || !IsFused(dense.activation))
            Activate(dense.activation, w->next.data(), dense.outputs);
        std::swap(w->values, w->next);
    }
    std::copy_n(w->values.data(), layout.dense.back().outputs, logits);
}

void RowNetwork::ForwardBlock(const RowNetworkLayout& layout, const RowKernels& kernels,
                              const Int8Kernels& int8_kernels, int rows, Workspace* w, float* logits) const {
    // clipped numbers alone are the first layer's inputs as they lie
    const bool direct = layout.embedding.empty() && layout.sources.size() == 1 &&
                        layout.sources[0] == RowNetworkLayout::Source::kNumbers;
    int stride = direct ? layout.numeric : Padded(layout.float_inputs);
    const int one_hot = static_cast<int>(layout.one_hot_fields.size());
    for (int row = 0; row < rows; ++row) {
        if (!direct)
            GatherInputs(layout, kernels, row, *w, w->values.data() + static_cast<size_t>(row) * stride);
        const int32_t* codes = w->codes.data() + row * layout.cardinalities.size();
        for (int i = 0; i < one_hot; ++i) {
            const int32_t code = codes[layout.one_hot_fields[i]];
            w->rows[row * one_hot + i] = code >= 0 ? layout.one_hot_rows[i] + code : -1;
        }
    }
    for (size_t i = 0; i < layout.dense.size(); ++i) {
        const RowNetworkLayout::Dense& dense = layout.dense[i];
        const float* weight = packed_ + dense.weight_at;
        const float* bias = packed_ + dense.bias_at;
        const float* values = i == 0 && direct ? w->clipped.data() : w->values.data();
        float* next = w->next.data();
        if (dense.is_dot(i)) {
            for (int row = 0; row < rows; ++row)
                next[row] = bias[0] + kernels.dot(values + static_cast<size_t>(row) * stride, weight,
                                                  layout.dense[i - 1].padded_outputs);
            Activate(dense.activation, next, rows);
            stride = 1;
        } else {
            const bool relu = dense.activation == Activation::kRelu;
            if (dense.int8)
                ForwardInt8(dense, int8_kernels, rows, w);
            else
                kernels.affine_block(weight, dense.padded_outputs, values, stride,
                                     i == 0 ? layout.float_inputs : dense.inputs, w->rows.data(),
                                     i == 0 ? one_hot : 0, rows, bias, relu, next);
            stride = dense.padded_outputs;
            for (int row = 0; row < rows && !IsFused(dense.activation); ++row)
                Activate(dense.activation, next + static_cast<size_t>(row) * stride, dense.outputs);
        }
        std::swap(w->values, w->next);
    }
    const int outputs = layout.dense.back().outputs;
    for (int row = 0; row < rows; ++row)
        logits = std::copy_n(w->values.data() + static_cast<size_t>(row) * stride, outputs, logits);
}

}  // namespace dlent
