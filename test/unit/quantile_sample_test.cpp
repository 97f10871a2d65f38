#include "core/features/quantile_sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "core/base/random.h"
#include "testing.h"

namespace dlent {
namespace {

std::vector<float> Sorted(std::vector<float> values) {
    std::sort(values.begin(), values.end());
    return values;
}

bool Increases(const std::vector<float>& edges) {
    return std::adjacent_find(edges.begin(), edges.end(), std::greater_equal<>()) == edges.end();
}

/// The largest share of `sorted` within one bin [edge, next edge).
double FullestBin(const std::vector<float>& sorted, const std::vector<float>& edges) {
    double fullest = 0.0;
    for (size_t i = 1; i < edges.size(); ++i) {
        const auto count = std::lower_bound(sorted.begin(), sorted.end(), edges[i]) -
                           std::lower_bound(sorted.begin(), sorted.end(), edges[i - 1]);
        fullest = std::max(fullest, static_cast<double>(count) / static_cast<double>(sorted.size()));
    }
    return fullest;
}

TEST(Edges, CutBetweenAllOfFewDistinctValues) {
    EXPECT_EQ(EmbeddingEdges({1, 1, 1, 2, 2, 5}), (std::vector<float>{1, 2, 5}));
}

TEST(Edges, FollowDistinctValuesUpToThreeHundred) {
    // nearly all rows are 0; the cuts must still spread over the 200 other values
    std::vector<float> sorted(5000, 0.0f);
    for (int i = 1; i <= 200; ++i)
        sorted.push_back(static_cast<float>(i));
    const std::vector<float> edges = EmbeddingEdges(sorted);
    EXPECT_EQ(edges.size(), 129u);
    EXPECT_EQ(edges.front(), 0.0f);
    EXPECT_EQ(edges.back(), 200.0f);
    EXPECT_NEAR(edges[64], 100.0f, 1e-3f);
}

TEST(Edges, BeyondFollowRowsAndDistinctValues) {
    std::vector<float> sorted;
    for (int i = 0; i < 1000; ++i)
        sorted.push_back(static_cast<float>(i));
    sorted.insert(sorted.end(), 9000, 1000.0f);  // nine tenths of the rows at the upper end
    const std::vector<float> edges = EmbeddingEdges(sorted);
    EXPECT_TRUE(std::adjacent_find(edges.begin(), edges.end(), std::greater_equal<>()) == edges.end());
    // the rows alone would leave three cuts below 1000; distinct values add 15
    EXPECT_GE(edges.size(), 18u);
    EXPECT_LE(edges.size(), 50u);
}

TEST(Edges, NothingToCut) {
    EXPECT_TRUE(EmbeddingEdges({}).empty());
    EXPECT_LT(EmbeddingEdges({3.0f}).size(), 2u);
    EXPECT_LT(EmbeddingEdges(std::vector<float>(1000, 3.0f)).size(), 2u);
    EXPECT_EQ(EmbeddingEdges({-1.0f, 1.0f}), (std::vector<float>{-1.0f, 1.0f}));
}

TEST(Edges, AreExactForUpToOneHundredAndTwentyNineValues) {
    std::vector<float> distinct = Sorted(Normals(129, 4));
    std::vector<float> sorted;
    for (size_t i = 0; i < distinct.size(); ++i)
        sorted.insert(sorted.end(), 1 + i % 7, distinct[i]);
    EXPECT_EQ(EmbeddingEdges(sorted), distinct);
    distinct = Sorted(Normals(130, 4));
    EXPECT_EQ(EmbeddingEdges(distinct).size(), 129u);
}

TEST(Edges, BoundTheShareOfRowsInABin) {
    const std::vector<float> normal = Normals(20000, 6);
    std::vector<float> skewed = normal;  // spans nine orders of magnitude
    for (float& value : skewed)
        value = std::exp(3.0f * value);
    for (const std::vector<float>& values : {normal, skewed}) {
        const std::vector<float> sorted = Sorted(values);
        const std::vector<float> edges = EmbeddingEdges(sorted);
        EXPECT_TRUE(Increases(edges));
        EXPECT_EQ(edges.front(), sorted.front());
        EXPECT_EQ(edges.back(), sorted.back());
        EXPECT_LE(edges.size(), 33u + 15u);
        // 32 quantile bins of the rows; an interpolated edge may take a row more
        EXPECT_LE(FullestBin(sorted, edges), 1.0 / 32.0 + 1e-4);
        EXPECT_EQ(EmbeddingEdges(sorted), edges);
    }
}

TEST(Edges, SurviveTheLargestNumbers) {
    constexpr float kLargest = std::numeric_limits<float>::max();
    std::vector<float> sorted = {-kLargest};
    for (int i = 0; i < 1000; ++i)
        sorted.push_back(static_cast<float>(i) * 1e-40f);
    sorted.push_back(kLargest);
    const std::vector<float> edges = EmbeddingEdges(sorted);
    EXPECT_TRUE(Increases(edges));
    EXPECT_TRUE(std::all_of(edges.begin(), edges.end(), [](float edge) { return std::isfinite(edge); }));
    EXPECT_EQ(edges.front(), -kLargest);
    EXPECT_EQ(edges.back(), kLargest);
}

TEST(SortFloats, SortsSignsAndMagnitudes) {
    std::vector<float> values = Normals(3000, 9);
    values.insert(values.end(), {0.0f, 1e-40f, -1e-40f, 3e38f, -3e38f});
    for (size_t i = 0; i < values.size(); i += 3)
        values[i] *= 1e10f;
    std::vector<float> expected = values;
    std::sort(expected.begin(), expected.end());
    std::vector<float> scratch;
    SortFloats(&values, &scratch);
    EXPECT_EQ(values, expected);
}

TEST(SortedQuantile, InterpolatesAsNumpyDoes) {
    const std::vector<float> values = {1, 2, 4, 8};
    EXPECT_EQ(SortedQuantile(values, 0.0), 1.0f);
    EXPECT_EQ(SortedQuantile(values, 1.0), 8.0f);
    EXPECT_EQ(SortedQuantile(values, 0.5), 3.0f);
    EXPECT_FLOAT_EQ(SortedQuantile(values, 0.25), 1.75f);
}

TEST(SortFloats, IsASortAtEveryLength) {
    std::vector<float> scratch;
    for (const size_t count : {0u, 1u, 2u, 255u, 256u, 257u, 10007u}) {
        std::vector<float> values = Normals(count, count);
        for (size_t i = 0; i + 1 < count; i += 5)
            values[i] = values[i + 1];
        const std::vector<float> expected = Sorted(values);
        SortFloats(&values, &scratch);
        EXPECT_EQ(values, expected) << count;
    }
}

TEST(SortFloats, TheOrderOfTheInputLeavesNoTrace) {
    std::vector<float> values = Normals(5000, 2);
    values.insert(values.end(), 300, 0.0f);
    values.insert(values.end(), 300, -0.0f);
    std::vector<float> shuffled = values;
    RandomStream(7).Shuffle(shuffled.data(), shuffled.size());
    std::vector<float> scratch;
    SortFloats(&values, &scratch);
    SortFloats(&shuffled, &scratch);
    EXPECT_EQ(std::memcmp(values.data(), shuffled.data(), values.size() * sizeof(float)), 0);
}

TEST(SortedQuantile, IsNumpys) {
    // numpy.percentile(values, [1, 5, 25, 50, 75, 95, 99])
    const std::vector<float> values = {-7, -3.5f, -1, 0, 0, 0.25f, 2, 2, 5, 11, 64};
    const std::vector<double> percents = {1, 5, 25, 50, 75, 95, 99};
    const std::vector<double> expected = {-6.65, -5.25, -0.5, 0.25, 3.5, 37.5, 58.70000000000002};
    for (size_t i = 0; i < percents.size(); ++i)
        EXPECT_NEAR(SortedQuantile(values, percents[i] / 100.0), expected[i], 1e-5);
    EXPECT_EQ(SortedQuantile({4.0f}, 0.3), 4.0f);
}

TEST(SortedQuantile, StaysBetweenItsNeighbours) {
    const std::vector<float> sorted = Sorted(Normals(1000, 3));
    float last = sorted.front();
    for (int i = 0; i <= 10000; ++i) {
        const float value = SortedQuantile(sorted, i / 10000.0);
        EXPECT_GE(value, last);
        last = value;
    }
    EXPECT_EQ(last, sorted.back());
}

}  // namespace
}  // namespace dlent
