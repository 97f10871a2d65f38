#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/nn/backend.h"
#include "core/nn/device_buffer.h"
#include "core/nn/layer.h"
#include "core/nn/named_tensor.h"
#include "core/nn/network_spec.h"

namespace dlent {

/// Where a tensor of a network lies and how the optimiser treats it.
struct ParameterInfo {
    std::string name;  ///< "<layer>.<tensor>"
    std::vector<int64_t> shape;
    size_t offset = 0;  ///< in parameter_data() when trainable, else in state_data()
    size_t count = 0;
    float learning_rate_multiplier = 1.0f;
    float weight_decay_multiplier = 1.0f;  ///< 0 for biases, scales and norms
    bool trainable = true;                 ///< false: edges, running statistics
};

/// One mini-batch on the device, as Pipeline lays it out.
struct BatchInputs {
    int rows = 0;
    const float* numeric = nullptr;  ///< [rows × spec.numeric]
    const float* plain = nullptr;    ///< [rows × spec.plain]
    const int32_t* codes = nullptr;  ///< [rows × fields]; negative: contributes nothing
};

/// The values of a network's tensors, laid out as parameter_data() and state_data() are, in its device's
/// memory.
struct FlatTensors {
    std::span<const float> parameters;
    std::span<const float> state;
};

/// A network on one device: its parameters in one flat vector, its gradients in another of the same layout,
/// and every activation planned and allocated when it is created, so that a step allocates nothing. Not
/// thread-safe; the backend must outlive it.
class Network {
 public:
    /// `max_batch` bounds the rows of a Forward. Without `for_training` activations share memory as their
    /// lifetimes allow and Backward must not be called. With `input_gradients` (for training), Backward also
    /// computes those of the numbers that the network reads. Parameters are zero until Initialize or Load.
    static Expected<std::unique_ptr<Network>> Create(const NetworkSpec& spec, Backend& backend, int max_batch,
                                                     bool for_training, bool input_gradients = false);
    /// A network without training that reads its tensors where they are: `tensors` must outlive it. kCorrupt
    /// when there are more or fewer than the network has. Initialize, SetTensor and Load must not be called.
    static Expected<std::unique_ptr<Network>> CreateOver(const NetworkSpec& spec, Backend& backend,
                                                         int max_batch, const FlatTensors& tensors);

    /// Draws all tensors anew; a function of spec and seed alone, the same on every device.
    Status Initialize(uint64_t seed);

    const NetworkSpec& spec() const { return spec_; }
    int max_batch() const { return max_batch_; }
    bool for_training() const { return for_training_; }
    /// In the order in which layers declare them.
    const std::vector<ParameterInfo>& parameters() const { return parameters_; }
    /// Trainable weights, alignment padding included.
    int64_t trainable_count() const;
    bool HasLayer(std::string_view type) const;

    /// Copies a tensor from or to host memory. kNotFound, or kInvalidArgument when the count differs.
    Status SetTensor(std::string_view name, std::span<const float> values);
    Status GetTensor(std::string_view name, std::span<float> values) const;
    Expected<std::vector<NamedTensorData>> Save() const;
    /// All tensors of the network and no other, in any order, shapes as declared, values finite; else
    /// kCorrupt and the network is as before.
    Status Load(std::span<const NamedTensorData> tensors);

    /// `seed` and `step` drive dropout; they are not read unless `training`.
    Status Forward(const BatchInputs& batch, bool training, uint64_t seed = 0, uint64_t step = 0);
    /// After Forward(batch, training = true), whose inputs must still be there, and once every output's
    /// gradient is filled: overwrites the gradients of all parameters. Output gradients are consumed.
    Status Backward();
    /// Polled between layers, so that a long step ends early with kCancelled. Null: not polled.
    void SetCancelToken(const CancelToken* token) { cancel_ = token; }

    /// The outputs of the last Forward: [rows × members × outputs].
    const float* logits() const { return output(0); }
    float* logits_gradient() { return output_gradient(0); }
    int outputs() const { return static_cast<int>(output_shape(0).width()); }
    int members() const { return output_shape(0).members; }

    /// Of the last Backward, with `input_gradients`: [rows × spec.numeric], [rows × spec.plain].
    const float* numeric_gradient() const { return values_[0].gradient; }
    const float* plain_gradient() const { return values_[1].gradient; }

    int output_count() const { return static_cast<int>(output_values_.size()); }
    const ValueShape& output_shape(int index) const { return values_[output_values_[index]].shape; }
    const float* output(int index) const { return values_[output_values_[index]].data; }
    float* output_gradient(int index) { return values_[output_values_[index]].gradient; }

    /// The flat vectors, for optimisers and weight averages. State is what is not trained.
    float* parameter_data() { return parameter_data_.data(); }
    float* gradient_data() { return gradient_data_.data(); }
    size_t parameter_data_count() const { return parameter_data_.count(); }
    /// One value more behind the gradients: the weight of the rows that they are of, where ranks add both up.
    float* gradient_weight() { return gradient_data_.data() + parameter_data_count(); }
    float* state_data() { return state_data_.data(); }
    size_t state_data_count() const { return state_data_.count(); }
    /// Of activations and scratch memory.
    size_t workspace_bytes() const;
    FlatTensors tensors() const {
        return {{parameter_data_.data(), parameter_data_.count()}, {state_data_.data(), state_data_.count()}};
    }

 private:
    struct Value {
        ValueShape shape;
        const float* data = nullptr;  ///< `buffer`, or what an identity passes on
        float* buffer = nullptr;      ///< null for the network's inputs
        float* gradient = nullptr;
        const int32_t* codes = nullptr;
        bool gradient_written = false;
    };
    struct Node {
        std::unique_ptr<Layer> layer;
        std::vector<int> inputs;  ///< values
        int output = 0;           ///< value
        bool backward = false;    ///< has parameters, or an input whose gradient is needed
        LayerContext context;
        std::vector<DeviceBuffer<int32_t>> tables;
    };

    Network(const NetworkSpec& spec, Backend& backend, int max_batch, bool for_training)
        : spec_(spec), backend_(backend), max_batch_(max_batch), for_training_(for_training) {}
    /// `tensors`: null for memory of its own.
    static Expected<std::unique_ptr<Network>> Make(const NetworkSpec& spec, Backend& backend, int max_batch,
                                                   bool for_training, bool input_gradients,
                                                   const FlatTensors* tensors);
    Status Build(const FlatTensors* tensors);
    Status PlanParameters(const FlatTensors* tensors);
    Status PlanValues();
    Status PlanWorkspaces();
    void BindInputs(const BatchInputs& batch);
    const ParameterInfo* Find(std::string_view name) const;
    float* Address(const ParameterInfo& info) const {
        return (info.trainable ? parameter_data_.data() : state_data_.data()) + info.offset;
    }

    NetworkSpec spec_;
    Backend& backend_;
    int max_batch_;
    bool for_training_;
    bool input_gradients_ = false;
    const CancelToken* cancel_ = nullptr;
    std::vector<ParameterInfo> parameters_;
    std::vector<Value> values_;  ///< numeric, plain, codes, then one per layer
    std::vector<Node> nodes_;
    std::vector<int> output_values_;
    DeviceBuffer<float> parameter_data_;
    DeviceBuffer<float> gradient_data_;
    DeviceBuffer<float> state_data_;
    DeviceBuffer<float> scratch_;
    std::vector<DeviceBuffer<float>> activations_;
};

}  // namespace dlent
