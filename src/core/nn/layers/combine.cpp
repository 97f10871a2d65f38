#include "core/nn/layers/layers.h"
#include "core/nn/layers/support.h"

namespace dlent {
namespace {

/// The sum of its inputs: residual connections.
class AddLayer final : public Layer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        DLENT_RETURN_IF_ERROR(RequireFloats(site, 2, NetworkSpec::kMaxLayers));
        DLENT_RETURN_IF_ERROR(AttributeReader(site.spec).Finish());
        auto layer = std::make_unique<AddLayer>();
        for (size_t i = 1; i < site.inputs.size(); ++i) {
            if (!(site.inputs[i] == site.inputs[0])) {
                return LayerError(site.spec, "inputs \"" + site.spec.inputs[0] + "\" and \"" +
                                                 site.spec.inputs[i] + "\" differ in shape (" +
                                                 std::to_string(site.inputs[0].width()) + " and " +
                                                 std::to_string(site.inputs[i].width()) + " wide)");
            }
        }
        layer->output_ = site.inputs[0];
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Forward(LayerContext& context) const override {
        const size_t count = Count(context);
        context.backend->Copy(context.output, context.inputs[0].data, count * sizeof(float));
        for (size_t i = 1; i < context.inputs.size(); ++i) {
            context.backend->Axpy(count, 1.0f, context.inputs[i].data, context.output);
        }
    }

    void Backward(LayerContext& context) const override {
        const size_t count = Count(context);
        for (const LayerContext::Input& input : context.inputs) {
            if (input.gradient != nullptr && input.accumulate) {
                context.backend->Axpy(count, 1.0f, context.output_gradient, input.gradient);
            } else if (input.gradient != nullptr) {
                context.backend->Copy(input.gradient, context.output_gradient, count * sizeof(float));
            }
        }
    }

 private:
    size_t Count(const LayerContext& context) const {
        return static_cast<size_t>(context.rows) * output_.members * output_.width();
    }
};

/// Its inputs side by side.
class ConcatLayer final : public Layer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        DLENT_RETURN_IF_ERROR(RequireFloats(site, 2, NetworkSpec::kMaxLayers));
        DLENT_RETURN_IF_ERROR(AttributeReader(site.spec).Finish());
        auto layer = std::make_unique<ConcatLayer>();
        int64_t width = 0;
        for (const ValueShape& shape : site.inputs) {
            layer->widths_.push_back(static_cast<int>(shape.width()));
            width += shape.width();
        }
        layer->output_ = {false, site.inputs[0].members, {width}};
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Forward(LayerContext& context) const override {
        float* to = context.output;
        for (size_t i = 0; i < widths_.size(); ++i) {
            context.backend->CopyColumns(context.rows * output_.members, widths_[i], context.inputs[i].data,
                                         widths_[i], to, static_cast<int>(output_.width()), false);
            to += widths_[i];
        }
    }

    void Backward(LayerContext& context) const override {
        const float* from = context.output_gradient;
        for (size_t i = 0; i < widths_.size(); ++i) {
            const LayerContext::Input& input = context.inputs[i];
            if (input.gradient != nullptr) {
                context.backend->CopyColumns(context.rows * output_.members, widths_[i], from,
                                             static_cast<int>(output_.width()), input.gradient, widths_[i],
                                             input.accumulate);
            }
            from += widths_[i];
        }
    }

 private:
    std::vector<int> widths_;
};

}  // namespace

MadeLayer MakeAdd(const LayerSite& site) {
    return AddLayer::Make(site);
}
MadeLayer MakeConcat(const LayerSite& site) {
    return ConcatLayer::Make(site);
}

}  // namespace dlent
