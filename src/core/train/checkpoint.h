#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/nn/named_tensor.h"
#include "core/nn/network.h"
#include "core/train/trainer.h"

namespace dlent {

/// One finished network of a training, as it is kept: what came out beside the weights, readable, and all
/// tensors as one safetensors file.
struct Checkpoint {
    Json description;
    std::string tensors;
};

/// Where a training keeps each network that it has finished, so that a training cut short goes on behind the
/// last of them. A key names everything that the network follows from (rows, recipe, seed, specification), so
/// what is found under it is what training again would give, bit for bit.
class CheckpointStore {
 public:
    virtual ~CheckpointStore() = default;
    virtual Expected<std::optional<Checkpoint>> Find(const std::string& key) = 0;
    virtual Status Keep(const std::string& key, const Checkpoint& checkpoint) = 0;
};

Checkpoint EncodeCheckpoint(const TrainerResult& result, const std::vector<NamedTensorData>& tensors);

/// Fills `network`, and returns the result, from a checkpoint that is trusted in nothing: kCorrupt unless it
/// has the network's tensors and no other, in their shapes, finite, and `validation_logits` numbers.
Expected<TrainerResult> DecodeCheckpoint(const Checkpoint& checkpoint, size_t validation_logits,
                                         Network* network);

}  // namespace dlent
