#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace dlent {

/// SplitMix64 finaliser: a bijective 64-bit mix, used for seeds, row hashes and fold assignment.
inline uint64_t Mix64(uint64_t x) {
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/// One Philox4x32-10 block (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): four 32-bit
/// numbers that depend on key and counter alone, so CPU and CUDA draw the same masks in any order.
inline std::array<uint32_t, 4> Philox4x32(uint64_t key, uint64_t counter_low, uint64_t counter_high = 0) {
    uint32_t k0 = static_cast<uint32_t>(key);
    uint32_t k1 = static_cast<uint32_t>(key >> 32);
    std::array<uint32_t, 4> c{static_cast<uint32_t>(counter_low), static_cast<uint32_t>(counter_low >> 32),
                              static_cast<uint32_t>(counter_high), static_cast<uint32_t>(counter_high >> 32)};
    for (int round = 0; round < 10; ++round) {
        const uint64_t p0 = uint64_t{0xD2511F53} * c[0];
        const uint64_t p1 = uint64_t{0xCD9E8D57} * c[2];
        c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
             static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    return c;
}

/// A small sequential generator over Philox, for initialisation and shuffles (not for the training step,
/// which uses Backend::Dropout's counters). Same seed, same sequence, on every platform.
class RandomStream {
 public:
    explicit RandomStream(uint64_t seed, uint64_t stream = 0) : key_(Mix64(seed)), stream_(stream) {}

    uint32_t NextU32() {
        if (used_ == 4) {
            block_ = Philox4x32(key_, counter_++, stream_);
            used_ = 0;
        }
        return block_[used_++];
    }
    uint64_t NextU64() {
        const uint64_t high = NextU32();
        return high << 32 | NextU32();
    }
    /// Uniform in [0, 1) with 24 bits.
    float NextFloat() { return static_cast<float>(NextU32() >> 8) * 0x1.0p-24f; }
    /// Uniform in [low, high).
    float Uniform(float low, float high) { return low + (high - low) * NextFloat(); }
    /// Uniform in [0, bound), bound > 0 (Lemire's multiply-shift; the bias is below 2^-32 · bound).
    uint32_t NextBelow(uint32_t bound) { return static_cast<uint32_t>((uint64_t{NextU32()} * bound) >> 32); }
    /// Standard normal (Box-Muller, defined in random.cpp so that every translation unit rounds alike).
    float Normal();

    template <typename T>
    void Shuffle(T* items, size_t count) {
        for (size_t i = count; i > 1; --i) {
            const size_t j = NextBelow(static_cast<uint32_t>(i));
            std::swap(items[i - 1], items[j]);
        }
    }

 private:
    uint64_t key_;
    uint64_t stream_;
    uint64_t counter_ = 0;
    std::array<uint32_t, 4> block_{};
    int used_ = 4;
};

}  // namespace dlent
