#include "cpu/packed_model.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "core/nn/network.h"
#include "cpu/cpu_backend.h"
#include "cpu/row_network.h"

namespace dlent {
namespace {

constexpr size_t kLine = 64;
constexpr char kMagic[8] = {'d', 'l', 'e', 'n', 't', 'i', 'm', 'g'};
constexpr uint32_t kVersion = 1;

/// The image's first bytes; then the description, padded to a cache line; then the members.
struct ImageHeader {
    char magic[8];
    uint32_t version;
    ModelImage::Form form;
    uint64_t description_bytes;
    uint64_t members;
    uint64_t member_floats;
    uint64_t parameter_floats;
    uint8_t reserved[16];
};
static_assert(sizeof(ImageHeader) == kLine);

size_t Lines(size_t bytes) {
    return (bytes + kLine - 1) / kLine * kLine;
}

Status OutOfMemory() {
    return {StatusCode::kOutOfMemory, "out of memory for a packed model"};
}

Status Damaged() {
    return Status::Corrupt("the packed model is damaged");
}

}  // namespace

Expected<PackedModel> PackedModel::Pack(const Model& model) {
    try {
        DLENT_RETURN_IF_ERROR(model.Validate());
        const Quantization* quantization = model.quantization ? &*model.quantization : nullptr;
        const Expected<RowNetworkLayout> layout = RowNetworkLayout::FromSpec(model.network, quantization);
        // what has no row kernels is run by Network, which knows no int8
        if (!layout.ok() && (layout.status().code() != StatusCode::kUnsupported || quantization != nullptr))
            return layout.status();

        ImageHeader header = {};
        std::memcpy(header.magic, kMagic, sizeof(kMagic));
        header.version = kVersion;
        header.members = model.members.size();
        std::unique_ptr<Backend> backend;
        std::unique_ptr<Network> network;
        if (layout.ok()) {
            header.form = ModelImage::Form::kRowNetwork;
            header.member_floats = layout->packed_floats;
        } else {
            header.form = ModelImage::Form::kNetwork;
            backend = MakeCpuBackend();
            DLENT_ASSIGN_OR_RETURN(network, Network::Create(model.network, *backend, 1, false));
            header.parameter_floats = network->parameter_data_count();
            header.member_floats = header.parameter_floats + network->state_data_count();
        }
        // CBOR keeps the bits of numbers, and is read faster than text
        const std::vector<uint8_t> description =
            Json::to_cbor(Json::array({model.SpecificationJson(), model.PipelineJson()}));
        header.description_bytes = description.size();

        const size_t weights_at = sizeof(header) + Lines(description.size());
        PackedModel packed(weights_at + header.members * header.member_floats * sizeof(float));
        std::memcpy(packed.bytes_.data(), &header, sizeof(header));
        std::memcpy(packed.bytes_.data() + sizeof(header), description.data(), description.size());
        auto* weights = reinterpret_cast<float*>(packed.bytes_.data() + weights_at);
        for (size_t member = 0; member < model.members.size(); ++member) {
            const std::vector<NamedTensorData>& tensors = model.members[member];
            if (layout.ok()) {
                std::span<const InputQuantization> inputs;
                if (quantization != nullptr)
                    inputs = quantization->inputs[member];
                DLENT_RETURN_IF_ERROR(RowNetwork::Pack(*layout, tensors, inputs, weights));
            } else {
                DLENT_RETURN_IF_ERROR(network->Load(tensors));
                const FlatTensors flat = network->tensors();
                std::copy(flat.state.begin(), flat.state.end(),
                          std::copy(flat.parameters.begin(), flat.parameters.end(), weights));
            }
            weights += header.member_floats;
        }
        return packed;
    } catch (const std::bad_alloc&) {
        return OutOfMemory();
    }
}

Expected<ModelImage> ModelImage::Open(std::span<const std::byte> image) {
    ImageHeader header;
    if (image.size() < sizeof(header))
        return Damaged();
    std::memcpy(&header, image.data(), sizeof(header));
    if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0)
        return Damaged();
    if (header.version != kVersion)
        return Status(StatusCode::kUnsupported, "the packed model is of another version of dlent");
    const size_t limit = image.size();
    if (header.description_bytes > limit || header.members > limit || header.member_floats > limit ||
        header.parameter_floats > header.member_floats)
        return Damaged();
    const size_t weights_at = sizeof(header) + Lines(header.description_bytes);
    if (weights_at > limit ||
        (limit - weights_at) / sizeof(float) / std::max<size_t>(header.members, 1) < header.member_floats)
        return Damaged();
    try {
        const auto* description = reinterpret_cast<const uint8_t*>(image.data()) + sizeof(header);
        const Json parts = Json::from_cbor(description, description + header.description_bytes);
        ModelImage opened;
        DLENT_ASSIGN_OR_RETURN(opened.model, Model::FromDescription(parts.at(0), parts.at(1)));
        if (opened.model.members.size() != header.members)
            return Damaged();
        opened.form = header.form;
        opened.member_floats = header.member_floats;
        opened.parameter_floats = header.parameter_floats;
        opened.weights = reinterpret_cast<const float*>(image.data() + weights_at);
        return opened;
    } catch (const Json::exception&) {
        return Damaged();
    } catch (const std::bad_alloc&) {
        return OutOfMemory();
    }
}

}  // namespace dlent
