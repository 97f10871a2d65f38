#include "core/nn/layers/layers.h"
#include "core/nn/layers/support.h"

namespace dlent {
namespace {

/// One row of a table of its own per category field, side by side.
class EmbeddingLayer final : public Layer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        auto layer = std::make_unique<EmbeddingLayer>();
        AttributeReader attributes(site.spec);
        if (site.inputs.size() != 1 || !site.inputs[0].is_codes) {
            return LayerError(site.spec, "takes \"codes\" and nothing else");
        }
        DLENT_ASSIGN_OR_RETURN(layer->fields_, ReadFields(site, attributes));
        const auto dims = attributes.Integers("dims", 1, NetworkSpec::kMaxWidth);
        attributes.ReadRates();
        DLENT_RETURN_IF_ERROR(attributes.Finish());
        if (!dims || dims->size() != layer->fields_.size()) {
            return LayerError(site.spec, "attribute \"dims\" must have one width for each of its " +
                                             std::to_string(layer->fields_.size()) + " fields");
        }
        layer->all_fields_ = static_cast<int>(site.network.codes.size());
        layer->dims_ = *dims;
        int64_t width = 0;
        for (size_t i = 0; i < layer->fields_.size(); ++i) {
            width += layer->dims_[i];
            layer->tensors_.push_back(
                attributes.Weight("weight_" + std::to_string(layer->fields_[i]),
                                  {site.network.codes[layer->fields_[i]], layer->dims_[i]}));
        }
        layer->output_ = {false, 1, {width}};
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Initialize(size_t index, RandomStream& random, std::span<float> values) const override {
        InitializeUniform(random, dims_[index], values);
    }

    void Forward(LayerContext& context) const override {
        int64_t column = 0;
        for (size_t i = 0; i < fields_.size(); ++i) {
            context.backend->EmbeddingForward(
                context.rows, static_cast<int>(dims_[i]), context.inputs[0].codes + fields_[i], all_fields_,
                context.tensors[i], context.output + column, static_cast<int>(output_.width()));
            column += dims_[i];
        }
    }

    void Backward(LayerContext& context) const override {
        int64_t column = 0;
        for (size_t i = 0; i < fields_.size(); ++i) {
            context.backend->EmbeddingBackward(
                context.rows, static_cast<int>(dims_[i]), context.inputs[0].codes + fields_[i], all_fields_,
                context.output_gradient + column, static_cast<int>(output_.width()),
                static_cast<int>(tensors_[i].shape[0]), context.gradients[i]);
            column += dims_[i];
        }
    }

 private:
    int all_fields_ = 0;
    std::vector<int64_t> fields_;
    std::vector<int64_t> dims_;
};

}  // namespace

MadeLayer MakeEmbedding(const LayerSite& site) {
    return EmbeddingLayer::Make(site);
}

}  // namespace dlent
