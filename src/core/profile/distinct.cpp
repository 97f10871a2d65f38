#include "core/profile/distinct.h"

#include <bit>
#include <cmath>

namespace dlent {

void HyperLogLog::Add(uint64_t hash) {
    const size_t index = hash >> (64 - kBits);
    const auto rank =
        static_cast<uint8_t>(std::countl_zero(hash << kBits | (uint64_t{1} << (kBits - 1))) + 1);
    if (rank > registers_[index])
        registers_[index] = rank;
}

double HyperLogLog::Estimate() const {
    const double count = static_cast<double>(registers_.size());
    double sum = 0.0;
    double empty = 0.0;
    for (const uint8_t rank : registers_) {
        sum += std::ldexp(1.0, -rank);
        empty += rank == 0;
    }
    const double estimate = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
    return estimate <= 2.5 * count && empty > 0.0 ? count * std::log(count / empty) : estimate;
}

void SingletonSample::Add(uint64_t hash) {
    // other bits than HyperLogLog's, so that their errors are independent
    const uint64_t mixed = Mix64(hash);
    if (shift_ > 0 && mixed >> (64 - shift_) != 0)
        return;
    ++counts_[mixed];
    while (counts_.size() > kMost) {
        ++shift_;
        std::erase_if(counts_, [this](const auto& entry) { return entry.first >> (64 - shift_) != 0; });
    }
}

double SingletonSample::SingletonShare() const {
    if (counts_.empty())
        return 0.0;
    double once = 0.0;
    for (const auto& [hash, count] : counts_)
        once += count == 1;
    return once / static_cast<double>(counts_.size());
}

}  // namespace dlent
