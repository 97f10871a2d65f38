#pragma once

#include <algorithm>
#include <iterator>
#include <vector>

#include "core/base/cancel.h"

namespace dlent {

/// Sorts by `less` and returns true, or stops soon after `cancel` is set and returns false, with the values
/// in some other order. Pieces are sorted and then merged pairwise, polling every piece's worth of work.
template <typename T, typename Less = std::less<T>>
bool CancellableSort(std::vector<T>* values, const CancelToken& cancel, Less less = {}) {
    constexpr size_t kPiece = 1 << 15;
    const size_t size = values->size();
    for (size_t begin = 0; begin < size; begin += kPiece) {
        if (cancel.IsCancelled())
            return false;
        std::sort(values->begin() + begin, values->begin() + std::min(begin + kPiece, size), less);
    }
    std::vector<T> merged(size > kPiece ? size : 0);
    for (size_t run = kPiece; run < size; run *= 2) {
        for (size_t begin = 0; begin < size; begin += 2 * run) {
            const size_t middle = std::min(begin + run, size);
            const size_t end = std::min(begin + 2 * run, size);
            size_t left = begin;
            size_t right = middle;
            for (size_t out = begin; out < end; ++out) {
                if ((out - begin) % kPiece == 0 && cancel.IsCancelled())
                    return false;
                const bool take_right =
                    left == middle || (right < end && less((*values)[right], (*values)[left]));
                merged[out] = std::move((*values)[take_right ? right++ : left++]);
            }
        }
        values->swap(merged);
    }
    return true;
}

}  // namespace dlent
