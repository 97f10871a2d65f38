#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#ifdef __CUDACC__
#define DLENT_HOST_DEVICE __host__ __device__
#else
#define DLENT_HOST_DEVICE
#endif

namespace dlent {

/// A pseudo-random permutation of [0, count), any place of which is computed by itself: so a device draws an
/// order without memory or the host, and everybody draws the same. An index is split into two digits of about
/// √count values each; every round of an alternating Feistel network adds to one digit a hash of the other;
/// what falls behind count is permuted on until it does not (Black & Rogaway 2002, "Ciphers with arbitrary
/// finite domains"; for shuffles Mitchell et al. 2022, "Bandwidth-optimal random shuffling for GPUs").
class RandomPermutation {
 public:
    /// A function of these alone; `stream` tells permutations of one seed apart.
    RandomPermutation(uint32_t count, uint64_t seed, uint64_t stream);

    uint32_t count() const { return count_; }

    /// Where index < count comes to.
    DLENT_HOST_DEVICE uint32_t operator()(uint32_t index) const {
        do {
            uint32_t high = index / low_radix_;
            uint32_t low = index % low_radix_;
            for (int round = 0; round < rounds_; round += 2) {
                high = Add(high, low, keys_[round], high_radix_);
                low = Add(low, high, keys_[round + 1], low_radix_);
            }
            index = high * low_radix_ + low;
        } while (index >= count_);
        return index;
    }

    /// out[i] = items[permutation(first + i)]; `first` and what follows are below count.
    void Permute(const uint32_t* items, uint32_t first, std::span<uint32_t> out) const;

 private:
    static constexpr int kMostRounds = 12;

    /// digit + a hash of the other digit, modulo the radix.
    DLENT_HOST_DEVICE static uint32_t Add(uint32_t digit, uint32_t other, uint32_t key, uint32_t radix) {
        uint32_t h = (other ^ key) * 0x9e3779b1U;
        h = (h ^ h >> 15) * 0x85ebca77U;
        const uint32_t sum = digit + ((h >> 16) * radix >> 16);
        return sum < radix ? sum : sum - radix;
    }

    uint32_t count_;
    uint32_t high_radix_;  ///< at most 2^16
    uint32_t low_radix_;
    int rounds_;  ///< small domains need more
    uint32_t keys_[kMostRounds];
};

}  // namespace dlent
