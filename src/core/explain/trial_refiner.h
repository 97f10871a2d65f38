#pragma once

#include <vector>

#include "core/base/status.h"
#include "core/explain/trial_scorer.h"

namespace dlent {

/// Makes the changes of trials that reach the target as small as they can be.
class TrialRefiner {
 public:
    explicit TrialRefiner(TrialScorer* scorer) : scorer_(*scorer), domains_(scorer->domains()) {}

    /// A trial that reaches the target; the number at `index` is drawn towards `near`, which does not.
    struct Bisection {
        Trial trial;
        int index = 0;
        double near = 0.0;
    };
    /// Halves what lies between, of all at once, until none can be halved.
    Status Bisect(std::vector<Bisection>* bisections);
    /// Draws all numbers of each trial towards the instance at once, as far as the target stays reached: a
    /// quick estimate of what a set of features can do, many sets in one pass.
    Status Contract(std::vector<Trial>* trials);
    /// Drops changes that are not needed, takes back each as far as possible, trades one for another while
    /// that helps, and rounds. The result is reached, as `trial` must be.
    Status Refine(Trial* trial);

 private:
    Status Drop(Trial* trial);
    Status Retract(Trial* trial);
    Status Trade(Trial* trial);
    Status Round(Trial* trial);

    TrialScorer& scorer_;
    const std::vector<ChangeDomain>& domains_;
};

}  // namespace dlent
