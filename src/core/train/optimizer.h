#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/nn/backend.h"
#include "core/nn/device_buffer.h"
#include "core/nn/network.h"

namespace dlent {

enum class OptimizerKind : uint8_t { kAdamW, kSgd };

const char* OptimizerName(OptimizerKind kind);
/// "adamw", "sgd".
Expected<OptimizerKind> ParseOptimizer(std::string_view name);

struct OptimizerOptions {
    OptimizerKind kind = OptimizerKind::kAdamW;
    float weight_decay = 0.0f;  ///< decoupled; times each tensor's multiplier
    float beta1 = 0.9f;         ///< AdamW
    float beta2 = 0.999f;
    float epsilon = 1e-8f;
    float momentum = 0.9f;  ///< SGD
    bool nesterov = false;
};

/// The moments of one network's parameters and the step that moves them.
class Optimizer {
 public:
    static Expected<std::unique_ptr<Optimizer>> Create(const OptimizerOptions& options, Network& network,
                                                       Backend& backend);

    /// Moves the parameters against the network's gradients times *gradient_scale (device). Steps are counted
    /// from 1.
    void Step(float learning_rate, int64_t step, const float* gradient_scale);

 private:
    Optimizer(const OptimizerOptions& options, Network& network, Backend& backend)
        : options_(options), network_(network), backend_(backend) {}

    OptimizerOptions options_;
    Network& network_;
    Backend& backend_;
    std::vector<ParameterSegment> segments_;
    DeviceBuffer<float> first_moment_;   ///< or SGD's momentum
    DeviceBuffer<float> second_moment_;  ///< AdamW only
};

}  // namespace dlent
