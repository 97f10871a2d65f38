#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/random.h"
#include "core/base/status.h"
#include "core/nn/backend.h"
#include "core/nn/network_spec.h"

namespace dlent {

/// A tensor that a layer owns. Names are without the layer's.
struct TensorDeclaration {
    std::string name;
    std::vector<int64_t> shape;
    bool trainable = true;
    float learning_rate_multiplier = 1.0f;
    float weight_decay_multiplier = 1.0f;

    int64_t count() const {
        int64_t product = 1;
        for (const int64_t dim : shape) {
            product *= dim;
        }
        return product;
    }
};

/// Memory that a layer works in, in floats: `per_row` times the rows of the mini-batch, plus `fixed`. With
/// `training_only` it is null in a network that is not for training.
struct WorkspaceDeclaration {
    int64_t per_row = 0;
    int64_t fixed = 0;
    bool training_only = false;
};

/// What a layer sees of a step. Pointers are device pointers; vectors follow the layer's declarations.
struct LayerContext {
    struct Input {
        const float* data = nullptr;
        const int32_t* codes = nullptr;
        float* gradient = nullptr;  ///< null: not needed
        bool accumulate = false;    ///< add to `gradient` rather than overwrite it
    };

    Backend* backend = nullptr;
    int rows = 0;
    bool training = false;
    uint64_t seed = 0;  ///< of this layer
    uint64_t step = 0;
    std::vector<Input> inputs;
    float* output = nullptr;
    float* output_gradient = nullptr;  ///< Backward may overwrite it
    std::vector<float*> tensors;
    std::vector<float*> gradients;  ///< null for what is not trained
    std::vector<float*> saved;      ///< kept from Forward to Backward
    float* scratch = nullptr;       ///< valid within one call
    std::vector<const int32_t*> tables;
};

/// An operation of a network: what it declares when it is made from its spec, and how it runs on a backend's
/// operators. A layer holds no weights and no device memory; Network owns both. A new type is one file in
/// core/nn/layers/ and one line of the table in layer_registry.cpp.
class Layer {
 public:
    virtual ~Layer() = default;

    const ValueShape& output() const { return output_; }
    const std::vector<TensorDeclaration>& tensors() const { return tensors_; }
    const std::vector<WorkspaceDeclaration>& saved() const { return saved_; }
    const WorkspaceDeclaration& scratch() const { return scratch_; }
    /// Constants, copied to the device once.
    const std::vector<std::vector<int32_t>>& tables() const { return tables_; }

    /// Whether the output is the input when not training (dropout): Forward is then not called.
    virtual bool IsIdentityInInference() const { return false; }

    /// Draws the initial value of tensor `index` (host memory, zeroed). Called in order of index.
    virtual void Initialize(size_t index, RandomStream& random, std::span<float> values) const;

    virtual void Forward(LayerContext& context) const = 0;
    /// From output_gradient: gradients of all trainable tensors, and of the inputs that want one.
    virtual void Backward(LayerContext& context) const = 0;

 protected:
    ValueShape output_;
    std::vector<TensorDeclaration> tensors_;
    std::vector<WorkspaceDeclaration> saved_;
    WorkspaceDeclaration scratch_;
    std::vector<std::vector<int32_t>> tables_;
};

/// Where a layer is made: its spec, the shapes of its inputs and the network around it.
struct LayerSite {
    const NetworkSpec& network;
    const LayerSpec& spec;
    std::vector<ValueShape> inputs;
};

/// Makes the layer of a spec. Errors name the layer.
Expected<std::unique_ptr<Layer>> MakeLayer(const LayerSite& site);

/// A layer in its graph. Values are numbered: the network's numeric, plain and codes inputs, then the outputs
/// of the layers in order.
struct GraphLayer {
    std::unique_ptr<Layer> layer;
    std::vector<int> inputs;
};
inline constexpr int kGraphInputs = 3;

/// Checks everything that NetworkSpec::Validate promises and makes the layers.
Expected<std::vector<GraphLayer>> MakeGraph(const NetworkSpec& spec);

const char* ActivationName(Activation activation);
Expected<Activation> ParseActivation(std::string_view name);

}  // namespace dlent
