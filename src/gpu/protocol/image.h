#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/nn/network_spec.h"
#include "core/train/trainer.h"

namespace dlent::gpu {

/// Adds up parts of shared memory, each on a cache line; a sum that overflows sticks.
class Sections {
 public:
    static constexpr size_t kAlignment = 64;

    /// Where a part of `count` elements of `size` bytes begins.
    size_t Add(uint64_t count, size_t size);
    size_t bytes() const { return end_; }
    bool ok() const { return ok_; }

 private:
    size_t end_ = 0;
    bool ok_ = true;
};

/// What a data image holds of each row.
struct ImageShape {
    uint64_t rows = 0;
    uint32_t numeric = 0;
    uint32_t plain = 0;
    uint32_t fields = 0;
    bool integer_targets = false;
    bool weights = false;

    Json ToJson() const;
    /// Trusts nothing; kCorrupt.
    static Expected<ImageShape> FromJson(const Json& body);
};

/// Encoded rows as they lie in shared memory: numeric [rows × numeric], plain, codes, targets [rows],
/// weights, each on a cache line. The layout follows from the shape; no offset is ever sent.
struct ImageLayout {
    ImageShape shape;
    size_t numeric = 0;
    size_t plain = 0;
    size_t codes = 0;
    size_t targets = 0;
    size_t weights = 0;
    size_t bytes = 0;

    /// kResourceLimit when the memory could not be addressed.
    static Expected<ImageLayout> Of(const ImageShape& shape);
};

/// Whether each code of rows × cardinalities is below its field's cardinality; below 0 there is no category.
bool AreCodesInRange(const int32_t* codes, size_t rows, std::span<const int> cardinalities);

/// Encodes all rows of `data` into `memory` of layout.bytes.
Status WriteImage(const ImageLayout& layout, const TrainingData& data, const CancelToken& cancel,
                  std::byte* memory);

/// The rows of an image.
class ImageData final : public TrainingData {
 public:
    ImageData(const ImageLayout& layout, const std::byte* memory) : layout_(layout), memory_(memory) {}

    const ImageShape& shape() const { return layout_.shape; }
    size_t rows() const override { return static_cast<size_t>(layout_.shape.rows); }
    bool has_weights() const override { return layout_.shape.weights; }
    std::optional<HostRows> AllRows() const override;
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override;

    /// That a device can read them for a network: its inputs are these columns, and its codes and labels (of
    /// `outputs` classes; 1: none) are in range. kCorrupt.
    Status Check(const NetworkSpec& network, int outputs, const CancelToken& cancel) const;

 private:
    const void* At(size_t offset) const { return memory_ + offset; }

    ImageLayout layout_;
    const std::byte* memory_;
};

}  // namespace dlent::gpu
