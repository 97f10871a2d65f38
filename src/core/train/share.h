#pragma once

#include <cstddef>

namespace dlent {

/// How many devices may train one network together.
inline constexpr int kMaxRanks = 16;

/// A contiguous part of a sequence.
struct Share {
    size_t begin = 0;
    size_t count = 0;
};

/// What rank `rank` of `ranks` takes of `count` things: one after another, and sizes differ by one at most.
constexpr Share ShareOf(size_t count, int rank, int ranks) {
    const size_t begin = count * static_cast<size_t>(rank) / static_cast<size_t>(ranks);
    return {begin, count * (static_cast<size_t>(rank) + 1) / static_cast<size_t>(ranks) - begin};
}

/// The largest of those parts.
constexpr size_t LargestShare(size_t count, int ranks) {
    return (count + static_cast<size_t>(ranks) - 1) / static_cast<size_t>(ranks);
}

}  // namespace dlent
