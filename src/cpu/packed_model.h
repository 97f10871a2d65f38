#pragma once

#include <cstddef>
#include <span>

#include "core/base/status.h"
#include "core/model/model.h"
#include "cpu/aligned_array.h"

namespace dlent {

/// A model in the form in which the CPU scores it: one block of memory without pointers, so that any process
/// can map it from a file and score from where it lies. Every array begins a cache line.
class PackedModel {
 public:
    /// Packs a validated copy: kCorrupt when the model's parts do not fit each other, kUnsupported when it is
    /// quantized and has layers without row kernels, kOutOfMemory.
    static Expected<PackedModel> Pack(const Model& model);

    std::span<const std::byte> image() const { return {bytes_.data(), bytes_.size()}; }

 private:
    explicit PackedModel(size_t bytes) : bytes_(bytes) {}

    AlignedArray<std::byte> bytes_;
};

/// What an image says; the weights stay in it.
struct ModelImage {
    /// How the members' weights are laid out.
    enum class Form : uint32_t {
        kRowNetwork = 1,  ///< RowNetworkLayout
        kNetwork = 2,     ///< Network::tensors(): parameters, then state
    };

    Model model;  ///< whose members are empty
    Form form = Form::kRowNetwork;
    size_t member_floats = 0;
    size_t parameter_floats = 0;     ///< of those, kNetwork: the rest is state
    const float* weights = nullptr;  ///< [members × member_floats]

    /// Takes an image apart, which is on a cache line. Its bytes are trusted to be those that Pack() made;
    /// that none is missing is checked. kCorrupt, kUnsupported for another version of the format,
    /// kOutOfMemory.
    static Expected<ModelImage> Open(std::span<const std::byte> image);

    const float* member(size_t index) const { return weights + index * member_floats; }
};

}  // namespace dlent
