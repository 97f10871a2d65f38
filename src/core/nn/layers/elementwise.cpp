#include <algorithm>

#include "core/nn/layers/layers.h"
#include "core/nn/layers/support.h"

namespace dlent {
namespace {

/// What layers of one float input and an output of the same shape share.
class ElementwiseLayer : public Layer {
 protected:
    void TakeShape(const LayerSite& site) { output_ = site.inputs[0]; }
    int Width() const { return static_cast<int>(output_.width()); }
    int Rows(const LayerContext& context) const { return context.rows * output_.members; }
    size_t Count(const LayerContext& context) const { return static_cast<size_t>(Rows(context)) * Width(); }
    int64_t PerRow() const { return output_.members * output_.width(); }
};

class SmoothClipLayer final : public ElementwiseLayer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        DLENT_RETURN_IF_ERROR(RequireFloats(site, 1, 1));
        auto layer = std::make_unique<SmoothClipLayer>();
        AttributeReader attributes(site.spec);
        layer->limit_ = attributes.Number("limit", 1e-6, 1e6, 3.0);
        DLENT_RETURN_IF_ERROR(attributes.Finish());
        layer->TakeShape(site);
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Forward(LayerContext& context) const override {
        context.backend->SmoothClipForward(Count(context), limit_, context.inputs[0].data, context.output);
    }

    void Backward(LayerContext& context) const override {
        const LayerContext::Input& input = context.inputs[0];
        context.backend->SmoothClipBackward(Count(context), limit_, input.data, context.output_gradient,
                                            input.gradient, input.accumulate);
    }

 private:
    float limit_ = 0.0f;
};

/// y = x ∘ weight, weight of ones at first: RealMLP's front scale.
class ScaleLayer final : public ElementwiseLayer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        DLENT_RETURN_IF_ERROR(RequireFloats(site, 1, 1));
        auto layer = std::make_unique<ScaleLayer>();
        AttributeReader attributes(site.spec);
        attributes.ReadRates();
        DLENT_RETURN_IF_ERROR(attributes.Finish());
        layer->TakeShape(site);
        layer->tensors_.push_back(attributes.Undecayed("weight", {layer->output_.width()}));
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Initialize(size_t, RandomStream&, std::span<float> values) const override {
        std::fill(values.begin(), values.end(), 1.0f);
    }

    void Forward(LayerContext& context) const override {
        context.backend->EnsembleScaleForward(Rows(context), 1, Width(), context.inputs[0].data, false,
                                              context.tensors[0], context.output);
    }

    void Backward(LayerContext& context) const override {
        const LayerContext::Input& input = context.inputs[0];
        context.backend->EnsembleScaleBackward(Rows(context), 1, Width(), input.data, false,
                                               context.tensors[0], context.output_gradient, input.gradient,
                                               input.accumulate, context.gradients[0]);
    }
};

class ActivationLayer final : public ElementwiseLayer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        DLENT_RETURN_IF_ERROR(RequireFloats(site, 1, 1));
        auto layer = std::make_unique<ActivationLayer>();
        AttributeReader attributes(site.spec);
        layer->activation_ = attributes.ReadActivation("activation", std::nullopt);
        layer->parametric_ = attributes.Boolean("parametric", false);
        if (layer->parametric_) {
            attributes.ReadRates();
        }
        DLENT_RETURN_IF_ERROR(attributes.Finish());
        layer->TakeShape(site);
        layer->scratch_.per_row = layer->PerRow();
        if (layer->parametric_) {
            layer->tensors_.push_back(attributes.Undecayed("alpha", {layer->output_.width()}));
        }
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Initialize(size_t, RandomStream&, std::span<float> values) const override {
        std::fill(values.begin(), values.end(), 1.0f);
    }

    void Forward(LayerContext& context) const override {
        const float* x = context.inputs[0].data;
        if (parametric_) {
            context.backend->ParametricActivationForward(activation_, Rows(context), Width(), x,
                                                         context.tensors[0], context.output);
        } else {
            context.backend->ActivationForward(activation_, Count(context), x, context.output);
        }
    }

    void Backward(LayerContext& context) const override {
        float* dx = GradientTarget(context, 0, context.scratch);
        const float* x = context.inputs[0].data;
        if (parametric_) {
            context.backend->ParametricActivationBackward(activation_, Rows(context), Width(), x,
                                                          context.tensors[0], context.output_gradient, dx,
                                                          context.gradients[0]);
        } else {
            context.backend->ActivationBackward(activation_, Count(context), x, context.output,
                                                context.output_gradient, dx);
        }
        DeliverGradient(context, 0, dx, Count(context));
    }

 private:
    Activation activation_ = Activation::kIdentity;
    bool parametric_ = false;
};

class DropoutLayer final : public ElementwiseLayer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        DLENT_RETURN_IF_ERROR(RequireFloats(site, 1, 1));
        auto layer = std::make_unique<DropoutLayer>();
        AttributeReader attributes(site.spec);
        layer->rate_ = attributes.Number("rate", 0.0, 0.99);
        DLENT_RETURN_IF_ERROR(attributes.Finish());
        layer->TakeShape(site);
        layer->scratch_.per_row = layer->PerRow();
        return std::unique_ptr<Layer>(std::move(layer));
    }

    bool IsIdentityInInference() const override { return true; }

    void Forward(LayerContext& context) const override {
        context.backend->Dropout(Count(context), rate_, context.seed, context.step, context.inputs[0].data,
                                 context.output);
    }

    void Backward(LayerContext& context) const override {
        float* dx = GradientTarget(context, 0, context.scratch);
        context.backend->Dropout(Count(context), rate_, context.seed, context.step, context.output_gradient,
                                 dx);
        DeliverGradient(context, 0, dx, Count(context));
    }

 private:
    float rate_ = 0.0f;
};

}  // namespace

MadeLayer MakeSmoothClip(const LayerSite& site) {
    return SmoothClipLayer::Make(site);
}
MadeLayer MakeScale(const LayerSite& site) {
    return ScaleLayer::Make(site);
}
MadeLayer MakeActivation(const LayerSite& site) {
    return ActivationLayer::Make(site);
}
MadeLayer MakeDropout(const LayerSite& site) {
    return DropoutLayer::Make(site);
}

}  // namespace dlent
