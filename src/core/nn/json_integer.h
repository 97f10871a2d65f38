#pragma once

#include <cstdint>
#include <optional>

#include "core/base/json.h"

namespace dlent {

/// The value of an untrusted JSON integer within [low, high], if it is one.
inline std::optional<int64_t> IntegerWithin(const Json& json, int64_t low, int64_t high) {
    if (!json.is_number_integer() ||
        (json.is_number_unsigned() && json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))) {
        return std::nullopt;
    }
    const int64_t value = json.get<int64_t>();
    return value < low || value > high ? std::nullopt : std::optional(value);
}

}  // namespace dlent
