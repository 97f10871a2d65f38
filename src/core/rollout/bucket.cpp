#include "core/rollout/bucket.h"

#include <algorithm>
#include <numeric>
#include <string>

namespace dlent {

uint32_t Fnv1a32(std::string_view text) {
    uint32_t hash = 0x811c9dc5u;
    for (const char byte : text)
        hash = (hash ^ static_cast<unsigned char>(byte)) * 0x01000193u;
    return hash;
}

double Bucket(std::string_view seed, std::string_view unit) {
    std::string joined;
    joined.reserve(seed.size() + unit.size());
    joined.append(seed).append(unit);
    return static_cast<double>(Fnv1a32(std::to_string(Fnv1a32(joined))) % 10000u) / 10000.0;
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
