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

}  // namespace

List* EncodeScorePlan(const ScorePlan& plan) {
    List* groups = NIL;
    List* columns = NIL;
    ListCell* cell = nullptr;
    foreach (cell, plan.groups) {
        const auto* group = static_cast<ScoreGroup*>(lfirst(cell));
        groups = lappend(
            groups, list_make4(OptionalString(group->model), OptionalString(group->digest),
                               list_make3_int(group->version, group->first_feature, group->columns ? 1 : 0),
                               group->call));
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
        group->call = static_cast<FuncExpr*>(lfourth(parts));
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
