#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "cuda_runtime.h"

namespace cub {

struct DeviceRadixSort {
    /// Stable, by bits [begin_bit, end_bit) of the keys.
    template <typename Key, typename Value, typename Count>
    static cudaError_t SortPairs(void* temporary, size_t& temporary_bytes, const Key* keys, Key* sorted_keys,
                                 const Value* values, Value* sorted_values, Count count, int begin_bit, int end_bit,
                                 cudaStream_t stream) {
        if (temporary == nullptr) {
            temporary_bytes = 1000;
            return cudaSuccess;
        }
        stream->Enqueue([=] {
            std::memset(temporary, 0x5A, 1000);
            std::vector<size_t> order(static_cast<size_t>(count));
            std::iota(order.begin(), order.end(), size_t{0});
            const auto part = [&](size_t i) {
                const uint64_t key = keys[i] >> begin_bit;
                return end_bit - begin_bit >= 32 ? key : key & ((uint64_t{1} << (end_bit - begin_bit)) - 1);
            };
            std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return part(a) < part(b); });
            for (size_t i = 0; i < order.size(); ++i) {
                sorted_keys[i] = keys[order[i]];
                sorted_values[i] = values[order[i]];
            }
        });
        return cudaPeekAtLastError();  // as the real one has it, whoever left it there
    }
};

}  // namespace cub
