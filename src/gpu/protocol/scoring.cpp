#include "gpu/protocol/scoring.h"

#include <algorithm>
#include <cstring>

#include "core/formats/safetensors.h"
#include "core/formats/sha256.h"
#include "core/model/member_tensors.h"
#include "gpu/protocol/image.h"
#include "gpu/protocol/message.h"

namespace dlent::gpu {
namespace {

constexpr size_t kKeyLength = 64;
constexpr uint64_t kMaxBlockRows = 1 << 22;
constexpr uint64_t kMaxColumns = NetworkSpec::kMaxWidth;
constexpr uint64_t kMaxLogits = uint64_t{1} << 30;
constexpr uint64_t kMaxMembers = 256;
constexpr uint64_t kMaxDescriptionBytes = uint64_t{64} << 20;
constexpr uint64_t kMaxWeightBytes = uint64_t{4} << 30;

struct ModelParts {
    size_t weights_at = 0;
    size_t bytes = 0;

    static Expected<ModelParts> Of(uint64_t description, uint64_t weights) {
        Sections sections;
        ModelParts parts;
        sections.Add(description, 1);
        parts.weights_at = sections.Add(weights, 1);
        parts.bytes = sections.bytes();
        if (!sections.ok() || description == 0 || weights == 0)
            return Status::Corrupt("a model of sizes that cannot be");
        return parts;
    }
};

/// A copy of our own: what is hashed must be what is read.
std::string Copy(std::span<const std::byte> memory, size_t at, uint64_t bytes) {
    return {reinterpret_cast<const char*>(memory.data()) + at, static_cast<size_t>(bytes)};
}

Expected<uint32_t> ReadCount(const Json& body, const char* name, uint64_t most) {
    DLENT_ASSIGN_OR_RETURN(const uint64_t value, ReadUnsigned(body, name, most));
    return static_cast<uint32_t>(value);
}

}  // namespace

std::string ModelKey(std::string_view description, std::string_view weights_sha256) {
    return Sha256Hex(Sha256Hex(description) + std::string(weights_sha256));
}

std::string DescribeModel(const NetworkSpec& network, size_t members) {
    return Json{{"network", network.ToJson()}, {"members", members}}.dump();
}

Json ModelUse::ToJson() const {
    Json body = {{"key", key}, {"rows", rows}};
    if (has_weights()) {
        body["description"] = description;
        body["weights"] = weights;
    }
    return body;
}

Expected<ModelUse> ModelUse::FromJson(const Json& body) {
    ModelUse use;
    DLENT_ASSIGN_OR_RETURN(use.key, ReadText(body, "key", kKeyLength));
    if (use.key.size() != kKeyLength || use.key.find_first_not_of("0123456789abcdef") != std::string::npos)
        return Status::Corrupt("a model whose key is no SHA-256");
    DLENT_ASSIGN_OR_RETURN(use.rows, ReadCount(body, "rows", kMaxBlockRows));
    if (use.rows == 0)
        return Status::Corrupt("a model for blocks of no rows");
    if (body.contains("description")) {
        DLENT_ASSIGN_OR_RETURN(use.description, ReadUnsigned(body, "description", kMaxDescriptionBytes));
        DLENT_ASSIGN_OR_RETURN(use.weights, ReadUnsigned(body, "weights", kMaxWeightBytes));
        DLENT_RETURN_IF_ERROR(use.Bytes().status());
    }
    return use;
}

Expected<size_t> ModelUse::Bytes() const {
    DLENT_ASSIGN_OR_RETURN(const ModelParts parts, ModelParts::Of(description, weights));
    return parts.bytes;
}

Expected<Parcel> PackModel(std::string_view key, uint32_t rows, std::string_view description,
                           std::string_view weights, const CancelToken& cancel) {
    ModelUse use;
    use.key = key;
    use.rows = rows;
    use.description = description.size();
    use.weights = weights.size();
    DLENT_ASSIGN_OR_RETURN(const ModelParts parts, ModelParts::Of(use.description, use.weights));
    Parcel parcel;
    DLENT_ASSIGN_OR_RETURN(parcel.memory, SharedMemory::Create(parts.bytes, cancel));
    std::memcpy(parcel.memory.data(), description.data(), description.size());
    std::memcpy(parcel.memory.data() + parts.weights_at, weights.data(), weights.size());
    parcel.body = use.ToJson();
    return parcel;
}

Expected<ScoredModel> UnpackModel(const ModelUse& use, std::span<const std::byte> memory) {
    DLENT_ASSIGN_OR_RETURN(const ModelParts parts, ModelParts::Of(use.description, use.weights));
    if (memory.size() != parts.bytes)
        return Status::Corrupt("a model whose memory has another size than it says");
    const std::string text = Copy(memory, 0, use.description);
    const std::string weights = Copy(memory, parts.weights_at, use.weights);
    if (ModelKey(text, Sha256Hex(weights)) != use.key)
        return Status::Corrupt("a model that is not what its key says");
    DLENT_ASSIGN_OR_RETURN(const Json description, ParseObject(text));
    const auto network = description.find("network");
    if (network == description.end())
        return Status::Corrupt("a model without a network");
    ScoredModel model;
    DLENT_ASSIGN_OR_RETURN(const uint64_t members, ReadUnsigned(description, "members", kMaxMembers));
    if (members == 0)
        return Status::Corrupt("a model without members");
    DLENT_ASSIGN_OR_RETURN(model.network, NetworkSpec::FromJson(*network));
    DLENT_ASSIGN_OR_RETURN(std::vector<NamedTensorData> tensors, ReadSafetensors(weights));
    DLENT_ASSIGN_OR_RETURN(model.members, SplitByMember(std::move(tensors), static_cast<size_t>(members)));
    return model;
}

BlockShape BlockShape::Of(const NetworkSpec& network, uint32_t rows, uint32_t logits) {
    return {rows, static_cast<uint32_t>(network.numeric), static_cast<uint32_t>(network.plain),
            static_cast<uint32_t>(network.codes.size()), logits};
}

Json BlockShape::ToJson() const {
    return {{"rows", rows}, {"numeric", numeric}, {"plain", plain}, {"fields", fields}, {"logits", logits}};
}

Expected<BlockShape> BlockShape::FromJson(const Json& body) {
    BlockShape shape;
    DLENT_ASSIGN_OR_RETURN(shape.rows, ReadCount(body, "rows", kMaxBlockRows));
    DLENT_ASSIGN_OR_RETURN(shape.numeric, ReadCount(body, "numeric", kMaxColumns));
    DLENT_ASSIGN_OR_RETURN(shape.plain, ReadCount(body, "plain", kMaxColumns));
    DLENT_ASSIGN_OR_RETURN(shape.fields, ReadCount(body, "fields", kMaxColumns));
    DLENT_ASSIGN_OR_RETURN(shape.logits, ReadCount(body, "logits", kMaxLogits));
    if (shape.rows == 0 || shape.logits == 0)
        return Status::Corrupt("blocks without rows or logits");
    return shape;
}

Expected<BlockLayout> BlockLayout::Of(const BlockShape& shape) {
    BlockLayout layout;
    layout.shape = shape;
    const uint64_t rows = shape.rows;
    Sections sections;
    layout.numeric = sections.Add(rows * shape.numeric, sizeof(float));
    layout.plain = sections.Add(rows * shape.plain, sizeof(float));
    layout.codes = sections.Add(rows * shape.fields, sizeof(int32_t));
    layout.logits = sections.Add(rows * shape.logits, sizeof(float));
    layout.slot_bytes = sections.Add(0, 1);  // the next slot on a cache line too
    if (!sections.ok())
        return Status(StatusCode::kResourceLimit, "too many rows for a block");
    return layout;
}

Json BlockReady::ToJson() const {
    return {{"slot", slot}, {"rows", rows}};
}

Expected<BlockReady> BlockReady::FromJson(const Json& body, const BlockShape& shape) {
    BlockReady ready;
    DLENT_ASSIGN_OR_RETURN(const uint32_t slot, ReadCount(body, "slot", kBlockSlots - 1));
    DLENT_ASSIGN_OR_RETURN(ready.rows, ReadCount(body, "rows", shape.rows));
    if (ready.rows == 0)
        return Status::Corrupt("a block of no rows");
    ready.slot = static_cast<int>(slot);
    return ready;
}

}  // namespace dlent::gpu
