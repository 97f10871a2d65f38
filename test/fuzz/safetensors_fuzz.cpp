// A weights file is hostile bytes: ReadSafetensors answers with kCorrupt, or with finite tensors of the
// shapes that they say, which written again read as themselves.

#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/formats/safetensors.h"
#include "fuzzing.h"

namespace {

void CheckTensor(const dlent::NamedTensorData& tensor) {
    Require(!tensor.name.empty());
    uint64_t count = 1;
    for (const int64_t size : tensor.shape) {
        Require(size >= 0);
        count *= static_cast<uint64_t>(size);
    }
    Require(count == tensor.values.size());
    for (const float value : tensor.values)
        Require(std::isfinite(value));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto tensors = dlent::ReadSafetensors(bytes);
    if (!tensors.ok()) {
        Require(tensors.status().code() == dlent::StatusCode::kCorrupt && !tensors.status().detail().empty());
        return 0;
    }
    for (const dlent::NamedTensorData& tensor : *tensors)
        CheckTensor(tensor);
    const std::string written = dlent::WriteSafetensors(*tensors, {});
    const auto again = dlent::ReadSafetensors(written);
    Require(again.ok() && again->size() == tensors->size());
    Require(dlent::WriteSafetensors(*again, {}) == written);
    return 0;
}
