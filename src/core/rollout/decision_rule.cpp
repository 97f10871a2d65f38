#include "core/rollout/decision_rule.h"

namespace dlent {

MetricDefinition DefineMetric(std::string_view name) {
    if (name == "log_loss" || name == "brier_score")
        return {MetricSource::kClassAndRow, false};
    if (name == "accuracy")
        return {MetricSource::kClassAndRow, true};
    if (name == "squared_error" || name == "absolute_error")
        return {MetricSource::kNumberAndRow, false};
    if (name == "score")
        return {MetricSource::kScore, std::nullopt};
    return {};
}

std::vector<const JudgedMetric*> DecisionRule::Judged() const {
    std::vector<const JudgedMetric*> judged;
    if (goal)
        judged.push_back(&*goal);
    for (const JudgedMetric& guardrail : guardrails)
        judged.push_back(&guardrail);
    return judged;
}

}  // namespace dlent
