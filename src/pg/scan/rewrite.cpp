// The rewrite works on plans that standard_planner() has finished, since only there every call has found its
// place: below Sort, above Limit, in a filter, inside an aggregate. It moves no rows and changes no order.
//
//   node N                        Custom Scan (DlentScore)
//     targetlist: f(score), x       targetlist: f(score), x       over the scan tuple [score | x]
//     filter: cheap, score > c      filter: score > c
//                                   -> node N
//                                        targetlist: the call's features, x
//                                        filter: cheap

#include "pg/bridge/postgres.h"

#include "pg/scan/rewrite.h"

#include <algorithm>

#include "pg/scan/call_list.h"
#include "pg/scan/rewrite_arguments.h"
#include "pg/scan/scan_builder.h"
#include "pg/scan/whole_row.h"

extern "C" {
#include "executor/executor.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
}

namespace dlent::pg {
namespace {

/// Plan node numbers of ours begin here: setrefs.c numbers from 0.
constexpr int kFirstPlanNodeId = 1 << 24;

/// What the nodes above a node ask of it.
struct Surroundings {
    bool bounded = false;  ///< a Limit above would tell a Sort below how many rows it needs
    bool marked = false;   ///< a merge join marks and restores its position
};

// ---- one node
// ----------------------------------------------------------------------------------------------------

List* CopyHead(const List* list, int count) {
    return list_truncate(list_copy(list), count);
}

/// Filters above a window function's node decide when it stops; those of a node that only passes rows can
/// move up.
bool FilterCanMove(const Plan* node) {
    return !IsA(node, WindowAgg);
}

bool CanProject(Plan* node) {
    return IsA(node, CustomScan) || is_projection_capable_plan(node);
}

/// What calls in a node's filter cost. How many rows come to a filter no plan says, but the cost of the node
/// itself does.
double CostInFilter(const Plan* node, double cost_per_row) {
    const double below = (outerPlan(node) != nullptr ? outerPlan(node)->total_cost : 0.0) +
                         (innerPlan(node) != nullptr ? innerPlan(node)->total_cost : 0.0);
    const double own = std::max(node->total_cost - below, 0.0);
    return own * cost_per_row / (cost_per_row + cpu_tuple_cost);
}

/// Takes the calls of the first stage (one filter, or else the targetlist) out of `node`, which can project,
/// and goes on until no stage is left. `node` itself becomes the child; the result takes its place.
Plan* BatchNode(Plan* node, RewriteContext* context) {
    CallList found;
    int first_lifted = list_length(node->qual);
    if (FilterCanMove(node)) {
        int position = 0;
        ListCell* cell = nullptr;
        foreach (cell, node->qual) {
            CollectUnconditional(static_cast<Node*>(lfirst(cell)), &found);
            if (found.calls != NIL) {
                first_lifted = position;
                break;
            }
            ++position;
        }
    }
    if (found.calls == NIL) {
        CollectUnconditional(reinterpret_cast<Node*>(node->targetlist), &found);
    } else {
        found.only_shared = list_copy(found.calls);
        CollectAll(reinterpret_cast<Node*>(node->qual), &found);
        CollectAll(reinterpret_cast<Node*>(node->targetlist), &found);
    }
    if (found.calls == NIL)
        return node;

    // features first: the builder's columns must be complete before the child's output is set
    ScanBuilder builder = BeginScan(found.calls);
    List* targets = LiftTargets(node->targetlist, &builder);
    List* lifted = NIL;
    for (int i = first_lifted; i < list_length(node->qual); ++i)
        lifted = lappend(lifted, LiftExpression(static_cast<Node*>(list_nth(node->qual, i)), &builder));
    node->qual = CopyHead(node->qual, first_lifted);
    const double cost_per_row = CostPerRow(found.calls);
    context->batched_cost +=
        lifted == NIL ? cost_per_row * node->plan_rows : CostInFilter(node, cost_per_row);
    const AttrNumber* renumbered = SetChildOutput(node, builder, *context);
    CustomScan* scan = FinishScan(&builder, node, renumbered);
    scan->scan.plan.targetlist = targets;
    scan->scan.plan.qual = lifted;
    CopyPlanInfo(&scan->scan.plan, node, context);
    return BatchNode(&scan->scan.plan, context);
}

// ---- the tree
// ----------------------------------------------------------------------------------------------------

Plan* Rewrite(Plan* plan, Surroundings above, RewriteContext* context);

void RewriteList(List* plans, Surroundings above, RewriteContext* context) {
    ListCell* cell = nullptr;
    foreach (cell, plans)
        lfirst(cell) = Rewrite(static_cast<Plan*>(lfirst(cell)), above, context);
}

/// Whether a Sort below would be told about a Limit above, through nodes that pass rows one by one.
bool ReachesSort(const Plan* plan) {
    while (plan != nullptr) {
        if (IsA(plan, Sort) || IsA(plan, IncrementalSort))
            return true;
        if (IsA(plan, SubqueryScan))
            plan = reinterpret_cast<const SubqueryScan*>(plan)->subplan;
        else if (IsA(plan, Result) || IsA(plan, Gather) || IsA(plan, GatherMerge))
            plan = outerPlan(plan);
        else
            return IsA(plan, Append) || IsA(plan, MergeAppend);
    }
    return false;
}

/// A Limit whose child computes scores only for what it returns: the scores are computed above it, in one
/// batch, and a Sort below keeps to the rows that are wanted.
Plan* RewriteLimit(Limit* limit, RewriteContext* context) {
    Plan* child = outerPlan(limit);
    const auto* targets = reinterpret_cast<Node*>(child->targetlist);
    if (limit->limitOption != LIMIT_OPTION_COUNT || !CanProject(child) ||
        ContainsScoreCall(reinterpret_cast<Node*>(child->qual)) ||
        !ContainsScoreCall(const_cast<Node*>(targets)))
        return &limit->plan;
    CallList found;
    CollectUnconditional(const_cast<Node*>(targets), &found);
    if (found.calls == NIL)
        return &limit->plan;
    ScanBuilder builder = BeginScan(found.calls);
    List* lifted = LiftTargets(child->targetlist, &builder);
    child->targetlist = TargetList(builder.child_columns);
    List* passed_on = NIL;
    int attribute = 1;
    ListCell* cell = nullptr;
    foreach (cell, builder.child_columns)
        passed_on = lappend(passed_on, VarOf(OUTER_VAR, attribute++, static_cast<Node*>(lfirst(cell))));
    limit->plan.targetlist = TargetList(passed_on);
    context->batched_cost += CostPerRow(found.calls) * limit->plan.plan_rows;
    CustomScan* scan = FinishScan(&builder, &limit->plan, nullptr);
    scan->scan.plan.targetlist = lifted;
    CopyPlanInfo(&scan->scan.plan, &limit->plan, context);
    return BatchNode(&scan->scan.plan, context);
}

bool MayBatch(Plan* plan, Surroundings above) {
    if (above.marked || !is_projection_capable_plan(plan))
        return false;
    switch (nodeTag(plan)) {
        case T_CustomScan:
        case T_ModifyTable:
        case T_ProjectSet:
            return false;
        case T_Result:
        case T_SubqueryScan:
            // one row, or rows that a Limit wants to reach a Sort through
            return (IsA(plan, SubqueryScan) || outerPlan(plan) != nullptr) &&
                   !(above.bounded && ReachesSort(plan));
        case T_ForeignScan:
            // an Append may run it asynchronously, and then reads it without us
            return !plan->async_capable;
        default:
            return true;
    }
}

Plan* Rewrite(Plan* plan, Surroundings above, RewriteContext* context) {
    if (plan == nullptr)
        return nullptr;
    check_stack_depth();
    if (IsA(plan, Limit)) {
        if (Plan* hoisted = RewriteLimit(reinterpret_cast<Limit*>(plan), context); hoisted != plan) {
            outerPlan(plan) = Rewrite(outerPlan(plan), {true, false}, context);
            return hoisted;
        }
    }
    // what a node aggregates is scored by its child
    if ((IsA(plan, Agg) && reinterpret_cast<Agg*>(plan)->chain == NIL) || IsA(plan, WindowAgg))
        BatchArguments(plan, context);
    Surroundings below;
    switch (nodeTag(plan)) {
        case T_Limit:
            below.bounded = true;
            break;
        case T_Gather:
        case T_GatherMerge:
        case T_Result:
            below = above;
            break;
        case T_Append:
            RewriteList(reinterpret_cast<Append*>(plan)->appendplans, above, context);
            break;
        case T_MergeAppend:
            RewriteList(reinterpret_cast<MergeAppend*>(plan)->mergeplans, above, context);
            break;
        case T_SubqueryScan:
            reinterpret_cast<SubqueryScan*>(plan)->subplan =
                Rewrite(reinterpret_cast<SubqueryScan*>(plan)->subplan, above, context);
            break;
        case T_MergeJoin:
            innerPlan(plan) = Rewrite(innerPlan(plan), {false, true}, context);
            outerPlan(plan) = Rewrite(outerPlan(plan), {}, context);
            break;
        case T_NestLoop:
            // an inner side that is looked up for each outer row has few rows at a time
            if (reinterpret_cast<NestLoop*>(plan)->nestParams == NIL)
                innerPlan(plan) = Rewrite(innerPlan(plan), {}, context);
            outerPlan(plan) = Rewrite(outerPlan(plan), {}, context);
            break;
        case T_Memoize:
        case T_ForeignScan:
            break;
        default:
            break;
    }
    if (!IsA(plan, MergeJoin) && !IsA(plan, NestLoop) && !IsA(plan, Memoize) && !IsA(plan, ForeignScan)) {
        outerPlan(plan) = Rewrite(outerPlan(plan), below, context);
        innerPlan(plan) = Rewrite(innerPlan(plan), {}, context);
    }
    ExpandWholeRows(plan, context->statement->rtable);
    return MayBatch(plan, above) ? BatchNode(plan, context) : plan;
}

// ---- what is left
// ------------------------------------------------------------------------------------------------

bool PlanHasScoreCalls(Plan* plan);

bool AnyHasScoreCalls(const List* plans) {
    ListCell* cell = nullptr;
    foreach (cell, plans) {
        if (PlanHasScoreCalls(static_cast<Plan*>(lfirst(cell))))
            return true;
    }
    return false;
}

bool PlanHasScoreCalls(Plan* plan) {
    if (plan == nullptr)
        return false;
    check_stack_depth();
    if (ContainsScoreCall(reinterpret_cast<Node*>(plan->targetlist)) ||
        ContainsScoreCall(reinterpret_cast<Node*>(plan->qual)))
        return true;
    List* children = NIL;
    switch (nodeTag(plan)) {
        case T_Append:
            children = reinterpret_cast<Append*>(plan)->appendplans;
            break;
        case T_MergeAppend:
            children = reinterpret_cast<MergeAppend*>(plan)->mergeplans;
            break;
        case T_SubqueryScan:
            children = list_make1(reinterpret_cast<SubqueryScan*>(plan)->subplan);
            break;
        case T_CustomScan:
            children = reinterpret_cast<CustomScan*>(plan)->custom_plans;
            break;
        case T_NestLoop:
        case T_MergeJoin:
        case T_HashJoin:
            if (ContainsScoreCall(reinterpret_cast<Node*>(reinterpret_cast<Join*>(plan)->joinqual)))
                return true;
            break;
        default:
            break;
    }
    return AnyHasScoreCalls(children) || PlanHasScoreCalls(outerPlan(plan)) ||
           PlanHasScoreCalls(innerPlan(plan));
}

/// The planner has expressions compiled (JIT) where the plan costs much. Networks, which are most of the
/// cost, gain nothing from that, and it takes 100 ms: what is left of the plan decides, by
/// standard_planner()'s rule.
void CompileIfItPays(PlannedStmt* statement, double batched_cost) {
    const double rest = statement->planTree->total_cost - batched_cost;
    if (jit_above_cost < 0 || rest <= jit_above_cost)
        statement->jitFlags = PGJIT_NONE;
    if (jit_optimize_above_cost < 0 || rest <= jit_optimize_above_cost)
        statement->jitFlags &= ~PGJIT_OPT3;
    if (jit_inline_above_cost < 0 || rest <= jit_inline_above_cost)
        statement->jitFlags &= ~PGJIT_INLINE;
}

}  // namespace

void BatchScoreCalls(PlannedStmt* statement, int cursor_options) {
    // rows that are locked or changed may be read again, one by one
    if ((statement->commandType != CMD_SELECT && statement->commandType != CMD_INSERT) ||
        statement->rowMarks != NIL || statement->hasModifyingCTE)
        return;
    RewriteContext context = {statement, kFirstPlanNodeId, 0.0};
    const bool scrolls = (cursor_options & CURSOR_OPT_SCROLL) != 0;
    Plan* top = statement->planTree;
    statement->planTree = Rewrite(top, {}, &context);
    if (scrolls && !ExecSupportsBackwardScan(statement->planTree))
        statement->planTree = materialize_finished_plan(statement->planTree);
    RewriteList(statement->subplans, {}, &context);
    CompileIfItPays(statement, context.batched_cost);
}

bool HasScoreCalls(PlannedStmt* statement) {
    return PlanHasScoreCalls(statement->planTree) || AnyHasScoreCalls(statement->subplans);
}

}  // namespace dlent::pg
