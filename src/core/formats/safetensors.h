#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/nn/named_tensor.h"

namespace dlent {

/// What a safetensors file may hold at most; everything beyond is refused before memory is taken for it.
struct SafetensorsLimits {
    size_t header_bytes = 16u << 20;
    size_t tensors = 1 << 16;
    size_t dimensions = 8;
    size_t name_bytes = 256;
    size_t data_bytes = size_t{4} << 30;
};

/// The tensors as one file in the format of huggingface/safetensors (8 bytes of header length, JSON header,
/// data), readable by its Python library. float32 only. The same tensors give the same bytes.
std::string WriteSafetensors(std::span<const NamedTensorData> tensors,
                             const std::map<std::string, std::string>& metadata);

/// Reads what WriteSafetensors wrote, trusting no byte of it: header length, JSON depth and types, repeated
/// or overlong names, dtypes, overflowing shapes, offsets that overlap, leave holes or run out of the file,
/// and weights that are not finite are all kCorrupt, naming the tensor.
Expected<std::vector<NamedTensorData>> ReadSafetensors(std::string_view bytes,
                                                       const SafetensorsLimits& limits = {});

}  // namespace dlent
