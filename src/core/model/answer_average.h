#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "core/features/target.h"

namespace dlent {

/// Averages the members' answers and turns them into the target's terms. Sums run in the order of the
/// members.
class AnswerAverage {
 public:
    AnswerAverage(const TargetEncoder& target, float temperature)
        : target_(target), inverse_temperature_(1.0f / temperature) {}

    /// Adds what one member's logits say to the row's `sums`.
    void Add(const float* logits, float* sums) const {
        const int outputs = target_.output_count();
        switch (target_.task()) {
            case Task::kBinary:
                sums[0] += 1.0f / (1.0f + std::exp(-logits[0] * inverse_temperature_));
                break;
            case Task::kMulticlass: {
                const float highest = *std::max_element(logits, logits + outputs);
                float total = 0.0f;
                for (int c = 0; c < outputs; ++c)
                    total += std::exp((logits[c] - highest) * inverse_temperature_);
                for (int c = 0; c < outputs; ++c)
                    sums[c] += std::exp((logits[c] - highest) * inverse_temperature_) / total;
                break;
            }
            default:
                sums[0] += logits[0];
        }
    }
    /// Turns the sums of `members` members into the row's answer.
    void Finish(size_t members, float* sums) const {
        for (int c = 0; c < target_.output_count(); ++c)
            sums[c] /= static_cast<float>(members);
        if (target_.task() == Task::kRegression)
            sums[0] = target_.Decode(sums[0]);
    }

 private:
    const TargetEncoder& target_;
    float inverse_temperature_;
};

}  // namespace dlent
