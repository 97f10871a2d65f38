#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace dlent {

/// A total order of numbers that may be NaN: those come first, below all others.
inline bool IsBelow(double a, double b) {
    return std::isnan(a) ? !std::isnan(b) : a < b;
}

/// The rows above each distinct score, from the highest score down: what every ranking metric is made of.
struct RankedCounts {
    struct Step {
        float score = 0.0f;  ///< rows with this score or more are counted
        double positives = 0.0;
        double negatives = 0.0;
    };
    std::vector<Step> steps;
    double positives = 0.0;
    double negatives = 0.0;
};

RankedCounts RankScores(std::span<const float> scores, std::span<const int32_t> labels,
                        std::span<const float> weights);

}  // namespace dlent
