#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/random.h"
#include "core/nn/network_spec.h"

namespace dlent {

// What tests of several files need.

inline constexpr float kNanFloat = std::numeric_limits<float>::quiet_NaN();

inline const NeverCancelled kNever;

class AlwaysCancelled final : public CancelToken {
 public:
    bool IsCancelled() const override { return true; }
};

/// Of the standard normal distribution.
inline std::vector<float> Normals(size_t count, uint64_t seed) {
    RandomStream random(seed);
    std::vector<float> values(count);
    for (float& value : values)
        value = random.Normal();
    return values;
}

}  // namespace dlent
