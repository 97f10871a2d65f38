#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"

namespace dlent {

/// The shape of a value that flows along an edge of a network. A float value is [rows × members × dims...];
/// `members` is 1 until a batch-ensemble layer widens it. A codes value is [rows × fields] int32.
struct ValueShape {
    bool is_codes = false;
    int members = 1;
    std::vector<int64_t> dims;  ///< of one row of one member; for codes the number of fields

    int64_t width() const {
        int64_t product = 1;
        for (const int64_t dim : dims) {
            product *= dim;
        }
        return product;
    }
    bool operator==(const ValueShape&) const = default;
};

/// One node: a layer type, where its inputs come from ("numeric", "plain", "codes", or an earlier layer), and
/// the attributes of its type as a JSON object.
struct LayerSpec {
    std::string name;
    std::string type;
    std::vector<std::string> inputs;
    Json attributes = Json::object();
};

/// A network as data: what a version stores and what Network::Create builds. JSON form:
///   {"version": 1, "inputs": {"numeric": C, "plain": P, "codes": [cardinality, ...]}, "members": k,
///    "layers": [{"name", "type", "inputs": [...], ...attributes}, ...], "output": "name" or ["name", ...]}
/// Layers stand in topological order. Every attribute not listed for a type is refused.
///
/// Attributes of every type with parameters: "learning_rate" (factor on the layer's learning rate, default
/// 1), "bias_learning_rate" (of its biases, default "learning_rate"), "weight_decay" (factor on the weights'
/// decay, default 1; biases, scales, norms and alphas never decay). Activations: identity, relu, leaky_relu,
/// selu, gelu, silu, mish, tanh, sigmoid.
///
/// | type | inputs | attributes (default) | tensors |
/// |---|---|---|---|
/// | dense | floats of equal members, and codes (one member) | units; activation (identity); bias (true);
///   fields: those of codes to take one-hot (all) | weight [Σ widths + Σ cardinalities, units]: float inputs
///   in order, then one row per code, field by field; bias [units] |
/// | embedding | codes | fields (all); dims: width of each | weight_<field> [cardinality, dim] |
/// | piecewise_linear_embedding | one float | width; bins: count per column; activation (identity); clip (3;
///   0 = none) | linear, bias [columns, width]; weight [Σ bins, width]; edges [Σ (bins + 1)], not trained.
///   out = f(smooth_clip(x)·linear + bias + PLE(x)·weight) |
/// | periodic_embedding | one float | width; frequencies (16); sigma (0.1); densenet (true: the last of
///   `width` outputs is x itself); activation (identity, of the others); clip (3) | frequencies [columns,
///   frequencies]; weight [columns, 2·frequencies, width − densenet]; bias [columns, width − densenet] |
/// | smooth_clip | one float | limit (3) | |
/// | scale | one float | | weight [width] |
/// | activation | one float | activation; parametric (false) | alpha [width] when parametric |
/// | dropout | one float | rate | |
/// | batch_norm | one float | epsilon (1e-5); momentum (0.1) | weight, bias [members · width]; running_mean,
///   running_variance, not trained |
/// | layer_norm | one float | epsilon (1e-5) | weight, bias [width] |
/// | add | two or more floats of one shape | | |
/// | concat | two or more floats of equal members | | |
/// | batch_ensemble_dense | one float, and codes (not scaled) | units; activation (identity); scale_in
/// (true);
///   scale_out (true); ensemble_bias (true); init: of scale_in, ones or random_signs (ones); fields |
///   weight [width + Σ cardinalities, units]; scale_in [members, width]; scale_out [members, units]; bias
///   [members, units], or [units] without ensemble_bias. out = f(((x ∘ scale_in)·W) ∘ scale_out + bias) |
/// | ensemble_heads | one float of `members` or 1 member | units; bias (true) | weight [members, width,
///   units]; bias [members, units] |
struct NetworkSpec {
    static constexpr int kVersion = 1;
    static constexpr int64_t kMaxWidth = 1 << 20;       ///< of one value, members included
    static constexpr int64_t kMaxParameters = 1 << 28;  ///< 1 GiB of floats
    /// Floats that all layers and members put out for one row: what an untrusted network may make us allocate
    /// without having weights to show for it.
    static constexpr int64_t kMaxActivations = 1 << 24;
    static constexpr int kMaxLayers = 1000;
    static constexpr int kMaxMembers = 256;

    int numeric = 0;
    int plain = 0;
    std::vector<int32_t> codes;  ///< cardinality of each field
    int members = 1;
    std::vector<LayerSpec> layers;
    std::vector<std::string> outputs;  ///< names of layers; the first is what losses and scores read

    /// Trusts nothing: unknown or repeated names, types, attributes and keys, dangling or forward references,
    /// shapes that do not fit, layers that nothing reads, sizes beyond the limits above. kInvalidArgument
    /// whose message names the layer.
    static Expected<NetworkSpec> FromJson(const Json& json);
    Json ToJson() const;

    /// The same checks on a spec built in memory.
    Status Validate() const;
};

/// Names of the types that the registry knows, in the order above.
std::vector<std::string_view> LayerTypes();

}  // namespace dlent
