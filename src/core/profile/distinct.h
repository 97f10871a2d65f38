#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/random.h"

namespace dlent {

/// HyperLogLog (Flajolet et al. 2007) with 2^14 registers, linear counting for few: 0.8 % standard error in
/// 16 kB.
class HyperLogLog {
 public:
    void Add(uint64_t hash);
    double Estimate() const;

 private:
    static constexpr int kBits = 14;
    std::vector<uint8_t> registers_ = std::vector<uint8_t>(size_t{1} << kBits);
};

/// How many distinct values occur once: counts of the values whose hash lies below a bound that is halved as
/// they become too many (adaptive sampling, Flajolet 1990). Exact while there are few.
class SingletonSample {
 public:
    void Add(uint64_t hash);
    /// Share of the distinct values that occurred once; 0 without any.
    double SingletonShare() const;

 private:
    static constexpr size_t kMost = 4096;
    int shift_ = 0;  ///< hashes with so many leading zero bits are kept
    std::unordered_map<uint64_t, uint32_t> counts_;
};

/// Counts of the most frequent keys (Misra and Gries, pruned in batches as in Apache DataSketches). Exact
/// while there are at most 4,096 keys; beyond, a count may be too low by error().
template <typename Key>
class FrequentItems {
 public:
    template <typename Seen>
    void Add(const Seen& key) {
        const auto found = counts_.find(key);
        if (found != counts_.end()) {
            ++found->second;
            return;
        }
        if (counts_.size() >= kMost)
            Prune();
        counts_.emplace(Key(key), 1);
    }
    bool exact() const { return error_ == 0; }
    uint64_t error() const { return error_; }
    const auto& counts() const { return counts_; }

 private:
    static constexpr size_t kMost = 4096;
    struct Hash {
        using is_transparent = void;
        size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
        size_t operator()(double value) const { return std::hash<double>()(value); }
    };

    void Prune() {
        // half of the keys go with the median of the counts
        std::vector<uint64_t> sorted;
        for (const auto& [key, count] : counts_)
            sorted.push_back(count);
        std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(sorted.size() / 2),
                         sorted.end());
        const uint64_t median = sorted[sorted.size() / 2];
        error_ += median;
        std::erase_if(counts_, [median](const auto& entry) { return entry.second <= median; });
        for (auto& [key, count] : counts_)
            count -= median;
    }

    std::unordered_map<Key, uint64_t, Hash, std::equal_to<>> counts_;
    uint64_t error_ = 0;
};

}  // namespace dlent
