// What a training that goes on reads back is hostile bytes: whatever description and tensors a checkpoint
// has, DecodeCheckpoint answers with kCorrupt and leaves the network as it was, or fills it with finite
// tensors and gives a result that written as a checkpoint reads as itself.
//
// An input is {"network": specification, "logits": held-out answers} and the description, a line of JSON
// each, then the tensors.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/formats/safetensors.h"
#include "core/train/checkpoint.h"
#include "cpu/cpu_backend.h"
#include "fuzzing.h"

namespace {

using dlent::Json;

/// Networks that are worth making.
constexpr int64_t kMaxParameters = 1 << 16;
constexpr int kMaxBatch = 4;

/// The network that a training has made before it looks for its checkpoint; null when there is none such, or
/// it is too large.
std::unique_ptr<dlent::Network> MakeNetwork(const Json& specification, dlent::Backend& backend) {
    const dlent::Expected<dlent::NetworkSpec> spec = dlent::NetworkSpec::FromJson(specification);
    if (!spec.ok())
        return nullptr;
    dlent::Expected<std::unique_ptr<dlent::Network>> network =
        dlent::Network::Create(*spec, backend, kMaxBatch, true);
    if (!network.ok() || (*network)->trainable_count() > kMaxParameters)
        return nullptr;
    Require((*network)->Initialize(1).ok());
    return std::move(*network);
}

std::string Weights(const dlent::Network& network) {
    const dlent::Expected<std::vector<dlent::NamedTensorData>> tensors = network.Save();
    Require(tensors.ok());
    for (const dlent::NamedTensorData& tensor : *tensors) {
        for (const float value : tensor.values)
            Require(std::isfinite(value));
    }
    return dlent::WriteSafetensors(*tensors, {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const Json training = Json::parse(TakeLine(&bytes), nullptr, false);
    const Json description = Json::parse(TakeLine(&bytes), nullptr, false);
    if (!training.is_object() || !training.contains("network") || description.is_discarded())
        return 0;
    const auto count = training.find("logits");
    const size_t logits = count != training.end() && count->is_number_unsigned() ? count->get<size_t>() : 0;

    static const std::unique_ptr<dlent::Backend> backend = dlent::MakeCpuBackend();
    const std::unique_ptr<dlent::Network> network = MakeNetwork(training["network"], *backend);
    if (network == nullptr)
        return 0;
    const std::string before = Weights(*network);
    const dlent::Expected<dlent::TrainerResult> result =
        dlent::DecodeCheckpoint({description, std::string(bytes)}, logits, network.get());
    const std::string after = Weights(*network);
    if (!result.ok()) {
        Require(result.status().code() == dlent::StatusCode::kCorrupt && !result.status().detail().empty());
        Require(after == before);
        return 0;
    }
    Require(result->validation_logits.size() == logits);
    for (const float value : result->validation_logits)
        Require(std::isfinite(value));
    Require(result->best_fraction >= 0.0 && result->best_fraction <= 1.0);

    const dlent::Checkpoint written = dlent::EncodeCheckpoint(*result, *network->Save());
    const dlent::Expected<dlent::TrainerResult> again =
        dlent::DecodeCheckpoint(written, logits, network.get());
    Require(again.ok() && Weights(*network) == after);
    const dlent::Checkpoint twice = dlent::EncodeCheckpoint(*again, *network->Save());
    Require(twice.description == written.description && twice.tensors == written.tensors);
    return 0;
}
