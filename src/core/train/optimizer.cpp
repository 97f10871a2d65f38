#include "core/train/optimizer.h"

#include <string>

namespace dlent {

const char* OptimizerName(OptimizerKind kind) {
    return kind == OptimizerKind::kAdamW ? "adamw" : "sgd";
}

Expected<OptimizerKind> ParseOptimizer(std::string_view name) {
    for (const OptimizerKind kind : {OptimizerKind::kAdamW, OptimizerKind::kSgd}) {
        if (name == OptimizerName(kind)) {
            return kind;
        }
    }
    return Status::Invalid("unknown optimizer \"" + std::string(name) + "\"", {},
                           "Known optimizers: adamw, sgd.");
}

Expected<std::unique_ptr<Optimizer>> Optimizer::Create(const OptimizerOptions& options, Network& network,
                                                       Backend& backend) {
    std::unique_ptr<Optimizer> optimizer(new Optimizer(options, network, backend));
    for (const ParameterInfo& info : network.parameters()) {
        if (info.trainable) {
            optimizer->segments_.push_back({info.offset, info.count, info.learning_rate_multiplier,
                                            options.weight_decay * info.weight_decay_multiplier});
        }
    }
    const size_t count = network.parameter_data_count();
    DLENT_RETURN_IF_ERROR(optimizer->first_moment_.Allocate(backend, count));
    if (options.kind == OptimizerKind::kAdamW) {
        DLENT_RETURN_IF_ERROR(optimizer->second_moment_.Allocate(backend, count));
    }
    return optimizer;
}

void Optimizer::Step(float learning_rate, int64_t step, const float* gradient_scale) {
    if (options_.kind == OptimizerKind::kAdamW) {
        const AdamWStepSpec spec{learning_rate, options_.beta1, options_.beta2, options_.epsilon, step};
        backend_.AdamWStep(spec, segments_, network_.gradient_data(), gradient_scale,
                           network_.parameter_data(), first_moment_.data(), second_moment_.data());
    } else {
        const SgdStepSpec spec{learning_rate, options_.momentum, options_.nesterov};
        backend_.SgdStep(spec, segments_, network_.gradient_data(), gradient_scale, network_.parameter_data(),
                         first_moment_.data());
    }
}

}  // namespace dlent
