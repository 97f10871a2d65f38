#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/rollout/comparison.h"
#include "core/rollout/decision_rule.h"

namespace dlent {

/// One question about a rollout.
struct RolloutCheck {
    /// sample_ratio, duration, deadline; of an arm: finite, error_rate, latency, outcomes, expectations,
    /// goal, guardrail.
    std::string name;
    int arm = -1;  ///< index in RolloutNumbers::arms; −1: of the rollout
    CheckStatus status = CheckStatus::kInconclusive;
    Json numbers;
    std::string sentence;  ///< UTF-8
};

/// What should become of a rollout.
enum class Decision { kAdvance, kHold, kWait, kRollBack };
const char* DecisionName(Decision decision);

struct Verdict {
    Decision decision = Decision::kWait;
    std::string reason;  ///< UTF-8, one or more sentences
    int arm = -1;        ///< to advance: index of the treatment that has passed, the best of several
    std::vector<RolloutCheck> checks;
};

/// Advance: duration, sample ratio and every check of a treatment pass. Roll back: a treatment's answers are
/// not finite, fail too often or take too long, a guardrail is surely beyond its margin, all treatments
/// surely miss the goal, or the deadline is over. Hold, for somebody to look: the sample ratio is wrong, an
/// expectation is broken, or a metric cannot be computed. Otherwise wait: silence is no consent. The first of
/// advance, roll back, hold that applies is the verdict.
Verdict JudgeRollout(const RolloutNumbers& numbers, const DecisionRule& rule);

/// {"verdict", "reason", "arm", "version", "checks": [{"check", "arm", "status", "sentence", ...}]}
Json VerdictJson(const Verdict& verdict, const RolloutNumbers& numbers);

}  // namespace dlent
