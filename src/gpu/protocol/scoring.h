#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/nn/named_tensor.h"
#include "core/nn/network_spec.h"
#include "gpu/protocol/job.h"

namespace dlent::gpu {

/// Blocks that a session may have under way: one is computed while the next is filled.
inline constexpr int kBlockSlots = 2;

/// The networks of a model: one architecture, the weights of each.
struct ScoredModel {
    NetworkSpec network;
    std::vector<std::vector<NamedTensorData>> members;
};

/// What a model is called on a device: the SHA-256 over its description and over the SHA-256 of its weights.
/// Who has the weights computes it from them, so that a name never means other weights.
std::string ModelKey(std::string_view description, std::string_view weights_sha256);

/// As it is hashed.
std::string DescribeModel(const NetworkSpec& network, size_t members);

/// What a session says with kModel, and whether weights go with it.
struct ModelUse {
    std::string key;
    uint32_t rows = 0;  ///< of a block, wanted
    /// Sizes of the parts of the memory: description and weights; 0 without.
    uint64_t description = 0;
    uint64_t weights = 0;

    Json ToJson() const;
    /// Trusts nothing; kCorrupt.
    static Expected<ModelUse> FromJson(const Json& body);
    bool has_weights() const { return description > 0; }
    /// Of the memory; kCorrupt.
    Expected<size_t> Bytes() const;
};

/// A model with its weights (the safetensors file that the catalog has, members by number), for kModel.
Expected<Parcel> PackModel(std::string_view key, uint32_t rows, std::string_view description,
                           std::string_view weights, const CancelToken& cancel);
/// Trusts neither; the key must be that of what is there. kCorrupt, or kInvalidArgument from the network's
/// specification.
Expected<ScoredModel> UnpackModel(const ModelUse& use, std::span<const std::byte> memory);

/// What a block holds of each row.
struct BlockShape {
    uint32_t rows = 0;  ///< at most
    uint32_t numeric = 0;
    uint32_t plain = 0;
    uint32_t fields = 0;
    uint32_t logits = 0;  ///< members of the model × those of a network × outputs

    static BlockShape Of(const NetworkSpec& network, uint32_t rows, uint32_t logits);
    Json ToJson() const;
    static Expected<BlockShape> FromJson(const Json& body);
    bool operator==(const BlockShape&) const = default;
};

/// One slot of the memory that both ends write: numeric [rows × numeric], plain and codes for the device;
/// logits from it, of one member of the model after another, each [rows × members of the network × outputs].
struct BlockLayout {
    BlockShape shape;
    size_t numeric = 0;
    size_t plain = 0;
    size_t codes = 0;
    size_t logits = 0;
    size_t slot_bytes = 0;

    /// kResourceLimit when the memory could not be addressed.
    static Expected<BlockLayout> Of(const BlockShape& shape);
    size_t bytes() const { return slot_bytes * kBlockSlots; }

    template <typename T>
    T* At(std::byte* memory, int slot, size_t offset) const {
        return reinterpret_cast<T*>(memory + static_cast<size_t>(slot) * slot_bytes + offset);
    }
};

/// What kScore and kScored say.
struct BlockReady {
    int slot = 0;
    uint32_t rows = 0;

    Json ToJson() const;
    static Expected<BlockReady> FromJson(const Json& body, const BlockShape& shape);
};

}  // namespace dlent::gpu
