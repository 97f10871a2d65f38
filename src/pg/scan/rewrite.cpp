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

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/contract.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/models.h"
#include "pg/catalog/relations.h"
#include "pg/scan/score_call.h"
#include "pg/scan/score_scan.h"

extern "C" {
#include "access/table.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/rel.h"
}

namespace dlent::pg {
namespace {

/// Plan node numbers of ours begin here: setrefs.c numbers from 0.
constexpr int kFirstPlanNodeId = 1 << 24;

struct RewriteContext {
    PlannedStmt* statement;
    int next_plan_node_id;
};

/// What the nodes above a node ask of it.
struct Surroundings {
    bool bounded = false;  ///< a Limit above would tell a Sort below how many rows it needs
    bool marked = false;   ///< a merge join marks and restores its position
};

// ---- calls in expressions
// ----------------------------------------------------------------------------------------

/// The features can be computed by the node below: nothing volatile, no other score within, at least one
/// value that differs from row to row.
bool IsEligible(const ScoreCall& call) {
    auto* arguments = reinterpret_cast<Node*>(list_copy_tail(call.expression->args, call.first_feature));
    return (call.model == nullptr || call.version > 0) && !contain_volatile_functions(arguments) &&
           !ContainsScoreCall(arguments) && contain_var_clause(arguments);
}

/// Whether some version is there that the current user may use. A call of none fails where it runs.
bool DigestIsUsable(const char* digest) {
    FoundVersion found;
    const char* name = nullptr;
    return FindDigestIfAllowed(DigestOfText(digest), Privilege::kPredict, &found, &name);
}

/// Parses a call and finds its version when it has none yet (a function that was inlined after the pinning).
bool ParseEligible(Node* node, ScoreCall* call) {
    if (!ParseScoreCall(node, call))
        return false;
    if (call->model != nullptr && call->version == 0 && !PinVersion(call->model, 0, &call->version))
        return false;
    return IsEligible(*call) && (call->digest == nullptr || DigestIsUsable(call->digest));
}

struct CallList {
    List* calls;  ///< of ScoreCall*, distinct
    const List*
        only_shared;  ///< of ScoreCall*: when set, take only calls that share a forward pass with one of them
};

void AddCall(CallList* list, const ScoreCall& call) {
    ListCell* cell = nullptr;
    if (list->only_shared != NIL) {
        bool shared = false;
        foreach (cell, list->only_shared)
            shared = shared || ShareForwardPass(*static_cast<ScoreCall*>(lfirst(cell)), call);
        if (!shared)
            return;
    }
    foreach (cell, list->calls) {
        const auto* known = static_cast<ScoreCall*>(lfirst(cell));
        if (known->answer == call.answer && ShareForwardPass(*known, call))
            return;
    }
    auto* copy = static_cast<ScoreCall*>(palloc(sizeof(ScoreCall)));
    *copy = call;
    list->calls = lappend(list->calls, copy);
}

/// Collects the calls that are evaluated whenever the expression is.
bool CollectUnconditional(Node* node, void* context) {
    if (node == nullptr)
        return false;
    switch (nodeTag(node)) {
        case T_FuncExpr: {
            ScoreCall call;
            if (ParseEligible(node, &call)) {
                AddCall(static_cast<CallList*>(context), call);
                return false;
            }
            break;
        }
        case T_BoolExpr: {
            const auto* expression = reinterpret_cast<BoolExpr*>(node);
            if (expression->boolop == NOT_EXPR)
                break;
            return CollectUnconditional(static_cast<Node*>(linitial(expression->args)), context);
        }
        case T_CaseExpr: {
            const auto* expression = reinterpret_cast<CaseExpr*>(node);
            if (CollectUnconditional(reinterpret_cast<Node*>(expression->arg), context))
                return true;
            const auto* first = static_cast<CaseWhen*>(linitial(expression->args));
            return CollectUnconditional(reinterpret_cast<Node*>(first->expr), context);
        }
        case T_CoalesceExpr:
            return CollectUnconditional(
                static_cast<Node*>(linitial(reinterpret_cast<CoalesceExpr*>(node)->args)), context);
        case T_ArrayCoerceExpr:
            return CollectUnconditional(
                reinterpret_cast<Node*>(reinterpret_cast<ArrayCoerceExpr*>(node)->arg), context);
        case T_Aggref:
        case T_WindowFunc:
        case T_GroupingFunc:
        case T_SubPlan:
        case T_AlternativeSubPlan:
        case T_RowCompareExpr:
        case T_SubscriptingRef:
            return false;
        default:
            break;
    }
    return expression_tree_walker(node, TreeWalker(CollectUnconditional), context);
}

/// Collects all calls, conditional ones too: those whose forward pass is there anyway.
bool CollectAll(Node* node, void* context) {
    if (node == nullptr || IsA(node, Aggref) || IsA(node, WindowFunc))
        return false;
    ScoreCall call;
    if (IsA(node, FuncExpr) && ParseEligible(node, &call)) {
        AddCall(static_cast<CallList*>(context), call);
        return false;
    }
    return expression_tree_walker(node, TreeWalker(CollectAll), context);
}

/// Collects the calls in arguments of aggregates and window functions that are evaluated for every row.
bool CollectArguments(Node* node, void* context) {
    if (node == nullptr)
        return false;
    if (IsA(node, Aggref)) {
        const auto* aggregate = reinterpret_cast<Aggref*>(node);
        return aggregate->aggfilter == nullptr &&
               CollectUnconditional(reinterpret_cast<Node*>(aggregate->args), context);
    }
    if (IsA(node, WindowFunc)) {
        const auto* function = reinterpret_cast<WindowFunc*>(node);
        return function->aggfilter == nullptr &&
               CollectUnconditional(reinterpret_cast<Node*>(function->args), context);
    }
    return expression_tree_walker(node, TreeWalker(CollectArguments), context);
}

struct ReplaceContext {
    List* calls;       ///< of ScoreCall*
    int varno;         ///< of what takes their place
    int first_column;  ///< attribute of the first call's score
};

Node* ScoreVar(const ScoreCall& call, int varno, int attribute) {
    const auto* expression = reinterpret_cast<Node*>(call.expression);
    return reinterpret_cast<Node*>(makeVar(varno, static_cast<AttrNumber>(attribute), exprType(expression),
                                           exprTypmod(expression), exprCollation(expression), 0));
}

/// The column that answers the call, or null.
Node* Replacement(Node* node, const ReplaceContext& context) {
    ScoreCall call;
    if (!IsA(node, FuncExpr) || !ParseEligible(node, &call))
        return nullptr;
    int column = context.first_column;
    ListCell* cell = nullptr;
    foreach (cell, context.calls) {
        const auto* known = static_cast<ScoreCall*>(lfirst(cell));
        if (known->answer == call.answer && ShareForwardPass(*known, call))
            return ScoreVar(call, context.varno, column);
        ++column;
    }
    return nullptr;
}

Node* ReplaceCalls(Node* node, void* opaque) {
    if (node == nullptr)
        return nullptr;
    if (Node* column = Replacement(node, *static_cast<ReplaceContext*>(opaque)))
        return column;
    return expression_tree_mutator(node, TreeMutator(ReplaceCalls), opaque);
}

// ---- whole rows
// --------------------------------------------------------------------------------------------------

/// The attributes of `relation`, in the order of the version's features, as the scalar call would match them:
/// by the contract for the model's own table, else by name. Returns their count; 0 when one is missing, or
/// when the features could be taken for something else than columns.
int FeatureAttributes(const ScoreCall& call, Oid relation, AttrNumber** attributes) {
    return GuardCallback([&] {
        const VersionIdentity identity = ResolveNamed(call.model, call.version, call.digest);
        const std::shared_ptr<Scorer> scorer = AcquireScorer(identity);
        std::vector<std::string> names;
        for (const PipelineInput& input : scorer->model().pipeline.inputs())
            names.push_back(FromUtf8(input.name));
        std::vector<const char*> texts;
        for (const std::string& name : names)
            texts.push_back(name.c_str());
        const int count = static_cast<int>(texts.size());
        if (count < 2)
            return 0;
        const char* const* inputs = texts.data();
        return CallPostgres([&identity, inputs, count, relation, attributes] {
            *attributes = static_cast<AttrNumber*>(palloc0(sizeof(AttrNumber) * count));
            ContractAttributes(identity.model_id, identity.version, relation, {inputs, count}, *attributes);
            for (int i = 0; i < count; ++i) {
                if ((*attributes)[i] <= 0)
                    (*attributes)[i] = get_attnum(relation, inputs[i]);
                if ((*attributes)[i] <= 0)
                    return 0;
            }
            return count;
        });
    });
}

struct ExpandContext {
    RewriteContext* rewrite;
    Index scan_relation;
};

/// dlent_predict_version('m', 7, t) becomes dlent_predict_version('m', 7, t.a, t.b, ...): a scan then builds
/// no composite value of its row.
Node* ExpandWholeRows(Node* node, void* opaque) {
    if (node == nullptr)
        return nullptr;
    const auto* context = static_cast<ExpandContext*>(opaque);
    ScoreCall call;
    if (!IsA(node, FuncExpr) || !ParseScoreCall(node, &call) ||
        (call.digest != nullptr ? !DigestIsUsable(call.digest) : call.version == 0) ||
        list_length(call.expression->args) != call.first_feature + 1)
        return expression_tree_mutator(node, TreeMutator(ExpandWholeRows), opaque);
    auto* feature = static_cast<Node*>(list_nth(call.expression->args, call.first_feature));
    // a partition's row, as its parent's: columns are matched by the parent's names, which are the child's
    // too
    Oid row_type = InvalidOid;
    if (IsA(feature, ConvertRowtypeExpr)) {
        row_type = reinterpret_cast<ConvertRowtypeExpr*>(feature)->resulttype;
        feature = reinterpret_cast<Node*>(reinterpret_cast<ConvertRowtypeExpr*>(feature)->arg);
    }
    if (!IsA(feature, Var))
        return node;
    const auto* row = reinterpret_cast<Var*>(feature);
    if (row->varattno != 0 || row->varno != static_cast<int>(context->scan_relation))
        return node;
    const RangeTblEntry* entry = rt_fetch(context->scan_relation, context->rewrite->statement->rtable);
    if (entry->rtekind != RTE_RELATION)
        return node;
    const Oid matched = OidIsValid(row_type) ? get_typ_typrelid(row_type) : entry->relid;
    AttrNumber* attributes = nullptr;
    const int count = OidIsValid(matched) ? FeatureAttributes(call, matched, &attributes) : 0;
    if (count == 0)
        return node;
    auto* expanded = makeNode(FuncExpr);
    *expanded = *call.expression;
    expanded->funcvariadic = false;
    expanded->args = list_copy_head(call.expression->args, call.first_feature);
    for (int i = 0; i < count; ++i) {
        AttrNumber attribute = attributes[i];
        if (matched != entry->relid)
            attribute = get_attnum(entry->relid, get_attname(matched, attribute, false));
        Oid type = InvalidOid;
        int32 modifier = -1;
        Oid collation = InvalidOid;
        if (attribute <= 0)
            return node;
        get_atttypetypmodcoll(entry->relid, attribute, &type, &modifier, &collation);
        expanded->args =
            lappend(expanded->args, makeVar(row->varno, attribute, type, modifier, collation, 0));
    }
    return reinterpret_cast<Node*>(expanded);
}

List* CopyHead(const List* list, int count) {
    return list_truncate(list_copy(list), count);
}

// ---- one node
// ----------------------------------------------------------------------------------------------------

/// Builds the custom scan over a child whose output is still being decided.
struct ScanBuilder {
    List* calls;          ///< of ScoreCall*
    List* child_columns;  ///< of Expr*: what the child is to compute, in order
    List* passed;         ///< of int: attributes of the child that the scan tuple repeats after the scores
};

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

Var* VarOf(int varno, int attribute, Node* expression) {
    return makeVar(varno, static_cast<AttrNumber>(attribute), exprType(expression), exprTypmod(expression),
                   exprCollation(expression), 0);
}

/// The scan tuple's column that repeats `expression`, a value that only the child can compute.
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

/// Rewrites an expression of the node for the scan tuple. Only leaves are taken from the child; everything
/// else is computed above, when a row is emitted, exactly as often as before.
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

List* TargetList(List* expressions) {
    List* targets = NIL;
    ListCell* cell = nullptr;
    foreach (cell, expressions)
        targets = lappend(targets,
                          makeTargetEntry(static_cast<Expr*>(lfirst(cell)),
                                          static_cast<AttrNumber>(list_length(targets) + 1), nullptr, false));
    return targets;
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

Node* ToChildAttributes(Node* node, void* opaque) {
    if (node == nullptr)
        return nullptr;
    auto* builder = static_cast<ScanBuilder*>(opaque);
    if (IsA(node, Const))
        return node;
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

/// Groups the calls by forward pass and makes the plan node over `child`, of which only the output has to be
/// set: the caller does, from builder->child_columns.
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
            group->call = over_child;
            group->first_feature = call->first_feature;
            // one value alone may be a record, an array or a document: the call knows how to read those
            group->columns = call->model_parameter == nullptr && !over_child->funcvariadic &&
                             list_length(over_child->args) > call->first_feature + 1;
            for (int i = call->first_feature; i < list_length(over_child->args); ++i)
                group->columns = group->columns && IsA(list_nth(over_child->args, i), Var);
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
    return MakeScoreScan(child, groups, columns, passed, TargetList(scan_expressions), ScoreBatchRows(1));
}

/// Gives the node above what it knew about the node below.
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

/// Sets the child's output to the columns that the builder asks for; a table's stored tuple when that will
/// do. Returns where each asked column is then, or null when it is where it was asked.
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

/// Filters above a window function's node decide when it stops; those of a node that only passes rows can
/// move up.
bool FilterCanMove(const Plan* node) {
    return !IsA(node, WindowAgg);
}

bool CanProject(Plan* node) {
    return IsA(node, CustomScan) || is_projection_capable_plan(node);
}

/// Takes the calls of the first stage (one filter, or else the targetlist) out of `node`, which can project,
/// and goes on until no stage is left. `node` itself becomes the child; the result takes its place.
Plan* BatchNode(Plan* node, RewriteContext* context) {
    CallList found = {NIL, NIL};
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

    ScanBuilder builder = {found.calls, NIL, NIL};
    // features first: the builder's columns must be complete before the child's output is set
    ListCell* cell = nullptr;
    foreach (cell, builder.calls)
        CallOverChild(*static_cast<ScoreCall*>(lfirst(cell)), &builder);
    List* targets = LiftTargets(node->targetlist, &builder);
    List* lifted = NIL;
    for (int i = first_lifted; i < list_length(node->qual); ++i)
        lifted = lappend(lifted, LiftExpression(static_cast<Node*>(list_nth(node->qual, i)), &builder));
    node->qual = CopyHead(node->qual, first_lifted);
    const AttrNumber* renumbered = SetChildOutput(node, builder, *context);
    CustomScan* scan = FinishScan(&builder, node, renumbered);
    scan->scan.plan.targetlist = targets;
    scan->scan.plan.qual = lifted;
    CopyPlanInfo(&scan->scan.plan, node, context);
    return BatchNode(&scan->scan.plan, context);
}

// ---- calls inside aggregates
// -------------------------------------------------------------------------------------

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
        return CanProject(plan) && !IsA(plan, CustomScan) && !plan->async_capable;
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

/// Scores what `node`, an Agg or WindowAgg, aggregates: its child's output is extended by the scores.
void BatchArguments(Plan* node, RewriteContext* context) {
    CallList found = {NIL, NIL};
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
    foreach (cell, builder.calls)
        CallOverChild(*static_cast<ScoreCall*>(lfirst(cell)), &builder);
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
    CustomScan* scan = FinishScan(&builder, child, nullptr);
    scan->scan.plan.targetlist = targets;
    CopyPlanInfo(&scan->scan.plan, child, context);
    outerPlan(node) = &scan->scan.plan;
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
    CallList found = {NIL, NIL};
    CollectUnconditional(const_cast<Node*>(targets), &found);
    if (found.calls == NIL)
        return &limit->plan;
    ScanBuilder builder = {found.calls, NIL, NIL};
    ListCell* cell = nullptr;
    foreach (cell, builder.calls)
        CallOverChild(*static_cast<ScoreCall*>(lfirst(cell)), &builder);
    List* lifted = LiftTargets(child->targetlist, &builder);
    child->targetlist = TargetList(builder.child_columns);
    List* passed_on = NIL;
    int attribute = 1;
    foreach (cell, builder.child_columns)
        passed_on = lappend(passed_on, VarOf(OUTER_VAR, attribute++, static_cast<Node*>(lfirst(cell))));
    limit->plan.targetlist = TargetList(passed_on);
    CustomScan* scan = FinishScan(&builder, &limit->plan, nullptr);
    scan->scan.plan.targetlist = lifted;
    CopyPlanInfo(&scan->scan.plan, &limit->plan, context);
    return BatchNode(&scan->scan.plan, context);
}

/// Scans of tables spell out whole rows before anything is batched.
void ExpandScan(Plan* plan, RewriteContext* context) {
    switch (nodeTag(plan)) {
        case T_SeqScan:
        case T_SampleScan:
        case T_IndexScan:
        case T_BitmapHeapScan:
        case T_TidScan:
        case T_TidRangeScan:
        case T_ForeignScan:
            break;
        default:
            return;
    }
    ExpandContext expand = {context, reinterpret_cast<Scan*>(plan)->scanrelid};
    if (expand.scan_relation == 0)
        return;
    if (ContainsScoreCall(reinterpret_cast<Node*>(plan->targetlist)))
        plan->targetlist =
            reinterpret_cast<List*>(ExpandWholeRows(reinterpret_cast<Node*>(plan->targetlist), &expand));
    if (ContainsScoreCall(reinterpret_cast<Node*>(plan->qual)))
        plan->qual = reinterpret_cast<List*>(ExpandWholeRows(reinterpret_cast<Node*>(plan->qual), &expand));
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
    ExpandScan(plan, context);
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

}  // namespace

void BatchScoreCalls(PlannedStmt* statement, int cursor_options) {
    // rows that are locked or changed may be read again, one by one
    if ((statement->commandType != CMD_SELECT && statement->commandType != CMD_INSERT) ||
        statement->rowMarks != NIL || statement->hasModifyingCTE)
        return;
    RewriteContext context = {statement, kFirstPlanNodeId};
    const bool scrolls = (cursor_options & CURSOR_OPT_SCROLL) != 0;
    Plan* top = statement->planTree;
    statement->planTree = Rewrite(top, {}, &context);
    if (scrolls && !ExecSupportsBackwardScan(statement->planTree))
        statement->planTree = materialize_finished_plan(statement->planTree);
    RewriteList(statement->subplans, {}, &context);
}

bool HasScoreCalls(PlannedStmt* statement) {
    return PlanHasScoreCalls(statement->planTree) || AnyHasScoreCalls(statement->subplans);
}

}  // namespace dlent::pg
