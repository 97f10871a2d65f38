// What a scoring call costs, so that the planner applies cheap filters first and knows when parallel workers
// pay. That the function has a support function also loads this library while the first statement is planned.

#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/catalog/lookup.h"
#include "pg/scan/score_call.h"

extern "C" {
#include "nodes/supportnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
}

namespace dlent::pg {
namespace {

/// In units of a plain operator, which takes some 8 ns: what a row's features cost to read, and a microsecond
/// in the model.
constexpr double kOperatorsPerCall = 30.0;
constexpr double kOperatorsPerMicrosecond = 125.0;
/// Where a version was not measured: bytes of weights that are worked through in a microsecond.
constexpr double kWeightBytesPerMicrosecond = 300e3;

double Microseconds(const FoundVersion& version) {
    return version.score_us > 0.0 ? version.score_us
                                  : static_cast<double>(version.weights_bytes) / kWeightBytesPerMicrosecond;
}

/// What a row costs while a rollout is under way: each arm as often as it is asked.
double Microseconds(const FoundRollout& rollout) {
    double total = 0.0;
    double weights = 0.0;
    for (int i = 0; i < rollout.arm_count; ++i)
        weights += rollout.arms[i].weight;
    double champion = 1.0;
    for (int i = 1; i < rollout.arm_count; ++i) {
        const FoundArm& arm = rollout.arms[i];
        const double share = arm.shadow ? rollout.coverage : rollout.coverage * arm.weight / weights;
        total += share * Microseconds(arm.version);
        champion -= arm.shadow ? 0.0 : share;
    }
    return total + champion * Microseconds(rollout.arms[0].version);
}

Node* AnswerCostRequest(SupportRequestCost* request) {
    ScoreCall call;
    if (request->node == nullptr || !ParseScoreCall(request->node, &call))
        return nullptr;
    FoundVersion found;
    const char* name = nullptr;
    const bool allowed =
        call.digest != nullptr
            ? FindDigestIfAllowed(DigestOfText(call.digest), Privilege::kPredict, &found, &name)
            : call.model != nullptr &&
                  FindVersionIfAllowed(call.model, call.version, Privilege::kPredict, &found);
    if (!allowed)
        return nullptr;
    request->startup = 0;
    double microseconds = Microseconds(found);
    if (call.digest == nullptr && call.version == 0 && found.model.rollout != 0) {
        FoundRollout rollout;
        FindRollout(found.model, &rollout);
        microseconds = Microseconds(rollout);
    }
    request->per_tuple = cpu_operator_cost * (kOperatorsPerCall + kOperatorsPerMicrosecond * microseconds);
    return reinterpret_cast<Node*>(request);
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_score_support) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] {
        auto* request = reinterpret_cast<Node*>(PG_GETARG_POINTER(0));
        Node* answer = IsA(request, SupportRequestCost)
                           ? AnswerCostRequest(reinterpret_cast<SupportRequestCost*>(request))
                           : nullptr;
        return PointerGetDatum(answer);
    });
}
