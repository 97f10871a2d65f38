// The table of what jobs can do.

#include "pg/bridge/postgres.h"

#include "pg/workers/job_action.h"

namespace dlent::pg {
namespace {

const JobAction* const kActions[] = {
    &kTrainAction,
    &kEvaluateAction,
    &kMonitorAction,
    &kCheckRolloutAction,
};

}  // namespace

const JobAction& FindAction(const std::string& name) {
    std::string known;
    for (const JobAction* action : kActions) {
        if (name == action->name)
            return *action;
        known += (known.empty() ? "" : ", ") + std::string(action->name);
    }
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "unknown action \"" + name + "\"", {},
                   "Actions are " + known + ".");
}

}  // namespace dlent::pg
