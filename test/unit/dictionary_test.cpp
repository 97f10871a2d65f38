#include "core/features/dictionary.h"

#include <gtest/gtest.h>

#include <bit>
#include <set>
#include <string>

#include "core/features/text_hash.h"

namespace dlent {
namespace {

TEST(Dictionary, NumbersTextsByFirstSight) {
    Dictionary dictionary;
    EXPECT_EQ(dictionary.Intern("red"), 0);
    EXPECT_EQ(dictionary.Intern("green"), 1);
    EXPECT_EQ(dictionary.Intern("red"), 0);
    EXPECT_EQ(dictionary.size(), 2);
    EXPECT_EQ(dictionary.Text(1), "green");
    EXPECT_EQ(dictionary.Find("green"), 1);
    EXPECT_EQ(dictionary.Find("blue"), Dictionary::kAbsent);
    EXPECT_EQ(dictionary.size(), 2);
}

TEST(Dictionary, TakesEmptyAndBinaryTexts) {
    Dictionary dictionary;
    const std::string zeros("a\0b", 3);
    const std::string longer("a\0b\0", 4);
    EXPECT_EQ(dictionary.Intern(""), 0);
    EXPECT_EQ(dictionary.Intern(zeros), 1);
    EXPECT_EQ(dictionary.Intern(longer), 2);
    EXPECT_EQ(dictionary.Find(""), 0);
    EXPECT_EQ(dictionary.Text(1), zeros);
    EXPECT_EQ(dictionary.Text(0), "");
}

TEST(Dictionary, KeepsEveryTextWhileItGrows) {
    Dictionary dictionary;
    constexpr int kTexts = 100000;
    std::vector<std::string_view> early;
    for (int i = 0; i < kTexts; ++i) {
        ASSERT_EQ(dictionary.Intern("customer " + std::to_string(i)), i);
        if (i < 100)
            early.push_back(dictionary.Text(i));
    }
    for (int i = 0; i < kTexts; ++i)
        ASSERT_EQ(dictionary.Find("customer " + std::to_string(i)), i);
    EXPECT_EQ(early[99], "customer 99");  // texts do not move
    EXPECT_GT(dictionary.memory_bytes(), kTexts * sizeof("customer 1"));
}

TEST(Dictionary, StoresTextsLongerThanABlock) {
    Dictionary dictionary;
    const std::string huge(1 << 20, 'x');
    EXPECT_EQ(dictionary.Intern(huge), 0);
    EXPECT_EQ(dictionary.Intern("small"), 1);
    EXPECT_EQ(dictionary.Text(0), huge);
    EXPECT_EQ(dictionary.Find(huge), 0);
}

TEST(Dictionary, CountsWhatItHasNoRoomFor) {
    Dictionary dictionary(2);
    dictionary.Intern("a");
    dictionary.Intern("b");
    EXPECT_EQ(dictionary.Intern("c"), Dictionary::kOverflow);
    EXPECT_EQ(dictionary.Intern("c"), Dictionary::kOverflow);
    EXPECT_EQ(dictionary.Intern("a"), 0);
    EXPECT_EQ(dictionary.overflow_count(), 2);
    EXPECT_EQ(dictionary.size(), 2);
    EXPECT_EQ(Dictionary(0).Intern("a"), Dictionary::kOverflow);
}

TEST(TextHash, SpreadsSimilarTexts) {
    // one changed letter changes about half of the bits
    double changed = 0.0;
    std::set<uint32_t> low;
    for (int i = 0; i < 1000; ++i) {
        const std::string text = "account-" + std::to_string(100000 + i);
        std::string other = text;
        other[static_cast<size_t>(i) % other.size()] ^= 1;
        changed += std::popcount(HashText(text) ^ HashText(other));
        low.insert(static_cast<uint32_t>(HashText(text)) & 0xfffff);
    }
    EXPECT_NEAR(changed / 1000.0, 32.0, 1.0);
    EXPECT_GT(low.size(), 990u);
    EXPECT_NE(HashText(""), HashText(std::string(1, '\0')));
    EXPECT_NE(HashText("a"), HashText(std::string("a\0", 2)));
}

}  // namespace
}  // namespace dlent
