#include "core/rollout/bucket.h"

#include <algorithm>
#include <charconv>
#include <numeric>

namespace dlent {

uint32_t Fnv1a32(std::string_view text, uint32_t state) {
    uint32_t hash = state;
    for (const char byte : text)
        hash = (hash ^ static_cast<unsigned char>(byte)) * 0x01000193u;
    return hash;
}

double UnitBuckets::Of(std::string_view unit) const {
    char digits[10];
    const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), Fnv1a32(unit, seeded_));
    const uint32_t hash = Fnv1a32({digits, static_cast<size_t>(end - digits)});
    return static_cast<double>(hash % 10000u) / 10000.0;
}

double Bucket(std::string_view seed, std::string_view unit) {
    return UnitBuckets(seed).Of(unit);
}

std::vector<BucketRange> BucketRanges(std::span<const double> weights, double coverage) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    const double share = std::clamp(coverage, 0.0, 1.0);
    std::vector<BucketRange> ranges;
    double before = 0.0;
    for (const double weight : weights) {
        const double start = total > 0.0 ? before / total : 0.0;
        const double width = total > 0.0 ? weight / total : 0.0;
        ranges.push_back({start, start + share * width});
        before += weight;
    }
    return ranges;
}

int ArmOfBucket(double bucket, std::span<const BucketRange> ranges) {
    for (size_t i = 0; i < ranges.size(); ++i) {
        if (bucket >= ranges[i].begin && bucket < ranges[i].end)
            return static_cast<int>(i);
    }
    return -1;
}

}  // namespace dlent
