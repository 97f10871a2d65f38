#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace dlent {

/// SHA-256 (FIPS 180-4), fed in pieces.
class Sha256 {
 public:
    Sha256();
    void Update(std::string_view bytes);
    /// The digest; the object must not be used afterwards.
    std::array<uint8_t, 32> Finish();

 private:
    void Compress(const uint8_t* block);

    std::array<uint32_t, 8> state_;
    std::array<uint8_t, 64> buffer_{};
    size_t buffered_ = 0;
    uint64_t length_ = 0;
};

/// Two digits a byte, in lower case.
std::string Hex(std::span<const uint8_t> bytes);

/// The digest of `bytes` in lower-case hex.
std::string Sha256Hex(std::string_view bytes);

}  // namespace dlent
