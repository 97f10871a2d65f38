#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace dlent {

/// FNV-1a over the bytes of `text`, 32 bits; `state` is the hash of what came before it.
uint32_t Fnv1a32(std::string_view text, uint32_t state = 0x811c9dc5u);

/// The places of units on [0, 1) in steps of 0.0001: GrowthBook's hash, version 2, over UTF-8. The same seed
/// and unit give the same place on every server; seeds of different experiments give independent ones.
class UnitBuckets {
 public:
    explicit UnitBuckets(std::string_view seed) : seeded_(Fnv1a32(seed)) {}
    double Of(std::string_view unit) const;

 private:
    uint32_t seeded_;  ///< the hash's state after the seed
};
double Bucket(std::string_view seed, std::string_view unit);

/// The places that an arm owns: [begin, end).
struct BucketRange {
    double begin = 0.0;
    double end = 0.0;
};

/// Arm i owns [start, start + coverage·weight), start the sum of the weights before it: a higher coverage
/// moves nobody from one arm to another. Weights are normalised to sum 1; `coverage` is clamped to [0, 1].
std::vector<BucketRange> BucketRanges(std::span<const double> weights, double coverage);

/// The arm whose range holds the bucket, or −1.
int ArmOfBucket(double bucket, std::span<const BucketRange> ranges);

}  // namespace dlent
