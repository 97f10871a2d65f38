#include "pg/bridge/postgres.h"

#include "pg/scan/rewrite_arguments.h"

extern "C" {
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planmain.h"
#include "optimizer/tlist.h"
}

namespace dlent::pg {
namespace {

struct SubstituteContext {
    List* child_targets;
};

/// An expression over the child's output, as one over the child's own input.
Node* Substitute(Node* node, void* opaque) {
    if (node == nullptr)
        return nullptr;
    if (IsA(node, Var) && reinterpret_cast<Var*>(node)->varno == OUTER_VAR) {
        const auto* context = static_cast<SubstituteContext*>(opaque);
        const auto* target = static_cast<TargetEntry*>(
            list_nth(context->child_targets, reinterpret_cast<Var*>(node)->varattno - 1));
        return static_cast<Node*>(copyObjectImpl(target->expr));
    }
    return expression_tree_mutator(node, TreeMutator(Substitute), opaque);
}

struct UsedColumn {
    int attribute;
};

bool UsesOuterColumn(Node* node, void* opaque) {
    if (node == nullptr)
        return false;
    if (IsA(node, Var))
        return reinterpret_cast<Var*>(node)->varno == OUTER_VAR &&
               reinterpret_cast<Var*>(node)->varattno == static_cast<UsedColumn*>(opaque)->attribute;
    return expression_tree_walker(node, TreeWalker(UsesOuterColumn), opaque);
}

bool IsGroupingColumn(const Plan* node, int attribute) {
    int count = 0;
    const AttrNumber* columns = nullptr;
    const AttrNumber* more = nullptr;
    int more_count = 0;
    if (IsA(node, Agg)) {
        count = reinterpret_cast<const Agg*>(node)->numCols;
        columns = reinterpret_cast<const Agg*>(node)->grpColIdx;
    } else {
        const auto* window = reinterpret_cast<const WindowAgg*>(node);
        count = window->partNumCols;
        columns = window->partColIdx;
        more = window->ordColIdx;
        more_count = window->ordNumCols;
    }
    for (int i = 0; i < count; ++i) {
        if (columns[i] == attribute)
            return true;
    }
    for (int i = 0; i < more_count; ++i) {
        if (more[i] == attribute)
            return true;
    }
    return false;
}

/// Whether an Agg or WindowAgg reads a column of its child.
bool UsesColumn(Plan* node, int attribute) {
    UsedColumn used = {attribute};
    return IsGroupingColumn(node, attribute) ||
           UsesOuterColumn(reinterpret_cast<Node*>(node->targetlist), &used) ||
           UsesOuterColumn(reinterpret_cast<Node*>(node->qual), &used) ||
           (IsA(node, WindowAgg) &&
            UsesOuterColumn(reinterpret_cast<Node*>(reinterpret_cast<WindowAgg*>(node)->runCondition),
                            &used));
}

/// Whether calls over the plan's output can be computed where its rows come from.
bool CanAppendCalls(Plan* plan) {
    if (!IsA(plan, Append))
        return is_projection_capable_plan(plan) && !IsA(plan, CustomScan) && !plan->async_capable;
    ListCell* cell = nullptr;
    foreach (cell, reinterpret_cast<Append*>(plan)->appendplans) {
        if (!CanAppendCalls(static_cast<Plan*>(lfirst(cell))))
            return false;
    }
    return true;
}

void AppendTarget(Plan* plan, Node* expression) {
    plan->targetlist =
        lappend(plan->targetlist,
                makeTargetEntry(reinterpret_cast<Expr*>(expression),
                                static_cast<AttrNumber>(list_length(plan->targetlist) + 1), nullptr, false));
}

/// Extends the plan's output by calls that are given over it; those who compute the rows are batched later,
/// like any node.
void AppendCalls(Plan* plan, const List* calls) {
    ListCell* cell = nullptr;
    if (IsA(plan, Append)) {
        foreach (cell, reinterpret_cast<Append*>(plan)->appendplans)
            AppendCalls(static_cast<Plan*>(lfirst(cell)), calls);
        foreach (cell, calls)
            AppendTarget(plan, ScoreVar(*static_cast<ScoreCall*>(lfirst(cell)), OUTER_VAR,
                                        list_length(plan->targetlist) + 1));
        return;
    }
    SubstituteContext substitute = {plan->targetlist};
    plan->targetlist = list_copy(plan->targetlist);
    foreach (cell, calls)
        AppendTarget(plan,
                     Substitute(reinterpret_cast<Node*>(static_cast<ScoreCall*>(lfirst(cell))->expression),
                                &substitute));
}

/// Puts a NULL in the place of a column that nobody reads any more.
void ForgetColumn(Plan* plan, int attribute) {
    ListCell* target_cell = list_nth_cell(plan->targetlist, attribute - 1);
    auto* target = static_cast<TargetEntry*>(lfirst(target_cell));
    auto* expression = reinterpret_cast<Node*>(target->expr);
    if (IsA(plan, Append)) {
        ListCell* cell = nullptr;
        foreach (cell, reinterpret_cast<Append*>(plan)->appendplans)
            ForgetColumn(static_cast<Plan*>(lfirst(cell)), attribute);
        return;
    }
    target = flatCopyTargetEntry(target);
    target->expr = reinterpret_cast<Expr*>(
        makeNullConst(exprType(expression), exprTypmod(expression), exprCollation(expression)));
    lfirst(target_cell) = target;
}

}  // namespace

void BatchArguments(Plan* node, RewriteContext* context) {
    CallList found;
    CollectArguments(reinterpret_cast<Node*>(node->targetlist), &found);
    CollectArguments(reinterpret_cast<Node*>(node->qual), &found);
    if (found.calls == NIL)
        return;
    Plan* child = outerPlan(node);
    const int width = list_length(child->targetlist);
    ReplaceContext replace = {found.calls, OUTER_VAR, width + 1};
    node->targetlist =
        reinterpret_cast<List*>(ReplaceCalls(reinterpret_cast<Node*>(node->targetlist), &replace));
    node->qual = reinterpret_cast<List*>(ReplaceCalls(reinterpret_cast<Node*>(node->qual), &replace));

    if (CanAppendCalls(child)) {
        AppendCalls(child, found.calls);
        // what only the calls wanted (a whole row, above all) need not be passed up any more
        for (int i = 1; i <= width; ++i) {
            if (!UsesColumn(node, i))
                ForgetColumn(child, i);
        }
        return;
    }

    // The child's output is what it is: features that are columns of it can be read from there.
    ScanBuilder builder = {found.calls, NIL, NIL};
    ListCell* cell = nullptr;
    foreach (cell, child->targetlist) {
        auto* target = static_cast<TargetEntry*>(lfirst(cell));
        builder.child_columns = lappend(
            builder.child_columns, VarOf(OUTER_VAR, target->resno, reinterpret_cast<Node*>(target->expr)));
    }
    AddFeatures(&builder);
    List* targets = NIL;
    for (int i = 0; i < width; ++i) {
        auto* target = flatCopyTargetEntry(static_cast<TargetEntry*>(list_nth(child->targetlist, i)));
        target->expr = reinterpret_cast<Expr*>(
            PassThrough(&builder, static_cast<Node*>(list_nth(builder.child_columns, i))));
        targets = lappend(targets, target);
    }
    int column = 1;
    foreach (cell, builder.calls) {
        const auto* call = static_cast<ScoreCall*>(lfirst(cell));
        targets = lappend(targets,
                          makeTargetEntry(reinterpret_cast<Expr*>(ScoreVar(*call, INDEX_VAR, column++)),
                                          static_cast<AttrNumber>(list_length(targets) + 1), nullptr, false));
    }
    if (list_length(builder.child_columns) > width) {
        // features that have to be computed first
        Result* result = makeNode(Result);
        CopyPlanInfo(&result->plan, child, context);
        outerPlan(result) = child;
        result->plan.targetlist = TargetList(builder.child_columns);
        child = &result->plan;
    }
    context->batched_cost += CostPerRow(builder.calls) * child->plan_rows;
    CustomScan* scan = FinishScan(&builder, child, nullptr);
    scan->scan.plan.targetlist = targets;
    CopyPlanInfo(&scan->scan.plan, child, context);
    outerPlan(node) = &scan->scan.plan;
}

}  // namespace dlent::pg
