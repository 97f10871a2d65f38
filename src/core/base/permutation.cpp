#include "core/base/permutation.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/random.h"

namespace dlent {

RandomPermutation::RandomPermutation(uint32_t count, uint64_t seed, uint64_t stream) : count_(count) {
    const auto root = static_cast<uint32_t>(std::ceil(std::sqrt(static_cast<double>(count))));
    low_radix_ = std::max(root, 1U);
    high_radix_ = std::max((count + uint64_t{low_radix_} - 1) / low_radix_, uint64_t{1});
    // From here on pairs of rows share a sixteenth of the order as often as they should, to within what 40
    // million drawn rows can tell; below, frequencies of whole orders are even with twice the rounds.
    constexpr uint32_t kLarge = 1024;
    rounds_ = count < kLarge ? kMostRounds : kMostRounds / 2;
    RandomStream random(seed, stream);
    for (uint32_t& key : keys_) {
        key = random.NextU32();
    }
}

void RandomPermutation::Permute(const uint32_t* items, uint32_t first, std::span<uint32_t> out) const {
    // The rounds of a block side by side, in loops that compilers make vectors of.
    constexpr size_t kBlock = 256;
    std::array<uint32_t, kBlock> high;
    std::array<uint32_t, kBlock> low;
    while (!out.empty()) {
        const size_t n = std::min(out.size(), kBlock);
        for (size_t i = 0; i < n; ++i) {
            const uint32_t index = first + static_cast<uint32_t>(i);
            high[i] = index / low_radix_;
            low[i] = index % low_radix_;
        }
        for (int round = 0; round < rounds_; round += 2) {
            for (size_t i = 0; i < kBlock; ++i) {
                high[i] = Add(high[i], low[i], keys_[round], high_radix_);
                low[i] = Add(low[i], high[i], keys_[round + 1], low_radix_);
            }
        }
        for (size_t i = 0; i < n; ++i) {
            const uint32_t index = high[i] * low_radix_ + low[i];
            out[i] = items[index < count_ ? index : (*this)(index)];
        }
        first += static_cast<uint32_t>(n);
        out = out.subspan(n);
    }
}

}  // namespace dlent
