#include "gpu/protocol/image.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "gpu/protocol/message.h"

namespace dlent::gpu {
namespace {

constexpr uint64_t kMaxRows = std::numeric_limits<uint32_t>::max();
constexpr uint64_t kMaxColumns = NetworkSpec::kMaxWidth;
constexpr size_t kBlockRows = 4096;

void GatherColumn(std::span<const uint32_t> rows, size_t width, const void* from, void* to) {
    const size_t bytes = width * sizeof(float);
    for (size_t i = 0; i < rows.size(); ++i)
        std::memcpy(static_cast<char*>(to) + i * bytes, static_cast<const char*>(from) + rows[i] * bytes,
                    bytes);
}

}  // namespace

size_t Sections::Add(uint64_t count, size_t size) {
    constexpr size_t kMost = std::numeric_limits<size_t>::max() / 4;
    const size_t begin = (end_ + kAlignment - 1) / kAlignment * kAlignment;
    if (!ok_ || count > (kMost - begin) / size) {
        ok_ = false;
        return 0;
    }
    end_ = begin + static_cast<size_t>(count) * size;
    return begin;
}

Json ImageShape::ToJson() const {
    return {{"rows", rows},     {"numeric", numeric},        {"plain", plain},
            {"fields", fields}, {"labels", integer_targets}, {"weights", weights}};
}

Expected<ImageShape> ImageShape::FromJson(const Json& body) {
    ImageShape shape;
    DLENT_ASSIGN_OR_RETURN(shape.rows, ReadUnsigned(body, "rows", kMaxRows));
    DLENT_ASSIGN_OR_RETURN(const uint64_t numeric, ReadUnsigned(body, "numeric", kMaxColumns));
    DLENT_ASSIGN_OR_RETURN(const uint64_t plain, ReadUnsigned(body, "plain", kMaxColumns));
    DLENT_ASSIGN_OR_RETURN(const uint64_t fields, ReadUnsigned(body, "fields", kMaxColumns));
    DLENT_ASSIGN_OR_RETURN(shape.integer_targets, ReadBool(body, "labels"));
    DLENT_ASSIGN_OR_RETURN(shape.weights, ReadBool(body, "weights"));
    shape.numeric = static_cast<uint32_t>(numeric);
    shape.plain = static_cast<uint32_t>(plain);
    shape.fields = static_cast<uint32_t>(fields);
    if (shape.rows == 0)
        return Status::Corrupt("an image without rows");
    return shape;
}

Expected<ImageLayout> ImageLayout::Of(const ImageShape& shape) {
    ImageLayout layout;
    layout.shape = shape;
    Sections sections;
    layout.numeric = sections.Add(shape.rows * shape.numeric, sizeof(float));
    layout.plain = sections.Add(shape.rows * shape.plain, sizeof(float));
    layout.codes = sections.Add(shape.rows * shape.fields, sizeof(int32_t));
    layout.targets = sections.Add(shape.rows, sizeof(float));
    layout.weights = sections.Add(shape.weights ? shape.rows : 0, sizeof(float));
    if (!sections.ok())
        return Status(StatusCode::kResourceLimit, "too many rows for a data image");
    layout.bytes = sections.bytes();
    return layout;
}

Status WriteImage(const ImageLayout& layout, const TrainingData& data, const CancelToken& cancel,
                  std::byte* memory) {
    const ImageShape& shape = layout.shape;
    std::vector<uint32_t> rows(kBlockRows);
    const auto part = [memory](uint32_t width, size_t offset, size_t begin) {
        return width == 0 ? nullptr : memory + offset + begin * width * sizeof(float);
    };
    for (size_t begin = 0; begin < shape.rows; begin += kBlockRows) {
        if (cancel.IsCancelled())
            return Status::Cancelled();
        rows.resize(std::min<size_t>(kBlockRows, static_cast<size_t>(shape.rows) - begin));
        std::iota(rows.begin(), rows.end(), static_cast<uint32_t>(begin));
        HostBatch batch;
        batch.numeric = reinterpret_cast<float*>(part(shape.numeric, layout.numeric, begin));
        batch.plain = reinterpret_cast<float*>(part(shape.plain, layout.plain, begin));
        batch.codes = reinterpret_cast<int32_t*>(part(shape.fields, layout.codes, begin));
        batch.targets = part(1, layout.targets, begin);
        batch.weights = reinterpret_cast<float*>(part(shape.weights ? 1 : 0, layout.weights, begin));
        data.Gather(rows, batch);
    }
    return Status::Ok();
}

std::optional<HostRows> ImageData::AllRows() const {
    return HostRows{static_cast<const float*>(At(layout_.numeric)),
                    static_cast<const float*>(At(layout_.plain)),
                    static_cast<const int32_t*>(At(layout_.codes)), At(layout_.targets),
                    has_weights() ? static_cast<const float*>(At(layout_.weights)) : nullptr};
}

void ImageData::Gather(std::span<const uint32_t> rows, const HostBatch& batch) const {
    const ImageShape& shape = layout_.shape;
    if (batch.numeric != nullptr)
        GatherColumn(rows, shape.numeric, At(layout_.numeric), batch.numeric);
    if (batch.plain != nullptr)
        GatherColumn(rows, shape.plain, At(layout_.plain), batch.plain);
    if (batch.codes != nullptr)
        GatherColumn(rows, shape.fields, At(layout_.codes), batch.codes);
    if (batch.targets != nullptr)
        GatherColumn(rows, 1, At(layout_.targets), batch.targets);
    if (batch.weights != nullptr)
        GatherColumn(rows, 1, At(layout_.weights), batch.weights);
}

bool AreCodesInRange(const int32_t* codes, size_t rows, std::span<const int> cardinalities) {
    for (size_t row = 0; row < rows; ++row) {
        for (const int cardinality : cardinalities) {
            if (*codes++ >= cardinality)
                return false;
        }
    }
    return true;
}

Status ImageData::Check(const NetworkSpec& network, int outputs, const CancelToken& cancel) const {
    const ImageShape& shape = layout_.shape;
    if (static_cast<uint32_t>(network.numeric) != shape.numeric ||
        static_cast<uint32_t>(network.plain) != shape.plain || network.codes.size() != shape.fields)
        return Status::Corrupt("the network does not read the columns of the image");
    if (shape.integer_targets != (outputs > 1))
        return Status::Corrupt("the targets of the image do not fit the network's outputs");
    const auto* codes = static_cast<const int32_t*>(At(layout_.codes));
    const auto* labels = static_cast<const int32_t*>(At(layout_.targets));
    for (size_t row = 0; row < shape.rows; ++row) {
        if (row % kBlockRows == 0 && cancel.IsCancelled())
            return Status::Cancelled();
        if (!AreCodesInRange(codes + row * shape.fields, 1, network.codes))
            return Status::Corrupt("a category code of the image is out of range");
        // rows without a target have label -1, and are in no list of rows
        if (shape.integer_targets && (labels[row] >= outputs || labels[row] < -1))
            return Status::Corrupt("a label of the image is out of range");
    }
    return Status::Ok();
}

}  // namespace dlent::gpu
