#include "core/nn/layers/layers.h"
#include "core/nn/layers/support.h"

namespace dlent {
namespace {

/// What both numeric embeddings begin with: the smoothly clipped columns.
class ClippedColumns {
 public:
    void Read(const LayerSite& site, AttributeReader& attributes) {
        columns_ = static_cast<int>(site.inputs[0].width());
        limit_ = attributes.Number("clip", 0.0, 1e6, 3.0);
    }
    int columns() const { return columns_; }
    WorkspaceDeclaration workspace() const { return {limit_ > 0.0f ? columns_ : 0, 0, false}; }

    /// Into `buffer` where a clip is wanted.
    void Forward(const LayerContext& context, float* buffer) const {
        if (limit_ > 0.0f) {
            context.backend->SmoothClipForward(static_cast<size_t>(context.rows) * columns_, limit_,
                                               context.inputs[0].data, buffer);
        }
    }
    const float* Values(const LayerContext& context, const float* buffer) const {
        return limit_ > 0.0f ? buffer : context.inputs[0].data;
    }
    /// Adds what the clipped columns' gradient says of the layer's input to that input's gradient.
    void AddInputGradient(const LayerContext& context, const float* dclipped) const {
        const size_t count = static_cast<size_t>(context.rows) * columns_;
        if (limit_ > 0.0f) {
            context.backend->SmoothClipBackward(count, limit_, context.inputs[0].data, dclipped,
                                                context.inputs[0].gradient, true);
        } else {
            context.backend->Axpy(count, 1.0f, dclipped, context.inputs[0].gradient);
        }
    }

 private:
    int columns_ = 0;
    float limit_ = 0.0f;
};

/// f(clip(x)·linear + bias + PLE(x)·weight) for every column: the piecewise-linear embedding of Gorishniy et
/// al. 2022 with a linear part beside it. PLE's weight starts at 0, so training starts from the linear part.
class PiecewiseLinearEmbeddingLayer final : public Layer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        DLENT_RETURN_IF_ERROR(RequireNetworkInput(site));
        auto layer = std::make_unique<PiecewiseLinearEmbeddingLayer>();
        AttributeReader attributes(site.spec);
        layer->clipped_.Read(site, attributes);
        const int64_t columns = layer->clipped_.columns();
        layer->width_ = static_cast<int>(attributes.Integer("width", 1, NetworkSpec::kMaxWidth));
        const auto bins = attributes.Integers("bins", 1, NetworkSpec::kMaxWidth);
        layer->activation_ = attributes.ReadActivation("activation");
        attributes.ReadRates();
        DLENT_RETURN_IF_ERROR(attributes.Finish());
        if (!bins || static_cast<int64_t>(bins->size()) != columns) {
            return LayerError(site.spec, "attribute \"bins\" must have one count for each of its " +
                                             std::to_string(columns) + " columns");
        }
        std::vector<int32_t> offsets{0};
        int64_t total = 0;
        for (const int64_t count : *bins) {
            total += count;
            if (total > NetworkSpec::kMaxParameters) {
                return LayerError(site.spec, "too many bins");
            }
            offsets.push_back(static_cast<int32_t>(total));
        }
        layer->tables_.push_back(std::move(offsets));
        layer->output_ = {false, 1, {columns * layer->width_}};
        layer->tensors_ = {attributes.Weight("linear", {columns, layer->width_}),
                           attributes.Bias("bias", {columns, layer->width_}),
                           attributes.Weight("weight", {total, layer->width_}),
                           {"edges", {total + columns}, false, 0.0f, 0.0f}};
        layer->saved_ = {layer->clipped_.workspace(),
                         {columns, 0, false},
                         {columns, 0, false},
                         {NeedsPreactivation(layer->activation_) ? layer->output_.width() : 0, 0, true}};
        layer->scratch_.per_row =
            layer->activation_ == Activation::kIdentity ? columns : layer->output_.width();
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Initialize(size_t index, RandomStream& random, std::span<float> values) const override {
        if (index == kLinear || index == kBias) {
            InitializeUniform(random, width_, values);
        } else if (index == kEdges) {
            // Evenly over the values of a scaled column, until the pipeline's edges are set.
            const std::vector<int32_t>& offsets = tables_[0];
            for (int column = 0; column < clipped_.columns(); ++column) {
                const int bins = offsets[column + 1] - offsets[column];
                for (int edge = 0; edge <= bins; ++edge) {
                    values[offsets[column] + column + edge] =
                        -1.0f + 2.0f * static_cast<float>(edge) / static_cast<float>(bins);
                }
            }
        }
    }

    void Forward(LayerContext& context) const override {
        Backend& backend = *context.backend;
        const int columns = clipped_.columns();
        const size_t count = static_cast<size_t>(context.rows) * columns * width_;
        const bool activated = activation_ != Activation::kIdentity;
        float* out = !activated                                            ? context.output
                     : NeedsPreactivation(activation_) && context.training ? context.saved[kPreactivation]
                                                                           : context.scratch;
        clipped_.Forward(context, context.saved[kClipped]);
        backend.PiecewiseLinearForward(context.rows, columns, width_, context.inputs[0].data,
                                       context.tables[0], context.tensors[kEdges], context.tensors[kWeight],
                                       reinterpret_cast<int32_t*>(context.saved[kBins]),
                                       context.saved[kFractions], out);
        backend.NumericLinearForward(context.rows, columns, width_,
                                     clipped_.Values(context, context.saved[kClipped]),
                                     context.tensors[kLinear], context.tensors[kBias], out, true);
        if (activated) {
            backend.ActivationForward(activation_, count, out, context.output);
        }
    }

    void Backward(LayerContext& context) const override {
        Backend& backend = *context.backend;
        const int columns = clipped_.columns();
        float* dz = context.output_gradient;
        if (activation_ != Activation::kIdentity) {
            backend.ActivationBackward(activation_, static_cast<size_t>(context.rows) * columns * width_,
                                       context.saved[kPreactivation], context.output, dz, dz);
        }
        backend.PiecewiseLinearBackward(
            context.rows, columns, width_, reinterpret_cast<const int32_t*>(context.saved[kBins]),
            context.saved[kFractions], context.tables[0], dz, context.gradients[kWeight]);
        backend.NumericLinearBackward(context.rows, columns, width_,
                                      clipped_.Values(context, context.saved[kClipped]), dz,
                                      context.gradients[kLinear], context.gradients[kBias]);
        if (const LayerContext::Input& input = context.inputs[0]; input.gradient != nullptr) {
            backend.PiecewiseLinearInputGradient(
                context.rows, columns, width_, reinterpret_cast<const int32_t*>(context.saved[kBins]),
                context.saved[kFractions], context.tables[0], context.tensors[kEdges],
                context.tensors[kWeight], dz, input.gradient, input.accumulate);
            backend.NumericLinearInputGradient(context.rows, columns, width_, context.tensors[kLinear], dz,
                                               context.scratch, false);
            clipped_.AddInputGradient(context, context.scratch);
        }
    }

 private:
    enum Tensor { kLinear, kBias, kWeight, kEdges };
    enum Saved { kClipped, kBins, kFractions, kPreactivation };

    ClippedColumns clipped_;
    int width_ = 0;
    Activation activation_ = Activation::kIdentity;
};

/// f(periodic(clip(x))·weight + bias) for every column, with x itself as the last output when `densenet`:
/// PLR (Gorishniy et al. 2022) and, with densenet, what RealMLP (Holzmüller et al. 2024) calls PBLD, whose
/// shifted cosines the cosine and sine of one frequency span.
class PeriodicEmbeddingLayer final : public Layer {
 public:
    static MadeLayer Make(const LayerSite& site) {
        DLENT_RETURN_IF_ERROR(RequireNetworkInput(site));
        auto layer = std::make_unique<PeriodicEmbeddingLayer>();
        AttributeReader attributes(site.spec);
        layer->clipped_.Read(site, attributes);
        const int64_t columns = layer->clipped_.columns();
        layer->densenet_ = attributes.Boolean("densenet", true);
        layer->width_ =
            static_cast<int>(attributes.Integer("width", layer->densenet_ ? 2 : 1, NetworkSpec::kMaxWidth));
        layer->frequencies_ = static_cast<int>(attributes.Integer("frequencies", 1, 4096, 16));
        layer->sigma_ = attributes.Number("sigma", 1e-6, 1e3, 0.1);
        layer->activation_ = attributes.ReadActivation("activation");
        attributes.ReadRates();
        DLENT_RETURN_IF_ERROR(attributes.Finish());
        const int64_t learnt = layer->width_ - (layer->densenet_ ? 1 : 0);
        layer->learnt_ = static_cast<int>(learnt);
        layer->output_ = {false, 1, {columns * layer->width_}};
        layer->tensors_ = {
            attributes.Undecayed("frequencies", {columns, layer->frequencies_}),
            attributes.Weight("weight", {columns, 2 * static_cast<int64_t>(layer->frequencies_), learnt}),
            attributes.Bias("bias", {columns, learnt})};
        layer->saved_ = {layer->clipped_.workspace(),
                         {columns * 2 * layer->frequencies_, 0, false},
                         {columns * learnt, 0, false},
                         {columns * learnt, 0, false}};
        layer->scratch_.per_row = columns * (learnt + 2 * static_cast<int64_t>(layer->frequencies_) + 1);
        return std::unique_ptr<Layer>(std::move(layer));
    }

    void Initialize(size_t index, RandomStream& random, std::span<float> values) const override {
        if (index == kFrequencies) {
            for (float& value : values) {
                value = sigma_ * random.Normal();
            }
        } else {
            InitializeUniform(random, 2 * static_cast<int64_t>(frequencies_), values);
        }
    }

    void Forward(LayerContext& context) const override {
        Backend& backend = *context.backend;
        const int columns = clipped_.columns();
        clipped_.Forward(context, context.saved[kClipped]);
        const float* x = clipped_.Values(context, context.saved[kClipped]);
        backend.PeriodicForward(context.rows, columns, frequencies_, x, context.tensors[kFrequencies],
                                context.saved[kWaves]);
        const bool activated = activation_ != Activation::kIdentity;
        float* learnt = densenet_ ? context.saved[kLearnt] : context.output;
        float* z = activated ? context.saved[kPreactivation] : learnt;
        backend.FeatureDenseForward(context.rows, columns, 2 * frequencies_, learnt_, context.saved[kWaves],
                                    context.tensors[kWeight], context.tensors[kBias], z);
        if (activated) {
            backend.ActivationForward(activation_, static_cast<size_t>(context.rows) * columns * learnt_, z,
                                      learnt);
        }
        if (densenet_) {
            backend.CopyColumns(context.rows * columns, learnt_, learnt, learnt_, context.output, width_,
                                false);
            backend.CopyColumns(context.rows * columns, 1, x, 1, context.output + learnt_, width_, false);
        }
    }

    void Backward(LayerContext& context) const override {
        Backend& backend = *context.backend;
        const int columns = clipped_.columns();
        const size_t count = static_cast<size_t>(context.rows) * columns * learnt_;
        float* dz = context.output_gradient;
        float* dwaves = context.scratch + count;
        const float* learnt = context.output;
        if (densenet_) {
            dz = context.scratch;
            learnt = context.saved[kLearnt];
            backend.CopyColumns(context.rows * columns, learnt_, context.output_gradient, width_, dz, learnt_,
                                false);
        }
        if (activation_ != Activation::kIdentity) {
            backend.ActivationBackward(activation_, count, context.saved[kPreactivation], learnt, dz, dz);
        }
        backend.FeatureDenseBackward(context.rows, columns, 2 * frequencies_, learnt_, context.saved[kWaves],
                                     context.tensors[kWeight], dz, context.gradients[kWeight],
                                     context.gradients[kBias], dwaves);
        backend.PeriodicBackward(context.rows, columns, frequencies_,
                                 clipped_.Values(context, context.saved[kClipped]),
                                 context.tensors[kFrequencies], dwaves, context.gradients[kFrequencies]);
        if (const LayerContext::Input& input = context.inputs[0]; input.gradient != nullptr) {
            const int cells = context.rows * columns;
            float* dclipped = dwaves + static_cast<size_t>(cells) * 2 * frequencies_;
            backend.PeriodicInputGradient(context.rows, columns, frequencies_,
                                          clipped_.Values(context, context.saved[kClipped]),
                                          context.tensors[kFrequencies], dwaves, dclipped, false);
            if (densenet_) {
                backend.CopyColumns(cells, 1, context.output_gradient + learnt_, width_, dclipped, 1, true);
            }
            if (!input.accumulate) {
                backend.Zero(input.gradient, static_cast<size_t>(cells) * sizeof(float));
            }
            clipped_.AddInputGradient(context, dclipped);
        }
    }

 private:
    enum Tensor { kFrequencies, kWeight, kBias };
    enum Saved { kClipped, kWaves, kPreactivation, kLearnt };

    ClippedColumns clipped_;
    int width_ = 0;
    int learnt_ = 0;  ///< of the width; the rest is x
    int frequencies_ = 0;
    float sigma_ = 0.0f;
    bool densenet_ = true;
    Activation activation_ = Activation::kIdentity;
};

}  // namespace

MadeLayer MakePiecewiseLinearEmbedding(const LayerSite& site) {
    return PiecewiseLinearEmbeddingLayer::Make(site);
}
MadeLayer MakePeriodicEmbedding(const LayerSite& site) {
    return PeriodicEmbeddingLayer::Make(site);
}

}  // namespace dlent
