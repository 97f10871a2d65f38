#include "core/base/permutation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <vector>

namespace dlent {
namespace {

std::vector<uint32_t> Order(uint32_t count, uint64_t seed, uint64_t stream) {
    std::vector<uint32_t> items(count);
    std::iota(items.begin(), items.end(), 0U);
    std::vector<uint32_t> order(count);
    RandomPermutation(count, seed, stream).Permute(items.data(), 0, order);
    return order;
}

TEST(Permutation, HasEveryIndexOnce) {
    for (const uint32_t count :
         {0U, 1U, 2U, 3U, 10U, 255U, 256U, 257U, 1023U, 1024U, 65535U, 65536U, 1000003U}) {
        const std::vector<uint32_t> order = Order(count, 42, count);
        std::vector<bool> seen(count);
        for (const uint32_t index : order) {
            ASSERT_LT(index, count);
            ASSERT_FALSE(seen[index]) << count;
            seen[index] = true;
        }
    }
}

TEST(Permutation, AnyPlaceIsComputedByItself) {
    for (const uint32_t count : {1U, 7U, 700U, 70000U, 0xffffffffU}) {
        const RandomPermutation permutation(count, 1, 2);
        for (const uint32_t first : {0U, count / 3, count - 1}) {
            std::vector<uint32_t> some(std::min(count - first, 1000U));
            if (count > 70000U) {  // no items for so many
                for (uint32_t i = 0; i < some.size(); ++i)
                    EXPECT_LT(permutation(first + i), count);
                continue;
            }
            std::vector<uint32_t> items(count);
            std::iota(items.begin(), items.end(), 5U);
            permutation.Permute(items.data(), first, some);
            for (uint32_t i = 0; i < some.size(); ++i)
                EXPECT_EQ(some[i], items[permutation(first + i)]);
        }
    }
}

TEST(Permutation, IsAFunctionOfSeedAndStream) {
    EXPECT_EQ(Order(500, 1, 1), Order(500, 1, 1));
    EXPECT_NE(Order(500, 1, 1), Order(500, 2, 1));
    EXPECT_NE(Order(500, 1, 1), Order(500, 1, 2));
}

/// (χ² − degrees) / √(2 · degrees): about standard normal where all cells are alike.
double Unevenness(const std::vector<double>& counts, double expected) {
    double chi_squared = 0.0;
    for (const double count : counts)
        chi_squared += (count - expected) * (count - expected) / expected;
    const double degrees = static_cast<double>(counts.size()) - 1.0;
    return (chi_squared - degrees) / std::sqrt(2.0 * degrees);
}

TEST(Permutation, OrdersOfFewAreAlikeInFrequency) {
    constexpr int kDraws = 24000;
    std::map<std::vector<uint32_t>, double> orders;
    for (int draw = 0; draw < kDraws; ++draw)
        ++orders[Order(4, 3, static_cast<uint64_t>(draw))];
    std::vector<double> counts;
    for (const auto& [order, count] : orders)
        counts.push_back(count);
    EXPECT_EQ(counts.size(), 24U);
    EXPECT_LT(Unevenness(counts, kDraws / 24.0), 4.0);
}

TEST(Permutation, NeighboursArePartedAndRowsComeAnywhere) {
    // Of 4,000 rows in batches of 250: a batch has as many rows from each 16th of the table as from any
    // other, and rows of some distance share one as often as any two.
    constexpr uint32_t kRows = 4000;
    constexpr uint32_t kBatch = 250;
    constexpr int kDraws = 400;
    std::vector<double> cells(16 * 16);
    const std::vector<uint32_t> distances{1, 2, 63, 64, 65, 128, 2000};
    std::vector<double> together(distances.size());
    for (int draw = 0; draw < kDraws; ++draw) {
        const std::vector<uint32_t> order = Order(kRows, 9, static_cast<uint64_t>(draw));
        std::vector<uint32_t> batch(kRows);
        for (uint32_t i = 0; i < kRows; ++i) {
            batch[order[i]] = i / kBatch;
            ++cells[i / kBatch * 16 + order[i] / kBatch];
        }
        for (size_t d = 0; d < distances.size(); ++d)
            for (uint32_t row = 0; row + distances[d] < kRows; ++row)
                together[d] += batch[row] == batch[row + distances[d]] ? 1.0 : 0.0;
    }
    EXPECT_LT(Unevenness(cells, kDraws * kBatch / 16.0), 4.0);
    for (size_t d = 0; d < distances.size(); ++d) {
        const double pairs = static_cast<double>(kDraws) * (kRows - distances[d]);
        const double expected = pairs * (kBatch - 1) / (kRows - 1);
        EXPECT_NEAR(together[d] / expected, 1.0, 4.0 / std::sqrt(expected)) << "distance " << distances[d];
    }
}

}  // namespace
}  // namespace dlent
