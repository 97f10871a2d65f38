#include "core/features/quantile_sample.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace dlent {
namespace {

constexpr size_t kFewDistinct = 300;
constexpr int kMaxDistinctBins = 128;
constexpr int kRowBins = 32;
constexpr int kDistinctBins = 16;

/// Maps floats to integers of the same order.
uint32_t Key(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

}  // namespace

void SortFloats(std::vector<float>* values, std::vector<float>* scratch) {
    if (values->size() < 256) {
        std::sort(values->begin(), values->end());
        return;
    }
    scratch->resize(values->size());
    for (int shift = 0; shift < 32; shift += 8) {
        std::array<size_t, 257> starts{};
        for (const float value : *values)
            ++starts[(Key(value) >> shift & 255) + 1];
        for (size_t i = 1; i < starts.size(); ++i)
            starts[i] += starts[i - 1];
        for (const float value : *values)
            (*scratch)[starts[Key(value) >> shift & 255]++] = value;
        values->swap(*scratch);
    }
}

float SortedQuantile(const std::vector<float>& sorted, double quantile) {
    const double position = quantile * static_cast<double>(sorted.size() - 1);
    const size_t below = static_cast<size_t>(position);
    const size_t above = std::min(below + 1, sorted.size() - 1);
    const double share = position - static_cast<double>(below);
    return static_cast<float>(sorted[below] * (1.0 - share) + sorted[above] * share);
}

std::vector<float> EmbeddingEdges(const std::vector<float>& sorted) {
    std::vector<float> distinct;
    std::unique_copy(sorted.begin(), sorted.end(), std::back_inserter(distinct));
    std::vector<float> edges;
    auto cut = [&](const std::vector<float>& values, int bins) {
        for (int i = 0; i <= bins; ++i)
            edges.push_back(SortedQuantile(values, static_cast<double>(i) / bins));
    };
    if (distinct.size() <= kMaxDistinctBins + 1) {
        edges = distinct;
    } else if (distinct.size() <= kFewDistinct) {
        cut(distinct, kMaxDistinctBins);
    } else {
        cut(sorted, kRowBins);
        cut(distinct, kDistinctBins);
    }
    std::sort(edges.begin(), edges.end());
    edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
    return edges;
}

}  // namespace dlent
