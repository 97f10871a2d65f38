#pragma once

#include <string>

#include "core/base/json.h"
#include "core/features/task.h"
#include "core/rollout/decision_rule.h"
#include "pg/bridge/error.h"

namespace dlent::pg {

/// The rule of a rollout, and how often it is applied by itself.
struct DecisionOptions {
    DecisionRule rule;
    double check = 0.0;  ///< seconds; 0: never

    /// As stored: every key is there, spans of time in seconds.
    Json ToJson() const;
};

/// Takes the keys of a decision out of the options of a rollout, as a user wrote them or as ToJson() did.
/// 22023 for what does not fit. Keys that are left are for the caller.
DecisionOptions TakeDecisionOptions(Json* options);
extern const char* const kDecisionKeys;

/// 22023 for a rule with a metric that this task's answers cannot give, or that does not tell a shadow from
/// the champion.
void CheckDecisionRule(const DecisionRule& rule, Task task, bool shadow);

/// 22023 for a computed metric that this task's answers cannot give.
void CheckMetric(const std::string& metric, Task task);

}  // namespace dlent::pg
