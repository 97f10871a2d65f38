#pragma once

#include <nlohmann/json.hpp>

namespace dlent {

/// Objects keep the order in which keys were written, so stored specs and statistics read as they were built
/// and equal models have equal bytes.
using Json = nlohmann::ordered_json;

}  // namespace dlent
