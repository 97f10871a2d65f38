#include "cpu/row_scorer.h"

#include <algorithm>
#include <cstring>

#include "core/base/float_environment.h"
#include "core/model/answer_average.h"
#include "core/nn/network.h"
#include "cpu/aligned_array.h"
#include "cpu/cpu_backend.h"
#include "cpu/explainer_kernels.h"
#include "cpu/packed_model.h"
#include "cpu/row_kernels.h"
#include "cpu/row_network.h"

namespace dlent {
namespace {

/// A block's FloatEncoding and its arrays.
class FloatEncodingArrays {
 public:
    explicit FloatEncodingArrays(const std::vector<FloatEntry>& entries)
        : count_(static_cast<int>(entries.size())),
          neighbours_(Padded(entries.size()) / FloatEncoding::kBlock),
          cell_(Padded(entries.size())),
          indicator_(cell_.size()),
          center_(cell_.size()),
          scale_(cell_.size()),
          minimum_(cell_.size()),
          maximum_(cell_.size()) {
        for (size_t i = 0; i < entries.size(); ++i) {
            cell_[i] = entries[i].pipeline_cell;
            indicator_[i] = entries[i].indicator ? 1 : 0;
            center_[i] = entries[i].center;
            scale_[i] = entries[i].scale;
            minimum_[i] = entries[i].minimum;
            maximum_[i] = entries[i].maximum;
        }
        for (size_t block = 0; block < neighbours_.size(); ++block) {
            const int32_t* of_block = cell_.data() + view().first_of_block(static_cast<int>(block));
            neighbours_[block] = 1;
            for (int k = 1; k < FloatEncoding::kBlock; ++k)
                neighbours_[block] &= of_block[k] == of_block[0] + k ? 1 : 0;
        }
    }
    FloatEncoding view() const {
        return {.count = count_,
                .neighbours = neighbours_.data(),
                .cell = cell_.data(),
                .center = center_.data(),
                .scale = scale_.data(),
                .minimum = minimum_.data(),
                .maximum = maximum_.data(),
                .indicator = indicator_.data()};
    }

 private:
    static size_t Padded(size_t count) {
        constexpr size_t kBlock = FloatEncoding::kBlock;
        return (count + kBlock - 1) / kBlock * kBlock;
    }

    int count_;
    AlignedArray<uint8_t> neighbours_;
    AlignedArray<int32_t> cell_;
    AlignedArray<int32_t> indicator_;
    AlignedArray<float> center_;
    AlignedArray<float> scale_;
    AlignedArray<float> minimum_;
    AlignedArray<float> maximum_;
};

/// Our own kernels, for the networks that the recipe makes.
class PackedScorer final : public Scorer {
 public:
    PackedScorer(ModelImage image, std::shared_ptr<const void> owner, RowNetworkLayout layout, CpuIsa max_isa)
        : Scorer(std::move(image.model)),
          owner_(std::move(owner)),
          kernels_(SelectRowKernels(max_isa)),
          int8_kernels_(SelectInt8Kernels(max_isa)),
          explainer_kernels_(SelectExplainerKernels(max_isa)),
          layout_(std::move(layout)),
          numeric_(model_.pipeline.numeric_entries()),
          plain_(model_.pipeline.plain_entries()),
          workspace_(layout_),
          logits_(static_cast<size_t>(RowNetwork::kBlockRows) * model_.target.output_count()),
          answer_(model_.target, model_.temperature) {
        for (size_t member = 0; member < model_.members.size(); ++member)
            networks_.emplace_back(image.member(member));
    }

    void Score(int rows, const Cell* cells, float* outputs) override {
        const ScopedFlushToZero flush;
        while (rows > 0) {
            const int block = std::min(rows, RowNetwork::kBlockRows);
            ScoreBlock(block, cells, outputs);
            rows -= block;
            cells += static_cast<ptrdiff_t>(block) * cell_count();
            outputs += static_cast<ptrdiff_t>(block) * output_count();
        }
    }

    const ExplainerKernels& explainer_kernels() const override { return explainer_kernels_; }

    size_t memory_bytes() const override {
        return sizeof(*this) + workspace_.bytes() + model_.pipeline.memory_bytes();
    }

 private:
    void ScoreBlock(int rows, const Cell* cells, float* outputs) {
        Encode(rows, cells);
        std::fill_n(outputs, static_cast<ptrdiff_t>(rows) * output_count(), 0.0f);
        for (const RowNetwork& network : networks_) {
            if (rows == 1)
                network.Forward(layout_, kernels_, int8_kernels_, &workspace_, logits_.data());
            else
                network.ForwardBlock(layout_, kernels_, int8_kernels_, rows, &workspace_, logits_.data());
            for (int row = 0; row < rows; ++row)
                answer_.Add(logits_.data() + static_cast<ptrdiff_t>(row) * output_count(),
                            outputs + static_cast<ptrdiff_t>(row) * output_count());
        }
        for (int row = 0; row < rows; ++row)
            answer_.Finish(networks_.size(), outputs + static_cast<ptrdiff_t>(row) * output_count());
    }

    /// What all members share: the pipeline, where numbers lie between their edges, the smooth clip.
    void Encode(int rows, const Cell* cells) {
        kernels_.encode(numeric_.view(), rows, cells, cell_count(), workspace_.numeric.data());
        kernels_.encode(plain_.view(), rows, cells, cell_count(), workspace_.plain.data());
        model_.pipeline.EncodeCodes(rows, cells, workspace_.codes.data());
        if (!layout_.embedding.empty()) {
            for (int row = 0; row < rows; ++row) {
                const ptrdiff_t first = static_cast<ptrdiff_t>(row) * layout_.numeric;
                kernels_.locate(workspace_.numeric.data() + first, layout_.numeric, layout_.bins.data(),
                                networks_[0].edges(layout_), workspace_.bin.data() + first,
                                workspace_.fraction.data() + first);
            }
        }
        kernels_.smooth_clip(workspace_.numeric.data(), rows * layout_.numeric,
                             layout_.clip > 0.0f ? 1.0f / layout_.clip : 0.0f, workspace_.clipped.data());
    }

    const std::shared_ptr<const void> owner_;
    const RowKernels& kernels_;
    const Int8Kernels& int8_kernels_;
    const ExplainerKernels& explainer_kernels_;
    RowNetworkLayout layout_;
    std::vector<RowNetwork> networks_;
    const FloatEncodingArrays numeric_;
    const FloatEncodingArrays plain_;
    RowNetwork::Workspace workspace_;
    std::vector<float> logits_;
    AnswerAverage answer_;
};

/// Any other graph, through the operators of the CPU backend. One row at a time as well: a matrix product may
/// round a row differently by its place in the batch.
class NetworkScorer final : public Scorer {
 public:
    static Expected<std::unique_ptr<Scorer>> Create(ModelImage image, std::shared_ptr<const void> owner,
                                                    CpuIsa max_isa) {
        const size_t parameters = image.parameter_floats;
        std::unique_ptr<NetworkScorer> scorer(
            new NetworkScorer(std::move(image.model), std::move(owner), max_isa));
        for (size_t member = 0; member < scorer->model_.members.size(); ++member) {
            const std::span<const float> packed(image.member(member), image.member_floats);
            DLENT_ASSIGN_OR_RETURN(
                auto network, Network::CreateOver(scorer->model_.network, *scorer->backend_, 1,
                                                  {packed.first(parameters), packed.subspan(parameters)}));
            scorer->networks_.push_back(std::move(network));
        }
        return std::unique_ptr<Scorer>(std::move(scorer));
    }

    void Score(int rows, const Cell* cells, float* outputs) override {
        const ScopedFlushToZero flush;
        for (int row = 0; row < rows; ++row, cells += cell_count(), outputs += output_count()) {
            model_.pipeline.Encode(1, cells, numeric_.data(), plain_.data(), codes_.data());
            std::fill_n(outputs, output_count(), 0.0f);
            size_t members = 0;
            for (const auto& network : networks_) {
                const BatchInputs batch{1, numeric_.data(), plain_.data(), codes_.data()};
                if (!network->Forward(batch, false).ok())
                    continue;
                for (int member = 0; member < network->members(); ++member, ++members)
                    answer_.Add(network->logits() + static_cast<ptrdiff_t>(member) * network->outputs(),
                                outputs);
            }
            answer_.Finish(members, outputs);
        }
    }

    const ExplainerKernels& explainer_kernels() const override { return explainer_kernels_; }

    size_t memory_bytes() const override {
        size_t bytes = sizeof(*this) + model_.pipeline.memory_bytes();
        for (const auto& network : networks_)
            bytes += network->workspace_bytes();
        return bytes;
    }

 private:
    NetworkScorer(Model model, std::shared_ptr<const void> owner, CpuIsa max_isa)
        : Scorer(std::move(model)),
          owner_(std::move(owner)),
          backend_(MakeCpuBackend(max_isa)),
          explainer_kernels_(SelectExplainerKernels(max_isa)),
          numeric_(model_.pipeline.numeric_count()),
          plain_(model_.pipeline.plain_count()),
          codes_(model_.pipeline.field_count()),
          answer_(model_.target, model_.temperature) {}

    const std::shared_ptr<const void> owner_;
    std::unique_ptr<Backend> backend_;
    const ExplainerKernels& explainer_kernels_;
    std::vector<std::unique_ptr<Network>> networks_;
    AlignedArray<float> numeric_;
    AlignedArray<float> plain_;
    AlignedArray<int32_t> codes_;
    AnswerAverage answer_;
};

}  // namespace

Expected<std::unique_ptr<Scorer>> MakeCpuScorer(std::span<const std::byte> image,
                                                std::shared_ptr<const void> owner, CpuIsa max_isa) {
    try {
        DLENT_ASSIGN_OR_RETURN(ModelImage opened, ModelImage::Open(image));
        if (opened.form == ModelImage::Form::kNetwork)
            return NetworkScorer::Create(std::move(opened), std::move(owner), max_isa);
        const std::optional<Quantization>& quantization = opened.model.quantization;
        DLENT_ASSIGN_OR_RETURN(
            RowNetworkLayout layout,
            RowNetworkLayout::FromSpec(opened.model.network, quantization ? &*quantization : nullptr));
        if (layout.packed_floats != opened.member_floats)
            return Status::Corrupt("the packed model does not fit its network");
        return std::unique_ptr<Scorer>(
            std::make_unique<PackedScorer>(std::move(opened), std::move(owner), std::move(layout), max_isa));
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory for a packed model");
    }
}

Expected<std::unique_ptr<Scorer>> MakeCpuScorer(const Model& model, CpuIsa max_isa) {
    DLENT_ASSIGN_OR_RETURN(PackedModel packed, PackedModel::Pack(model));
    const auto owner = std::make_shared<const PackedModel>(std::move(packed));
    return MakeCpuScorer(owner->image(), owner, max_isa);
}

}  // namespace dlent
