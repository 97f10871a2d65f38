#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/base/random.h"

namespace dlent {

/// A 64-bit hash of a text: a folded 64×64 multiplication for every 8 bytes. The same on every machine of one
/// byte order.
inline uint64_t HashText(std::string_view text) {
    uint64_t hash = 0x9ae16a3b2f90404fULL ^ text.size();
    const char* data = text.data();
    size_t left = text.size();
    while (left > 0) {
        uint64_t word = 0;
        const size_t taken = left < 8 ? left : 8;
        std::memcpy(&word, data, taken);
        const unsigned __int128 product = static_cast<unsigned __int128>(hash ^ word) * 0xa0761d6478bd642fULL;
        hash = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
        data += taken;
        left -= taken;
    }
    return Mix64(hash);
}

}  // namespace dlent
