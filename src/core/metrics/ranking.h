#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dlent {

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
