#include "pg/bridge/postgres.h"

#include "pg/scan/score_plan.h"

extern "C" {
#include "nodes/value.h"
}

namespace dlent::pg {
namespace {

Node* OptionalString(const char* text) {
    return reinterpret_cast<Node*>(makeString(pstrdup(text == nullptr ? "" : text)));
}

const char* TextOrNull(void* string) {
    const char* text = strVal(string);
    return text[0] == '\0' ? nullptr : text;
}

/// As strings: a node of a number like 1 would be read as one of another kind.
List* EncodeRollout(const RolloutPlan* rollout) {
    if (rollout == nullptr)
        return NIL;
    return list_make4(makeString(psprintf("%lld", static_cast<long long>(rollout->id))),
                      makeString(pstrdup(rollout->mode)), makeString(psprintf("%.17g", rollout->share)),
                      rollout->versions);
}

const RolloutPlan* DecodeRollout(const List* encoded) {
    if (encoded == NIL)
        return nullptr;
    auto* rollout = static_cast<RolloutPlan*>(palloc0(sizeof(RolloutPlan)));
    rollout->id = std::strtoll(strVal(linitial(encoded)), nullptr, 10);
    rollout->mode = strVal(lsecond(encoded));
    rollout->share = std::strtod(strVal(lthird(encoded)), nullptr);
    rollout->versions = static_cast<List*>(lfourth(encoded));
    return rollout;
}

}  // namespace

List* EncodeScorePlan(const ScorePlan& plan) {
    List* groups = NIL;
    List* columns = NIL;
    ListCell* cell = nullptr;
    foreach (cell, plan.groups) {
        const auto* group = static_cast<ScoreGroup*>(lfirst(cell));
        groups = lappend(groups, list_make5(OptionalString(group->model), OptionalString(group->digest),
                                            list_make4_int(group->version, group->first_feature,
                                                           group->columns ? 1 : 0, group->named ? 1 : 0),
                                            group->call, EncodeRollout(group->rollout)));
    }
    foreach (cell, plan.columns) {
        const auto* column = static_cast<ScoreColumn*>(lfirst(cell));
        columns = lappend(columns, list_make2_int(column->group, static_cast<int>(column->answer)));
    }
    return list_make4(groups, columns, plan.passed, makeInteger(plan.batch_rows));
}

ScorePlan DecodeScorePlan(const List* encoded) {
    ScorePlan plan = {};
    ListCell* cell = nullptr;
    foreach (cell, static_cast<List*>(linitial(encoded))) {
        auto* parts = static_cast<List*>(lfirst(cell));
        auto* numbers = static_cast<List*>(lthird(parts));
        auto* group = static_cast<ScoreGroup*>(palloc0(sizeof(ScoreGroup)));
        group->model = TextOrNull(linitial(parts));
        group->digest = TextOrNull(lsecond(parts));
        group->version = linitial_int(numbers);
        group->first_feature = lsecond_int(numbers);
        group->columns = lthird_int(numbers) != 0;
        group->named = lfourth_int(numbers) != 0;
        group->call = static_cast<FuncExpr*>(lfourth(parts));
        group->rollout = DecodeRollout(static_cast<List*>(list_nth(parts, 4)));
        plan.groups = lappend(plan.groups, group);
    }
    foreach (cell, static_cast<List*>(lsecond(encoded))) {
        auto* numbers = static_cast<List*>(lfirst(cell));
        auto* column = static_cast<ScoreColumn*>(palloc0(sizeof(ScoreColumn)));
        column->group = linitial_int(numbers);
        column->answer = static_cast<Answer>(lsecond_int(numbers));
        plan.columns = lappend(plan.columns, column);
    }
    plan.passed = static_cast<List*>(lthird(encoded));
    plan.batch_rows = intVal(lfourth(encoded));
    return plan;
}

}  // namespace dlent::pg
