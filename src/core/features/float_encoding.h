#pragma once

#include <cfloat>
#include <cstdint>

namespace dlent {

/// Where an entry of a network's `numeric` or `plain` block comes from, and how it is scaled.
struct FloatEntry {
    int input = 0;
    int cell = 0;            ///< within the input
    int pipeline_cell = 0;   ///< over all inputs
    bool indicator = false;  ///< of NULL
    float center = 0.0f;
    float scale = 1.0f;
    float minimum = 0.0f;
    float maximum = 0.0f;
};

/// The same for all entries of a row, as arrays, for kernels that take kBlock entries at a time. The arrays
/// are padded to whole blocks, by entries of some cell that make 0.
struct FloatEncoding {
    static constexpr int kBlock = 16;

    int count = 0;
    const uint8_t* neighbours = nullptr;  ///< of each block: whether its cells lie side by side
    const int32_t* cell = nullptr;
    const float* center = nullptr;
    const float* scale = nullptr;
    const float* minimum = nullptr;
    const float* maximum = nullptr;
    const int32_t* indicator = nullptr;  ///< 0 or 1

    /// The last of several blocks ends with the last entry; it may overlap the one before it.
    int first_of_block(int block) const {
        return count < kBlock || (block + 1) * kBlock <= count ? block * kBlock : count - kBlock;
    }
};

/// The one place where a float becomes a network input: of a float and a bool, or of vectors of them. Static,
/// so that each instruction set has its own. Far values are cut to what is still finite when squared, far
/// beyond where the network saturates.
template <typename Float, typename Flag>
[[gnu::always_inline]] static inline Float EncodeFloat(Float value, Float center, Float scale, Float minimum,
                                                       Float maximum, Flag indicator) {
    const Float zero = {};
    const Float one = zero + 1.0f;
    const Float greatest = zero + FLT_MAX;
    const Float limit = zero + 1e15f;
    const auto is_null = value != value;
    const Float above = value < -greatest ? minimum : value;
    const Float finite = above > greatest ? maximum : above;
    const Float scaled = (finite - center) * scale;
    const Float raised = scaled < -limit ? -limit : scaled;
    const Float known = raised > limit ? limit : raised;
    const Float seen = ((is_null ? one : zero) - center) * scale;
    const Float of_value = is_null ? zero : known;
    return indicator ? seen : of_value;
}

}  // namespace dlent
