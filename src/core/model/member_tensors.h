#pragma once

#include <cstddef>
#include <vector>

#include "core/base/status.h"
#include "core/nn/named_tensor.h"

namespace dlent {

/// Tensors of several networks as one file has them, "<member>/<tensor>": each member's, under their own
/// names. kCorrupt when one belongs to none of `members`.
Expected<std::vector<std::vector<NamedTensorData>>> SplitByMember(std::vector<NamedTensorData> tensors,
                                                                  size_t members);

}  // namespace dlent
