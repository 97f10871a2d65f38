#pragma once

#include <span>
#include <vector>

#include "core/base/status.h"
#include "core/model/model.h"
#include "core/model/quantization.h"
#include "core/nn/backend.h"
#include "cpu/aligned_array.h"
#include "cpu/int8_kernels.h"
#include "cpu/row_kernels.h"

namespace dlent {

/// How the networks of a model are wired, as far as the row kernels can follow: numbers embedded
/// piecewise-linearly or clipped, plain inputs, embedded and one-hot codes, then a stack of dense layers.
/// Shared by all members.
struct RowNetworkLayout {
    enum class Source : uint8_t { kNumbers, kPlain, kCategories };

    struct Dense {
        std::string layer;
        int inputs = 0;
        int outputs = 0;
        int padded_outputs = 0;
        Activation activation = Activation::kIdentity;
        size_t weight_at = 0;  ///< [inputs × padded outputs]; a single output's weights as one padded row
        size_t bias_at = 0;    ///< [padded outputs]

        /// Computed in int8: its weights are bytes, as Int8Kernels::dense reads them, of padded inputs.
        bool int8 = false;
        size_t start_at = 0;  ///< [padded outputs], integers
        size_t scale_at = 0;  ///< [padded outputs]
        size_t input_at = 0;  ///< inverse scale and zero point of its inputs

        /// Whether it is one sum for a row, stored and computed as such.
        bool is_dot(size_t index) const { return index > 0 && outputs == 1 && !int8; }
    };

    int numeric = 0;
    int plain = 0;
    float clip = 0.0f;        ///< limit of the smooth clip of numbers; 0 = none
    std::string embedding;    ///< layer that embeds numbers; empty = they are used as they are
    int embedding_width = 1;  ///< values a number becomes
    Activation embedding_activation = Activation::kIdentity;
    std::vector<int32_t> bins;       ///< of each number
    std::vector<int32_t> first_bin;  ///< running sum of bins
    int total_bins = 0;

    std::string categories;  ///< layer that embeds codes; empty = none
    std::vector<int> embedded_fields;
    std::vector<int> embedded_dims;
    std::vector<int> one_hot_fields;
    std::vector<int32_t>
        one_hot_rows;  ///< row of the first dense layer's weight where each one-hot field begins

    std::vector<int> cardinalities;  ///< of all fields
    std::vector<Source> sources;     ///< of the first dense layer's float inputs, in order
    int float_inputs = 0;            ///< their total width
    std::vector<Dense> dense;

    // Where things begin in a member's packed weights, in floats.
    size_t edges_at = 0;            ///< [total bins + numeric]
    size_t linear_at = 0;           ///< [numeric × width]
    size_t start_at = 0;            ///< [total bins × width]
    size_t slope_at = 0;            ///< [total bins × width]
    std::vector<size_t> tables_at;  ///< of each embedded field: [cardinality × dim]
    size_t packed_floats = 0;       ///< of a member; whole cache lines

    /// kUnsupported when the graph is of another kind; the caller then runs it by Network. With a
    /// `quantization`, which must be one of the network, its layers are int8; kUnsupported when one is too
    /// wide for that.
    static Expected<RowNetworkLayout> FromSpec(const NetworkSpec& spec,
                                               const Quantization* quantization = nullptr);

 private:
    /// Gives the packed weights their places: each array begins a cache line.
    void Place();
};

/// One member, whose packed weights are elsewhere.
class RowNetwork {
 public:
    /// Packs a member's tensors into `packed` [layout.packed_floats, zeroed]; `int8_inputs` are those of the
    /// layout's int8 layers, in order. kCorrupt when a tensor is missing or has another shape than the layout
    /// asks for.
    static Status Pack(const RowNetworkLayout& layout, const std::vector<NamedTensorData>& tensors,
                       std::span<const InputQuantization> int8_inputs, float* packed);
    /// `packed` must outlive it, on a cache line.
    explicit RowNetwork(const float* packed) : packed_(packed) {}

    /// Most rows that ForwardBlock() takes: their values stay in the second-level cache.
    static constexpr int kBlockRows = 48;

    /// What rows look like before the first dense layer; owned by the scorer and shared by its members.
    struct Workspace {
        explicit Workspace(const RowNetworkLayout& layout);
        size_t bytes() const;
        AlignedArray<float> numeric;  ///< u; [block × numbers], like those that follow
        AlignedArray<float> clipped;
        AlignedArray<float> plain;
        AlignedArray<int32_t> codes;
        AlignedArray<int32_t> bin;
        AlignedArray<float> fraction;
        AlignedArray<float> values;  ///< of the layer at hand
        AlignedArray<float> next;
        AlignedArray<int32_t> rows;  ///< of the first layer's weight: non-zero inputs, or one-hot codes
        AlignedArray<float> nonzero;
        AlignedArray<uint8_t> quantized;  ///< inputs of the int8 layer at hand
    };

    /// Logits of the first row in `workspace` (numbers clipped and located, plain, codes).
    void Forward(const RowNetworkLayout& layout, const RowKernels& kernels, const Int8Kernels& int8_kernels,
                 Workspace* workspace, float* logits) const;
    /// Logits [rows × outputs] of its first rows, to the same bits.
    void ForwardBlock(const RowNetworkLayout& layout, const RowKernels& kernels,
                      const Int8Kernels& int8_kernels, int rows, Workspace* workspace, float* logits) const;

    const float* edges(const RowNetworkLayout& layout) const { return packed_ + layout.edges_at; }

 private:
    /// Writes row `row`'s float inputs of the first dense layer.
    void GatherInputs(const RowNetworkLayout& layout, const RowKernels& kernels, int row,
                      const Workspace& workspace, float* values) const;
    /// An int8 layer, from the workspace's values to its next.
    void ForwardInt8(const RowNetworkLayout::Dense& dense, const Int8Kernels& kernels, int rows,
                     Workspace* workspace) const;

    const float* packed_;
};

}  // namespace dlent
