#include <gtest/gtest.h>

#include <cmath>

#include "core/profile/column_profile.h"
#include "core/profile/suggest.h"

namespace dlent {
namespace {

TEST(HyperLogLog, IsNearAtEverySize) {
    for (const int count : {1, 10, 1000, 30000, 1000000}) {
        HyperLogLog distinct;
        for (int i = 0; i < count; ++i) {
            distinct.Add(Mix64(static_cast<uint64_t>(i)));
            distinct.Add(Mix64(static_cast<uint64_t>(i / 2)));  // seen again
        }
        EXPECT_NEAR(distinct.Estimate(), count, 0.03 * count + 0.01) << count;
    }
}

TEST(SingletonSample, KnowsWhatOccursOnce) {
    SingletonSample few;
    for (const uint64_t value : {1, 2, 2, 3, 4, 4, 4, 5})
        few.Add(Mix64(value));
    EXPECT_DOUBLE_EQ(few.SingletonShare(), 3.0 / 5.0);
    SingletonSample many;
    for (uint64_t i = 0; i < 100000; ++i) {
        many.Add(Mix64(i));
        if (i % 4 == 0)
            many.Add(Mix64(i));
    }
    EXPECT_NEAR(many.SingletonShare(), 0.75, 0.04);
}

TEST(FrequentItems, FindsTheFrequentAmongMany) {
    FrequentItems<double> items;
    for (int i = 0; i < 100000; ++i) {
        items.Add(static_cast<double>(i));
        if (i % 10 == 0)
            items.Add(-1.0);
    }
    EXPECT_FALSE(items.exact());
    const auto found = items.counts().find(-1.0);
    ASSERT_NE(found, items.counts().end());
    EXPECT_LE(found->second, 10000u);
    EXPECT_GE(found->second + items.error(), 10000u);
}

TEST(ColumnProfile, NumbersByHand) {
    ColumnProfile profile(ProfileKind::kNumeric);
    for (const double value : {1.0, 2.0, 2.0, 3.0, 10.0, -0.0})
        profile.AddNumber(value);
    profile.AddNumber(NAN);
    profile.AddNumber(INFINITY);
    profile.AddNull();
    const Json stats = profile.ToJson();
    EXPECT_EQ(profile.rows(), 9u);
    EXPECT_EQ(profile.nulls(), 1u);
    EXPECT_EQ(profile.distinct(), 7.0);  // 0, 1, 2, 3, 10, NaN, infinity
    EXPECT_EQ(stats["nan"], 1);
    EXPECT_EQ(stats["infinite"], 1);
    EXPECT_EQ(stats["zeros"], 1);
    EXPECT_EQ(stats["negatives"], 0);
    EXPECT_NEAR(stats["mean"].get<double>(), 3.0, 1e-12);
    EXPECT_NEAR(stats["sd"].get<double>(), std::sqrt(64.0 / 5.0), 1e-12);
    // deviations −3 −2 −1 −1 0 7: Σ³ = 306, Σ⁴ = 2500
    EXPECT_NEAR(stats["skewness"].get<double>(), std::sqrt(6.0) * 306.0 / std::pow(64.0, 1.5), 1e-9);
    EXPECT_NEAR(stats["kurtosis"].get<double>(), 6.0 * 2500.0 / (64.0 * 64.0) - 3.0, 1e-9);
    EXPECT_EQ(stats["quantiles"]["50"], 2.0);
    EXPECT_EQ(stats["top"][0]["value"], "2");
    EXPECT_EQ(stats["top"][0]["count"], 2);
}

TEST(ColumnProfile, TextsByHand) {
    ColumnProfile profile(ProfileKind::kText);
    for (const char* text : {"a", "a", "bcd", "", "12", "1.5"})
        profile.AddText(text);
    const Json stats = profile.ToJson();
    EXPECT_EQ(profile.distinct(), 5.0);
    EXPECT_EQ(stats["empty"], 1);
    EXPECT_EQ(stats["min_length"], 0);
    EXPECT_EQ(stats["max_length"], 3);
    EXPECT_NEAR(stats["look_like_numbers"].get<double>(), 2.0 / 6.0, 1e-12);
    EXPECT_NEAR(stats["look_like_integers"].get<double>(), 1.0 / 6.0, 1e-12);
    EXPECT_NEAR(stats["unique_value_ratio"].get<double>(), 4.0 / 5.0, 1e-12);
    const double entropy = -(2.0 / 6.0) * std::log(2.0 / 6.0) - 4.0 / 6.0 * std::log(1.0 / 6.0);
    EXPECT_NEAR(stats["entropy"].get<double>(), entropy, 1e-12);
    EXPECT_TRUE(ColumnProfile(ProfileKind::kText).ToJson().contains("top"));  // of nothing
}

TEST(Suggest, WilsonsBound) {
    EXPECT_NEAR(WilsonLowerBound(99, 100), 0.945514, 5e-7);
    EXPECT_NEAR(WilsonLowerBound(19, 20), 0.763869, 5e-7);
}

const Suggestion* Find(const std::vector<Suggestion>& suggestions, const std::string& rule) {
    for (const Suggestion& suggestion : suggestions) {
        if (suggestion.rule == rule)
            return &suggestion;
    }
    return nullptr;
}

TEST(Suggest, FollowsItsRules) {
    ColumnProfile numbers(ProfileKind::kNumeric);
    for (int i = 0; i < 1000; ++i)
        numbers.AddNumber(i % 100);
    numbers.AddNull();
    std::vector<Suggestion> found = SuggestExpectations(numbers, "x");
    EXPECT_EQ(Find(found, "complete"), nullptr);
    ASSERT_NE(Find(found, "mostly_complete"), nullptr);
    EXPECT_NEAR(Find(found, "mostly_complete")->tolerance, 0.01, 1e-9);
    EXPECT_NE(Find(found, "non_negative"), nullptr);
    ASSERT_NE(Find(found, "range"), nullptr);
    EXPECT_EQ(Find(found, "range")->tolerance, 0.0);
    EXPECT_EQ(Find(found, "unique"), nullptr);

    ColumnProfile keys(ProfileKind::kNumeric);
    ColumnProfile levels(ProfileKind::kText);
    ColumnProfile names(ProfileKind::kText);
    ColumnProfile few(ProfileKind::kText);
    for (int i = 0; i < 500; ++i) {
        keys.AddNumber(i - 250);
        levels.AddText(i % 2 == 0 ? "it's" : "b\\c");
        names.AddText("name " + std::to_string(i));
        // nine in ten are one of two levels, the others are rare; some are rarer still
        few.AddText(i % 10 != 0 ? (i % 2 == 0 ? "a" : "b") : "r" + std::to_string(i % 300));
    }
    EXPECT_NE(Find(SuggestExpectations(keys, "x"), "unique"), nullptr);
    EXPECT_EQ(Find(SuggestExpectations(keys, "x"), "non_negative"), nullptr);
    ASSERT_NE(Find(SuggestExpectations(levels, "\"X\""), "domain"), nullptr);
    EXPECT_EQ(Find(SuggestExpectations(levels, "\"X\""), "domain")->predicate,
              "\"X\" IN (E'b\\\\c', 'it''s')");
    EXPECT_EQ(Find(SuggestExpectations(names, "x"), "domain"), nullptr);
    EXPECT_NE(Find(SuggestExpectations(names, "x"), "unique"), nullptr);
    found = SuggestExpectations(few, "x");
    ASSERT_NE(Find(found, "mostly_domain"), nullptr);
    EXPECT_EQ(Find(found, "mostly_domain")->predicate, "x IN ('b', 'a')");
    EXPECT_GT(Find(found, "mostly_domain")->tolerance, 0.1);
    // a handful of rows says nothing
    ColumnProfile handful(ProfileKind::kText);
    for (int i = 0; i < 10; ++i)
        handful.AddText("a");
    EXPECT_TRUE(SuggestExpectations(handful, "x").empty());
}

}  // namespace
}  // namespace dlent
