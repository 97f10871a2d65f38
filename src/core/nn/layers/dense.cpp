#include "core/nn/layers/layers.h"
#include "core/nn/layers/support.h"

namespace dlent {
namespace {

/// y = f(Σ_i x_i·W_i + one_hot(codes)·W_codes + bias). The inputs are never copied side by side: each has
/// its rows of W.
class DenseLayer final : public Layer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        auto layer = std::make_unique<DenseLayer>();
        AttributeReader attributes(site.spec);
        layer->units_ = static_cast<int>(attributes.Integer("units", 1, NetworkSpec::kMaxWidth));
        layer->activation_ = attributes.ReadActivation("activation");
        layer->bias_ = attributes.Boolean("bias", true);
        attributes.ReadRates();
        DLENT_ASSIGN_OR_RETURN(layer->one_hot_, OneHotInput::Find(site, attributes, 0));
        DLENT_RETURN_IF_ERROR(attributes.Finish());
        if (site.inputs.empty()) {
            return LayerError(site.spec, "takes at least 1 input");
        }
        for (size_t i = 0; i < site.inputs.size(); ++i) {
            const ValueShape& shape = site.inputs[i];
            layer->widths_.push_back(shape.is_codes ? 0 : static_cast<int>(shape.width()));
            layer->float_width_ += layer->widths_.back();
            layer->last_float_ = shape.is_codes ? layer->last_float_ : static_cast<int>(i);
            if (shape.members != site.inputs[0].members) {
                return LayerError(site.spec, "its inputs differ in members");
            }
        }
        layer->members_ = site.inputs[0].members;
        layer->Declare(attributes);
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Initialize(size_t, RandomStream& random, std::span<float> values) const override {
        InitializeUniform(random, float_width_ + one_hot_.table_rows(), values);
    }

    void Forward(LayerContext& context) const override {
        Backend& backend = *context.backend;
        const int rows = context.rows * members_;
        const float* weight = context.tensors[0];
        const float* bias = bias_ ? context.tensors[1] : nullptr;
        float* preactivation =
            NeedsPreactivation(activation_) && context.training ? context.saved[0] : nullptr;
        float* base = context.scratch + context.rows * one_hot_.scratch_per_row();
        bool have_base = false;
        if (one_hot_.present()) {
            one_hot_.Forward(context, units_, weight + float_width_ * units_, context.scratch, base);
            have_base = true;
        }
        for (size_t i = 0; i < widths_.size(); ++i) {
            if (widths_[i] == 0) {
                continue;
            }
            const float* x = context.inputs[i].data;
            if (static_cast<int>(i) == last_float_) {
                backend.DenseForward(rows, widths_[i], units_, x, widths_[i], weight, bias,
                                     have_base ? base : nullptr, activation_, preactivation, context.output);
            } else {
                backend.Gemm(false, false, rows, units_, widths_[i], 1.0f, x, widths_[i], weight, units_,
                             have_base ? 1.0f : 0.0f, base, units_);
                have_base = true;
            }
            weight += static_cast<size_t>(widths_[i]) * units_;
        }
        if (last_float_ < 0) {
            if (bias != nullptr) {
                backend.EnsembleBias(rows, 1, units_, bias, base);
            }
            const size_t count = static_cast<size_t>(rows) * units_;
            if (preactivation != nullptr) {
                backend.Copy(preactivation, base, count * sizeof(float));
            }
            backend.ActivationForward(activation_, count, base, context.output);
        }
    }

    void Backward(LayerContext& context) const override {
        Backend& backend = *context.backend;
        const int rows = context.rows * members_;
        float* dz = context.output_gradient;
        if (activation_ != Activation::kIdentity) {
            const float* preactivation = NeedsPreactivation(activation_) ? context.saved[0] : nullptr;
            backend.ActivationBackward(activation_, static_cast<size_t>(rows) * units_, preactivation,
                                       context.output, dz, dz);
        }
        const float* weight = context.tensors[0];
        float* dweight = context.gradients[0];
        float* dbias = bias_ ? context.gradients[1] : nullptr;
        if (one_hot_.present()) {
            one_hot_.Backward(context, units_, dz, context.scratch, dweight + float_width_ * units_);
        }
        if (last_float_ < 0 && dbias != nullptr) {
            backend.ColumnSum(rows, units_, dz, dbias);
        }
        for (size_t i = 0; i < widths_.size(); ++i) {
            if (widths_[i] == 0) {
                continue;
            }
            const LayerContext::Input& input = context.inputs[i];
            backend.DenseBackward(rows, widths_[i], units_, input.data, widths_[i], weight, dz, dweight,
                                  dbias, input.gradient, input.accumulate);
            dbias = nullptr;
            weight += static_cast<size_t>(widths_[i]) * units_;
            dweight += static_cast<size_t>(widths_[i]) * units_;
        }
    }

 private:
    void Declare(const AttributeReader& attributes) {
        output_ = {false, members_, {units_}};
        tensors_.push_back(attributes.Weight("weight", {float_width_ + one_hot_.table_rows(), units_}));
        if (bias_) {
            tensors_.push_back(attributes.Bias("bias", {units_}));
        }
        const int64_t outputs_per_row = static_cast<int64_t>(members_) * units_;
        if (NeedsPreactivation(activation_)) {
            saved_.push_back({outputs_per_row, 0, true});
        }
        const bool needs_base = one_hot_.present() || widths_.size() > 1;
        scratch_.per_row = one_hot_.scratch_per_row() + (needs_base ? outputs_per_row : 0);
        if (one_hot_.present()) {
            tables_.push_back(one_hot_.offsets());
        }
    }

    int units_ = 0;
    Activation activation_ = Activation::kIdentity;
    bool bias_ = true;
    int members_ = 1;
    OneHotInput one_hot_;
    std::vector<int> widths_;  ///< of each input; 0 for codes
    int64_t float_width_ = 0;
    int last_float_ = -1;
};

}  // namespace

MadeLayer MakeDense(const LayerSite& site) {
    return DenseLayer::Make(site);
}

}  // namespace dlent
