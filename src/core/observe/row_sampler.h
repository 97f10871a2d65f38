#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include "core/base/random.h"
#include "core/features/text_hash.h"

namespace dlent {

/// Chooses a share of the rows that pass by.
class RowSampler {
 public:
    /// `share` in [0, 1].
    RowSampler(double share, uint64_t seed) : share_(share), random_(seed) { Draw(); }

    /// Rows until the next that is chosen, that one not counted: of a block of as many rows or fewer none is.
    uint64_t skip() const { return skip_; }
    /// Goes on behind `rows` rows, at most skip() of them.
    void Pass(uint64_t rows) { skip_ -= rows; }
    /// Goes on behind the chosen one, which is next; skip() is 0.
    void Take() { Draw(); }

    /// Whether the rows of a unit are: each unit as a whole, the same ones always.
    static bool Keeps(double share, std::string_view unit) {
        // other bits than those that decide about arms: another hash
        return static_cast<double>(HashText(unit) >> 11) * 0x1.0p-53 < share;
    }

 private:
    static constexpr uint64_t kNever = uint64_t{1} << 62;

    void Draw() {
        if (share_ >= 1.0) {
            skip_ = 0;
        } else if (share_ <= 0.0) {
            skip_ = kNever;
        } else {
            const double uniform = (static_cast<double>(random_.NextU64() >> 11) + 0.5) * 0x1.0p-53;
            const double skip = std::log(uniform) / std::log1p(-share_);
            skip_ = skip < static_cast<double>(kNever) ? static_cast<uint64_t>(skip) : kNever;
        }
    }

    double share_;
    RandomStream random_;
    uint64_t skip_ = 0;
};

}  // namespace dlent
