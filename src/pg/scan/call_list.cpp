#include "pg/bridge/postgres.h"

#include "pg/scan/call_list.h"

#include "pg/bridge/error.h"
#include "pg/catalog/digest.h"
#include "pg/catalog/lookup.h"

extern "C" {
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
}

namespace dlent::pg {
namespace {

/// The features can be computed by the node below: nothing volatile, no other score within, at least one
/// value that differs from row to row.
bool IsEligible(const ScoreCall& call) {
    auto* arguments = reinterpret_cast<Node*>(list_copy_tail(call.expression->args, call.first_feature));
    return (call.model == nullptr || call.version > 0 || call.rollout != nullptr) &&
           !contain_volatile_functions(arguments) && !ContainsScoreCall(arguments) &&
           contain_var_clause(arguments);
}

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

}  // namespace

bool DigestIsUsable(const char* digest) {
    FoundVersion found;
    const char* name = nullptr;
    return FindDigestIfAllowed(DigestOfText(digest), Privilege::kPredict, &found, &name);
}

bool ParseEligible(Node* node, ScoreCall* call) {
    if (!ParseScoreCall(node, call))
        return false;
    if (call->model != nullptr && call->version == 0) {
        const CallMeaning meaning = MeaningOf(call->model, 0);
        call->version = meaning.version;
        call->rollout = meaning.rollout;
    }
    return IsEligible(*call) && (call->digest == nullptr || DigestIsUsable(call->digest));
}

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

Node* ScoreVar(const ScoreCall& call, int varno, int attribute) {
    const auto* expression = reinterpret_cast<Node*>(call.expression);
    return reinterpret_cast<Node*>(makeVar(varno, static_cast<AttrNumber>(attribute), exprType(expression),
                                           exprTypmod(expression), exprCollation(expression), 0));
}

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

}  // namespace dlent::pg
