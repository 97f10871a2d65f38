#include "core/formats/sha256.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace dlent {
namespace {

std::string Hex(Sha256* hash) {
    std::string hex;
    for (const uint8_t byte : hash->Finish()) {
        hex += "0123456789abcdef"[byte >> 4];
        hex += "0123456789abcdef"[byte & 15];
    }
    return hex;
}

// the examples of FIPS 180-4 and of NIST's CAVP files
TEST(Sha256, KnownDigests) {
    EXPECT_EQ(Sha256Hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    EXPECT_EQ(Sha256Hex("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
                        "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"),
              "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    EXPECT_EQ(Sha256Hex("\xbd"), "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b");
    EXPECT_EQ(Sha256Hex(std::string(1000000, 'a')),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/// Every length around the block's and the padding's borders.
TEST(Sha256, PiecesDoNotMatter) {
    for (size_t length = 0; length <= 200; ++length) {
        std::string text;
        for (size_t i = 0; i < length; ++i)
            text += static_cast<char>(i * 131 + length);
        const std::string whole = Sha256Hex(text);
        for (const size_t piece : {size_t{1}, size_t{7}, size_t{63}, size_t{64}, size_t{65}}) {
            Sha256 hash;
            hash.Update({});
            for (size_t at = 0; at < length; at += piece) {
                hash.Update(std::string_view(text).substr(at, piece));
                hash.Update({});
            }
            EXPECT_EQ(Hex(&hash), whole) << length << " bytes by " << piece;
        }
    }
}

}  // namespace
}  // namespace dlent
