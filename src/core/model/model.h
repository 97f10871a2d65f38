#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/features/pipeline.h"
#include "core/features/target.h"
#include "core/model/quantization.h"
#include "core/nn/named_tensor.h"
#include "core/nn/network_spec.h"

namespace dlent {

/// A trained model: how rows become network inputs, one or more networks whose predictions are averaged, and
/// how their logits become answers. Immutable after training; what a version in the catalog stores.
struct Model {
    std::string kind;  ///< "mlp", "tabm", ...
    TargetEncoder target;
    Pipeline pipeline;
    NetworkSpec network;                                ///< the members share one architecture
    std::vector<std::vector<NamedTensorData>> members;  ///< weights of each; none where a Scorer has them
    float temperature = 1.0f;                           ///< logits are divided by it
    std::optional<Quantization> quantization;           ///< how it is scored in int8; absent: in fp32

    /// The artifact: a readable specification (kind, target, network, temperature, quantization), the
    /// pipeline's statistics, and all weights as one safetensors file whose tensors are named
    /// "<member>/<tensor>".
    Json SpecificationJson() const;
    Json PipelineJson() const { return pipeline.ToJson(); }
    std::string WeightsBytes() const;

    /// That the parts fit each other: the network reads what the pipeline makes, at the pipeline's bin edges,
    /// and answers what the target takes; every member has the network's tensors and no other, in their
    /// shapes, finite. kCorrupt names what is wrong.
    Status Validate() const;

    /// Rebuilds a model from stored parts, trusting none of them, and validates it. kCorrupt names what is
    /// wrong; kUnsupported when a newer version wrote it; kOutOfMemory.
    static Expected<Model> FromArtifact(const Json& specification, const Json& pipeline,
                                        std::string_view weights);
    /// The same without weights, for who has them in another form: the members are there, and empty. That
    /// the parts fit each other is not checked.
    static Expected<Model> FromDescription(const Json& specification, const Json& pipeline);
};

}  // namespace dlent
