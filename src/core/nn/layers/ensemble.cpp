#include <algorithm>

#include "core/nn/layers/layers.h"
#include "core/nn/layers/support.h"

namespace dlent {
namespace {

/// y_k = f(((x_k ∘ r_k)·W [+ one_hot·W_codes]) ∘ s_k + b_k): one shared weight and cheap vectors of its own
/// for each member (Wen et al. 2020; TabM, Gorishniy et al. 2025).
class BatchEnsembleDenseLayer final : public Layer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        auto layer = std::make_unique<BatchEnsembleDenseLayer>();
        AttributeReader attributes(site.spec);
        layer->units_ = static_cast<int>(attributes.Integer("units", 1, NetworkSpec::kMaxWidth));
        layer->activation_ = attributes.ReadActivation("activation");
        layer->scale_in_ = attributes.Boolean("scale_in", true);
        layer->scale_out_ = attributes.Boolean("scale_out", true);
        layer->ensemble_bias_ = attributes.Boolean("ensemble_bias", true);
        static constexpr std::string_view kInitial[] = {"ones", "random_signs"};
        layer->random_signs_ = attributes.Choice("init", kInitial) == 1;
        attributes.ReadRates();
        DLENT_ASSIGN_OR_RETURN(layer->one_hot_, OneHotInput::Find(site, attributes, 0));
        DLENT_RETURN_IF_ERROR(attributes.Finish());
        if (site.inputs.size() != (layer->one_hot_.present() ? 2 : 1)) {
            return LayerError(site.spec, "takes one float input, and perhaps \"codes\"");
        }
        layer->x_ = layer->one_hot_.present() && layer->one_hot_.input() == 0 ? 1 : 0;
        const ValueShape& x = site.inputs[layer->x_];
        layer->width_ = static_cast<int>(x.width());
        layer->members_ = site.network.members;
        layer->broadcast_ = x.members == 1 && layer->members_ > 1;
        if (layer->broadcast_ && !layer->scale_in_) {
            return LayerError(site.spec, "needs \"scale_in\" to tell the members of its one-member input \"" +
                                             site.spec.inputs[layer->x_] + "\" apart");
        }
        layer->Declare(attributes);
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Initialize(size_t index, RandomStream& random, std::span<float> values) const override {
        if (index == 0) {
            InitializeUniform(random, width_ + one_hot_.table_rows(), values);
        } else if (static_cast<int>(index) == bias_tensor_) {
            InitializeUniform(random, width_ + one_hot_.table_rows(), values);
        } else {
            const bool signs = random_signs_ && static_cast<int>(index) == scale_in_tensor_;
            for (float& value : values) {
                value = signs && (random.NextU32() & 1) != 0 ? -1.0f : 1.0f;
            }
        }
    }

    void Forward(LayerContext& context) const override {
        Backend& backend = *context.backend;
        const int rows = context.rows * members_;
        const float* weight = context.tensors[0];
        const float* x = context.inputs[x_].data;
        if (scale_in_) {
            backend.EnsembleScaleForward(context.rows, members_, width_, x, broadcast_,
                                         context.tensors[scale_in_tensor_], context.saved[kScaled]);
            x = context.saved[kScaled];
        }
        const float* bias = context.tensors[bias_tensor_];
        const bool keep = NeedsPreactivation(activation_) && context.training;
        float* preactivation = keep ? context.saved[kPreactivation] : nullptr;
        if (IsPlainDense()) {
            backend.DenseForward(rows, width_, units_, x, width_, weight, bias, nullptr, activation_,
                                 preactivation, context.output);
            return;
        }
        if (one_hot_.present()) {
            one_hot_.Forward(context, units_, OneHotWeight(weight), context.scratch, context.saved[kBase]);
        }
        float* product = context.saved[kProduct];
        backend.DenseForward(rows, width_, units_, x, width_, weight, nullptr, nullptr, Activation::kIdentity,
                             nullptr, product);
        backend.EnsembleOutputForward(Output(context), product, Base(context), ScaleOut(context), bias,
                                      preactivation, context.output);
    }

    void Backward(LayerContext& context) const override {
        Backend& backend = *context.backend;
        const int rows = context.rows * members_;
        float* dproduct = context.output_gradient;  // once its activation, scale and bias are behind it
        float* dweight = context.gradients[0];
        float* dbias = context.gradients[bias_tensor_];
        const float* preactivation =
            NeedsPreactivation(activation_) ? context.saved[kPreactivation] : nullptr;
        if (IsPlainDense()) {
            backend.ActivationBackward(activation_, static_cast<size_t>(rows) * units_, preactivation,
                                       context.output, dproduct, dproduct);
        } else {
            float* dscale = scale_out_ ? context.gradients[scale_out_tensor_] : nullptr;
            backend.EnsembleOutputBackward(Output(context), context.saved[kProduct], Base(context),
                                           ScaleOut(context), preactivation, context.output, dproduct,
                                           dproduct, dscale, dbias);
            dbias = nullptr;
        }
        if (one_hot_.present()) {
            float* dbase = context.scratch + context.rows * one_hot_.scratch_per_row();
            backend.EnsembleSum(context.rows, members_, units_, dproduct, dbase);
            one_hot_.Backward(context, units_, dbase, context.scratch, OneHotWeight(dweight));
        }
        const float* weight = context.tensors[0];
        const LayerContext::Input& input = context.inputs[x_];
        if (!scale_in_) {
            backend.DenseBackward(rows, width_, units_, input.data, width_, weight, dproduct, dweight, dbias,
                                  input.gradient, input.accumulate);
            return;
        }
        float* dscaled = context.scratch;
        backend.DenseBackward(rows, width_, units_, context.saved[kScaled], width_, weight, dproduct, dweight,
                              dbias, dscaled, false);
        backend.EnsembleScaleBackward(context.rows, members_, width_, input.data, broadcast_,
                                      context.tensors[scale_in_tensor_], dscaled, input.gradient,
                                      input.accumulate, context.gradients[scale_in_tensor_]);
    }

 private:
    enum Saved { kScaled, kProduct, kBase, kPreactivation };

    /// All that a product's own end can do.
    bool IsPlainDense() const { return !scale_out_ && !ensemble_bias_ && !one_hot_.present(); }

    EnsembleOutputSpec Output(const LayerContext& context) const {
        return {context.rows, members_, units_, ensemble_bias_, activation_};
    }
    const float* ScaleOut(const LayerContext& context) const {
        return scale_out_ ? context.tensors[scale_out_tensor_] : nullptr;
    }
    /// What the codes contribute, the same for every member: [rows × units].
    const float* Base(const LayerContext& context) const {
        return one_hot_.present() ? context.saved[kBase] : nullptr;
    }
    /// The rows of a weight, or of its gradient, that are the codes'.
    template <typename T>
    T* OneHotWeight(T* weight) const {
        return weight + static_cast<size_t>(width_) * units_;
    }

    void Declare(const AttributeReader& attributes) {
        const int64_t members = members_;
        output_ = {false, members_, {units_}};
        tensors_.push_back(attributes.Weight("weight", {width_ + one_hot_.table_rows(), units_}));
        if (scale_in_) {
            scale_in_tensor_ = static_cast<int>(tensors_.size());
            tensors_.push_back(attributes.Undecayed("scale_in", {members, width_}));
        }
        if (scale_out_) {
            scale_out_tensor_ = static_cast<int>(tensors_.size());
            tensors_.push_back(attributes.Undecayed("scale_out", {members, units_}));
        }
        bias_tensor_ = static_cast<int>(tensors_.size());
        tensors_.push_back(ensemble_bias_ ? attributes.Bias("bias", {members, units_})
                                          : attributes.Bias("bias", {units_}));
        const bool keeps = NeedsPreactivation(activation_);
        saved_ = {{scale_in_ ? members * width_ : 0, 0, false},
                  {IsPlainDense() ? 0 : members * units_, 0, false},
                  {one_hot_.present() ? units_ : 0, 0, false},
                  {keeps ? members * units_ : 0, 0, true}};
        // Backward: the gradient of the one-hot sum behind its codes, then that of the scaled input.
        scratch_.per_row =
            std::max(one_hot_.scratch_per_row() + (one_hot_.present() ? units_ : 0), members * width_);
        if (one_hot_.present()) {
            tables_.push_back(one_hot_.offsets());
        }
    }

    int units_ = 0;
    int width_ = 0;
    int members_ = 1;
    size_t x_ = 0;  ///< the float input
    bool broadcast_ = false;
    Activation activation_ = Activation::kIdentity;
    bool scale_in_ = true;
    bool scale_out_ = true;
    bool ensemble_bias_ = true;
    bool random_signs_ = false;
    OneHotInput one_hot_;
    int scale_in_tensor_ = -1;
    int scale_out_tensor_ = -1;
    int bias_tensor_ = -1;
};

/// y_k = x_k·W_k + b_k: a dense layer of its own for each member.
class EnsembleHeadsLayer final : public Layer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        DLENT_RETURN_IF_ERROR(RequireFloats(site, 1, 1));
        auto layer = std::make_unique<EnsembleHeadsLayer>();
        AttributeReader attributes(site.spec);
        layer->units_ = static_cast<int>(attributes.Integer("units", 1, NetworkSpec::kMaxWidth));
        layer->bias_ = attributes.Boolean("bias", true);
        attributes.ReadRates();
        DLENT_RETURN_IF_ERROR(attributes.Finish());
        layer->width_ = static_cast<int>(site.inputs[0].width());
        layer->members_ = site.network.members;
        layer->broadcast_ = site.inputs[0].members == 1 && layer->members_ > 1;
        layer->output_ = {false, layer->members_, {layer->units_}};
        layer->tensors_.push_back(
            attributes.Weight("weight", {layer->members_, layer->width_, layer->units_}));
        if (layer->bias_) {
            layer->tensors_.push_back(attributes.Bias("bias", {layer->members_, layer->units_}));
        }
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Initialize(size_t, RandomStream& random, std::span<float> values) const override {
        InitializeUniform(random, width_, values);
    }

    void Forward(LayerContext& context) const override {
        context.backend->GemmBatched(false, false, context.rows, units_, width_, 1.0f, context.inputs[0].data,
                                     LdX(), StrideX(), context.tensors[0], units_, WeightCount(), 0.0f,
                                     context.output, LdY(), units_, members_);
        if (bias_) {
            context.backend->EnsembleBias(context.rows, members_, units_, context.tensors[1], context.output);
        }
    }

    void Backward(LayerContext& context) const override {
        Backend& backend = *context.backend;
        const LayerContext::Input& input = context.inputs[0];
        const float* dy = context.output_gradient;
        if (bias_) {
            backend.ColumnSum(context.rows, members_ * units_, dy, context.gradients[1]);
        }
        backend.GemmBatched(true, false, width_, units_, context.rows, 1.0f, input.data, LdX(), StrideX(), dy,
                            LdY(), units_, 0.0f, context.gradients[0], units_, WeightCount(), members_);
        if (input.gradient == nullptr) {
            return;
        }
        if (!broadcast_) {
            backend.GemmBatched(false, true, context.rows, width_, units_, 1.0f, dy, LdY(), units_,
                                context.tensors[0], units_, WeightCount(), input.accumulate ? 1.0f : 0.0f,
                                input.gradient, LdX(), StrideX(), members_);
            return;
        }
        for (int member = 0; member < members_; ++member) {
            backend.Gemm(false, true, context.rows, width_, units_, 1.0f, dy + member * units_, LdY(),
                         context.tensors[0] + member * WeightCount(), units_,
                         input.accumulate || member > 0 ? 1.0f : 0.0f, input.gradient, width_);
        }
    }

 private:
    int LdX() const { return broadcast_ ? width_ : members_ * width_; }
    ptrdiff_t StrideX() const { return broadcast_ ? 0 : width_; }
    int LdY() const { return members_ * units_; }
    ptrdiff_t WeightCount() const { return static_cast<ptrdiff_t>(width_) * units_; }

    int units_ = 0;
    int width_ = 0;
    int members_ = 1;
    bool bias_ = true;
    bool broadcast_ = false;
};

}  // namespace

MadeLayer MakeBatchEnsembleDense(const LayerSite& site) {
    return BatchEnsembleDenseLayer::Make(site);
}
MadeLayer MakeEnsembleHeads(const LayerSite& site) {
    return EnsembleHeadsLayer::Make(site);
}

}  // namespace dlent
