#include <algorithm>

#include "core/nn/layers/layers.h"
#include "core/nn/layers/support.h"

namespace dlent {
namespace {

void FillOnes(std::span<float> values) {
    std::fill(values.begin(), values.end(), 1.0f);
}

/// Batch normalisation (Ioffe & Szegedy 2015). Every member of an ensemble has statistics of its own.
class BatchNormLayer final : public Layer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        DLENT_RETURN_IF_ERROR(RequireFloats(site, 1, 1));
        auto layer = std::make_unique<BatchNormLayer>();
        AttributeReader attributes(site.spec);
        layer->epsilon_ = attributes.Number("epsilon", 1e-12, 1.0, 1e-5);
        layer->momentum_ = attributes.Number("momentum", 0.0, 1.0, 0.1);
        attributes.ReadRates();
        DLENT_RETURN_IF_ERROR(attributes.Finish());
        layer->output_ = site.inputs[0];
        const int64_t columns = layer->output_.members * layer->output_.width();
        layer->columns_ = static_cast<int>(columns);
        layer->tensors_ = {attributes.Undecayed("weight", {columns}),
                           attributes.Bias("bias", {columns}),
                           {"running_mean", {columns}, false, 0.0f, 0.0f},
                           {"running_variance", {columns}, false, 0.0f, 0.0f}};
        layer->saved_ = {{0, columns, false}, {0, columns, false}};
        layer->scratch_.per_row = columns;
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Initialize(size_t index, RandomStream&, std::span<float> values) const override {
        if (index == kWeight || index == kVariance) {
            FillOnes(values);
        }
    }

    void Forward(LayerContext& context) const override {
        context.backend->BatchNormForward(
            context.rows, columns_, context.inputs[0].data, context.tensors[kWeight], context.tensors[kBias],
            epsilon_, momentum_, context.training, context.tensors[kMean], context.tensors[kVariance],
            context.saved[0], context.saved[1], context.output);
    }

    void Backward(LayerContext& context) const override {
        float* dx = GradientTarget(context, 0, context.scratch);
        context.backend->BatchNormBackward(context.rows, columns_, context.inputs[0].data,
                                           context.tensors[kWeight], context.saved[0], context.saved[1],
                                           context.output_gradient, dx, context.gradients[kWeight],
                                           context.gradients[kBias]);
        DeliverGradient(context, 0, dx, static_cast<size_t>(context.rows) * columns_);
    }

 private:
    enum Tensor { kWeight, kBias, kMean, kVariance };

    int columns_ = 0;
    float epsilon_ = 0.0f;
    float momentum_ = 0.0f;
};

/// Layer normalisation (Ba et al. 2016) over the width of each member of each row.
class LayerNormLayer final : public Layer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        DLENT_RETURN_IF_ERROR(RequireFloats(site, 1, 1));
        auto layer = std::make_unique<LayerNormLayer>();
        AttributeReader attributes(site.spec);
        layer->epsilon_ = attributes.Number("epsilon", 1e-12, 1.0, 1e-5);
        attributes.ReadRates();
        DLENT_RETURN_IF_ERROR(attributes.Finish());
        layer->output_ = site.inputs[0];
        const int64_t width = layer->output_.width();
        layer->width_ = static_cast<int>(width);
        layer->tensors_ = {attributes.Undecayed("weight", {width}), attributes.Bias("bias", {width})};
        layer->saved_ = {{layer->output_.members, 0, false}, {layer->output_.members, 0, false}};
        layer->scratch_.per_row = layer->output_.members * width;
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Initialize(size_t index, RandomStream&, std::span<float> values) const override {
        if (index == 0) {
            FillOnes(values);
        }
    }

    void Forward(LayerContext& context) const override {
        context.backend->LayerNormForward(context.rows * output_.members, width_, context.inputs[0].data,
                                          context.tensors[0], context.tensors[1], epsilon_, context.saved[0],
                                          context.saved[1], context.output);
    }

    void Backward(LayerContext& context) const override {
        const int rows = context.rows * output_.members;
        float* dx = GradientTarget(context, 0, context.scratch);
        context.backend->LayerNormBackward(rows, width_, context.inputs[0].data, context.tensors[0],
                                           context.saved[0], context.saved[1], context.output_gradient, dx,
                                           context.gradients[0], context.gradients[1]);
        DeliverGradient(context, 0, dx, static_cast<size_t>(rows) * width_);
    }

 private:
    int width_ = 0;
    float epsilon_ = 0.0f;
};

}  // namespace

MadeLayer MakeBatchNorm(const LayerSite& site) {
    return BatchNormLayer::Make(site);
}
MadeLayer MakeLayerNorm(const LayerSite& site) {
    return LayerNormLayer::Make(site);
}

}  // namespace dlent
