#pragma once

#include <algorithm>
#include <cstdint>

namespace dlent {

/// The operations of training on one row (forward, gradients of inputs, gradients of weights) of a network
/// with `trainable` weights, from above: all of them are counted for each of its members, as those are that
/// members share, which are nearly all.
inline double TrainingFlopsPerRow(int64_t trainable, int members) {
    return 6.0 * static_cast<double>(trainable) * members;
}

/// How many steps of so many operations may be enqueued before the host looks at what came of them: `most`,
/// but no more than a slow device does in half a second, since until then the training is neither seen to be
/// alive nor cancelled. From shapes alone, so that ranks agree.
inline int64_t StepsToEnqueue(double flops_per_step, int64_t most) {
    constexpr double kFlops = 2e12;
    const double steps = kFlops / std::max(flops_per_step, 1.0);
    return std::clamp<int64_t>(static_cast<int64_t>(std::min(steps, static_cast<double>(most))), 1, most);
}

}  // namespace dlent
