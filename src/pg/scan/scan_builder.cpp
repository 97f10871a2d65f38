#include "pg/bridge/postgres.h"

#include "pg/scan/scan_builder.h"

#include "pg/scan/score_batches.h"
#include "pg/scan/score_scan.h"

extern "C" {
#include "access/table.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/rel.h"
}

namespace dlent::pg {
namespace {

/// The attribute of the child that holds `expression`; a new one when there is none.
int ChildColumn(ScanBuilder* builder, Node* expression) {
    int attribute = 1;
    ListCell* cell = nullptr;
    foreach (cell, builder->child_columns) {
        if (equal(lfirst(cell), expression))
            return attribute;
        ++attribute;
    }
    builder->child_columns = lappend(builder->child_columns, expression);
    return attribute;
}

/// A scan that may return its tuples as they are stored does so when its output is all columns of the table,
/// in order. Null when it cannot, or has other things to compute.
List* StoredTuple(const Plan* node, const List* child_columns, const RewriteContext& context) {
    switch (nodeTag(node)) {
        case T_SeqScan:
        case T_SampleScan:
        case T_IndexScan:
        case T_BitmapHeapScan:
        case T_TidScan:
        case T_TidRangeScan:
            break;
        default:
            return NIL;
    }
    const Index scan_relation = reinterpret_cast<const Scan*>(node)->scanrelid;
    ListCell* cell = nullptr;
    foreach (cell, child_columns) {
        const auto* column = static_cast<Node*>(lfirst(cell));
        if (!IsA(column, Var) || reinterpret_cast<const Var*>(column)->varattno <= 0)
            return NIL;
    }
    const RangeTblEntry* entry = rt_fetch(scan_relation, context.statement->rtable);
    Relation relation = table_open(entry->relid, NoLock);
    TupleDesc columns = RelationGetDescr(relation);
    List* expressions = NIL;
    for (int i = 0; i < columns->natts; ++i) {
        const FormData_pg_attribute* column = TupleDescAttr(columns, i);
        if (column->attisdropped || column->atthasmissing) {
            expressions = NIL;
            break;
        }
        expressions =
            lappend(expressions, makeVar(static_cast<int>(scan_relation), column->attnum, column->atttypid,
                                         column->atttypmod, column->attcollation, 0));
    }
    table_close(relation, NoLock);
    return expressions;
}

/// A row that is spelt out, whose columns have names: a record's features without the record.
bool IsNamedRow(Node* node) {
    if (!IsA(node, RowExpr))
        return false;
    const auto* row = reinterpret_cast<RowExpr*>(node);
    if (row->row_typeid != RECORDOID || row->args == NIL ||
        list_length(row->colnames) != list_length(row->args))
        return false;
    ListCell* cell = nullptr;
    foreach (cell, row->args) {
        if (IsA(lfirst(cell), Const))
            return false;
    }
    return true;
}

Node* ToChildAttributes(Node* node, void* opaque) {
    if (node == nullptr)
        return nullptr;
    auto* builder = static_cast<ScanBuilder*>(opaque);
    if (IsA(node, Const))
        return node;
    if (IsNamedRow(node)) {
        auto* row = makeNode(RowExpr);
        *row = *reinterpret_cast<RowExpr*>(node);
        row->args = NIL;
        ListCell* cell = nullptr;
        foreach (cell, reinterpret_cast<RowExpr*>(node)->args)
            row->args = lappend(row->args, ToChildAttributes(static_cast<Node*>(lfirst(cell)), opaque));
        return reinterpret_cast<Node*>(row);
    }
    const int attribute = ChildColumn(builder, node);
    return reinterpret_cast<Node*>(VarOf(OUTER_VAR, attribute, node));
}

/// The call with its features as Vars of the child's output; constants stay.
FuncExpr* CallOverChild(const ScoreCall& call, ScanBuilder* builder) {
    auto* over_child = makeNode(FuncExpr);
    *over_child = *call.expression;
    over_child->args = NIL;
    int position = 0;
    ListCell* cell = nullptr;
    foreach (cell, call.expression->args) {
        auto* argument = static_cast<Node*>(lfirst(cell));
        over_child->args =
            lappend(over_child->args,
                    position++ < call.first_feature ? argument : ToChildAttributes(argument, builder));
    }
    return over_child;
}

Node* RenumberOuter(Node* node, void* opaque) {
    if (node == nullptr)
        return nullptr;
    if (IsA(node, Var)) {
        const auto* numbers = static_cast<AttrNumber*>(opaque);
        auto* renumbered = static_cast<Var*>(copyObjectImpl(node));
        renumbered->varattno = numbers[renumbered->varattno - 1];
        return reinterpret_cast<Node*>(renumbered);
    }
    return expression_tree_mutator(node, TreeMutator(RenumberOuter), opaque);
}

}  // namespace

Var* VarOf(int varno, int attribute, Node* expression) {
    return makeVar(varno, static_cast<AttrNumber>(attribute), exprType(expression), exprTypmod(expression),
                   exprCollation(expression), 0);
}

List* TargetList(List* expressions) {
    List* targets = NIL;
    ListCell* cell = nullptr;
    foreach (cell, expressions)
        targets = lappend(targets,
                          makeTargetEntry(static_cast<Expr*>(lfirst(cell)),
                                          static_cast<AttrNumber>(list_length(targets) + 1), nullptr, false));
    return targets;
}

ScanBuilder BeginScan(List* calls) {
    ScanBuilder builder = {calls, NIL, NIL};
    AddFeatures(&builder);
    return builder;
}

void AddFeatures(ScanBuilder* builder) {
    ListCell* cell = nullptr;
    foreach (cell, builder->calls)
        CallOverChild(*static_cast<ScoreCall*>(lfirst(cell)), builder);
}

Node* PassThrough(ScanBuilder* builder, Node* expression) {
    const int attribute = ChildColumn(builder, expression);
    int column = list_length(builder->calls) + 1;
    ListCell* cell = nullptr;
    foreach (cell, builder->passed) {
        if (lfirst_int(cell) == attribute)
            return reinterpret_cast<Node*>(VarOf(INDEX_VAR, column, expression));
        ++column;
    }
    builder->passed = lappend_int(builder->passed, attribute);
    return reinterpret_cast<Node*>(VarOf(INDEX_VAR, column, expression));
}

Node* LiftExpression(Node* node, void* opaque) {
    if (node == nullptr)
        return nullptr;
    auto* builder = static_cast<ScanBuilder*>(opaque);
    if (Node* column = Replacement(node, {builder->calls, INDEX_VAR, 1}))
        return column;
    switch (nodeTag(node)) {
        case T_Var:
        case T_Aggref:
        case T_WindowFunc:
        case T_GroupingFunc:
            return PassThrough(builder, node);
        default:
            return expression_tree_mutator(node, TreeMutator(LiftExpression), opaque);
    }
}

List* LiftTargets(List* targets, ScanBuilder* builder) {
    List* lifted = NIL;
    ListCell* cell = nullptr;
    foreach (cell, targets) {
        auto* target = flatCopyTargetEntry(static_cast<TargetEntry*>(lfirst(cell)));
        target->expr =
            reinterpret_cast<Expr*>(LiftExpression(reinterpret_cast<Node*>(target->expr), builder));
        lifted = lappend(lifted, target);
    }
    return lifted;
}

double CostPerRow(const List* calls) {
    double total = 0.0;
    ListCell* cell = nullptr;
    foreach (cell, calls) {
        QualCost cost;
        cost_qual_eval_node(&cost, reinterpret_cast<Node*>(static_cast<ScoreCall*>(lfirst(cell))->expression),
                            nullptr);
        total += cost.per_tuple;
    }
    return total;
}

AttrNumber* SetChildOutput(Plan* child, const ScanBuilder& builder, const RewriteContext& context) {
    List* stored = StoredTuple(child, builder.child_columns, context);
    if (stored == NIL) {
        child->targetlist = TargetList(builder.child_columns);
        return nullptr;
    }
    child->targetlist = TargetList(stored);
    auto* numbers = static_cast<AttrNumber*>(
        palloc(sizeof(AttrNumber) * std::max(list_length(builder.child_columns), 1)));
    int column = 0;
    ListCell* cell = nullptr;
    foreach (cell, builder.child_columns)
        numbers[column++] = static_cast<Var*>(lfirst(cell))->varattno;
    return numbers;
}

CustomScan* FinishScan(ScanBuilder* builder, Plan* child, const AttrNumber* renumbered) {
    List* groups = NIL;
    List* columns = NIL;
    List* leaders = NIL;  // of ScoreCall*: the first call of each group
    List* scan_expressions = NIL;
    ListCell* cell = nullptr;
    foreach (cell, builder->calls) {
        const auto* call = static_cast<ScoreCall*>(lfirst(cell));
        FuncExpr* over_child = CallOverChild(*call, builder);
        if (renumbered != nullptr)
            over_child = reinterpret_cast<FuncExpr*>(
                RenumberOuter(reinterpret_cast<Node*>(over_child), const_cast<AttrNumber*>(renumbered)));
        scan_expressions = lappend(scan_expressions, over_child);
        auto* column = static_cast<ScoreColumn*>(palloc0(sizeof(ScoreColumn)));
        column->answer = call->answer;
        column->group = 0;
        ListCell* leader = nullptr;
        foreach (leader, leaders) {
            if (ShareForwardPass(*static_cast<ScoreCall*>(lfirst(leader)), *call))
                break;
            ++column->group;
        }
        if (column->group == list_length(leaders)) {
            leaders = lappend(leaders, lfirst(cell));
            auto* group = static_cast<ScoreGroup*>(palloc0(sizeof(ScoreGroup)));
            group->model = call->model;
            group->digest = call->digest;
            group->version = call->version;
            group->rollout = call->rollout;
            group->call = over_child;
            group->first_feature = call->first_feature;
            // one value alone may be a record, an array or a document: the call knows how to read those
            group->columns = call->model_parameter == nullptr && !over_child->funcvariadic &&
                             list_length(over_child->args) > call->first_feature + 1;
            for (int i = call->first_feature; i < list_length(over_child->args); ++i)
                group->columns = group->columns && IsA(list_nth(over_child->args, i), Var);
            group->named = list_length(over_child->args) == call->first_feature + 1 &&
                           IsNamedRow(static_cast<Node*>(llast(over_child->args)));
            groups = lappend(groups, group);
        }
        columns = lappend(columns, column);
    }
    List* passed = NIL;
    foreach (cell, builder->passed) {
        auto* expression = static_cast<Node*>(list_nth(builder->child_columns, lfirst_int(cell) - 1));
        const int attribute = renumbered != nullptr ? renumbered[lfirst_int(cell) - 1] : lfirst_int(cell);
        passed = lappend_int(passed, attribute);
        scan_expressions = lappend(scan_expressions, VarOf(OUTER_VAR, attribute, expression));
    }
    return MakeScoreScan(child, {groups, columns, passed, ScoreBatchRows(1)}, TargetList(scan_expressions));
}

void CopyPlanInfo(Plan* to, const Plan* from, RewriteContext* context) {
    to->startup_cost = from->startup_cost;
    to->total_cost = from->total_cost;
    to->plan_rows = from->plan_rows;
    to->plan_width = from->plan_width;
    to->parallel_safe = from->parallel_safe;
    to->extParam = bms_copy(from->extParam);
    to->allParam = bms_copy(from->allParam);
    to->plan_node_id = context->next_plan_node_id++;
}

}  // namespace dlent::pg
