#include "pg/bridge/postgres.h"

#include "pg/scan/pin.h"

#include "pg/scan/score_call.h"

extern "C" {
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/datum.h"
}

namespace dlent::pg {
namespace {

/// One model named in the statement: looked up once.
struct Pin {
    const char* model;
    int version;  ///< as written
    int pinned;   ///< 0 when the call would fail, or takes part in a rollout
};

struct PinContext {
    ParamListInfo parameters;
    List* pins;  ///< of Pin*
};

bool FindInQuery(Node* node, void* context) {
    if (node == nullptr)
        return false;
    if (IsA(node, Query))
        return query_tree_walker(reinterpret_cast<Query*>(node), TreeWalker(FindInQuery), context, 0);
    if (IsA(node, FuncExpr) &&
        ScoreFunctionOf(reinterpret_cast<FuncExpr*>(node)->funcid) != ScoreFunction::kNone)
        return true;
    return expression_tree_walker(node, TreeWalker(FindInQuery), context);
}

bool FindVariable(Node* node, void* context) {
    if (node == nullptr)
        return false;
    return IsA(node, Var) || IsA(node, Param) || IsA(node, SubLink) ||
           expression_tree_walker(node, TreeWalker(FindVariable), context);
}

/// A custom plan is made for the values of its parameters: the model's name among them.
FuncExpr* WithModelConstant(FuncExpr* call, ParamListInfo parameters) {
    auto* model = static_cast<Node*>(linitial(call->args));
    if (parameters == nullptr || !IsA(model, Param))
        return call;
    const auto* parameter = reinterpret_cast<Param*>(model);
    if (parameter->paramkind != PARAM_EXTERN || parameter->paramid < 1 ||
        parameter->paramid > parameters->numParams)
        return call;
    ParamExternData workspace;
    const ParamExternData* value =
        parameters->paramFetch != nullptr
            ? parameters->paramFetch(parameters, parameter->paramid, true, &workspace)
            : &parameters->params[parameter->paramid - 1];
    if (value->ptype != parameter->paramtype || (value->pflags & PARAM_FLAG_CONST) == 0 || value->isnull)
        return call;
    auto* copy = makeNode(FuncExpr);
    *copy = *call;
    copy->args = list_copy(call->args);
    linitial(copy->args) = makeConst(parameter->paramtype, parameter->paramtypmod, parameter->paramcollid, -1,
                                     datumCopy(value->value, false, -1), false, false);
    return copy;
}

int PinnedVersion(const ScoreCall& call, PinContext* context) {
    ListCell* cell = nullptr;
    foreach (cell, context->pins) {
        const auto* pin = static_cast<Pin*>(lfirst(cell));
        if (pin->version == call.version && std::strcmp(pin->model, call.model) == 0)
            return pin->pinned;
    }
    auto* pin = static_cast<Pin*>(palloc0(sizeof(Pin)));
    pin->model = call.model;
    pin->version = call.version;
    pin->pinned = MeaningOf(call.model, call.version).version;
    context->pins = lappend(context->pins, pin);
    return pin->pinned;
}

Node* Mutate(Node* node, void* opaque) {
    if (node == nullptr)
        return nullptr;
    auto* context = static_cast<PinContext*>(opaque);
    if (IsA(node, Query))
        return reinterpret_cast<Node*>(
            query_tree_mutator(reinterpret_cast<Query*>(node), TreeMutator(Mutate), opaque, 0));
    node = expression_tree_mutator(node, TreeMutator(Mutate), opaque);
    if (!IsA(node, FuncExpr) ||
        ScoreFunctionOf(reinterpret_cast<FuncExpr*>(node)->funcid) == ScoreFunction::kNone)
        return node;
    FuncExpr* expression = WithModelConstant(reinterpret_cast<FuncExpr*>(node), context->parameters);
    ScoreCall call;
    // an immutable call of constants would be computed by the planner, and kept with the plan
    if (!ParseScoreCall(reinterpret_cast<Node*>(expression), &call) || call.model == nullptr ||
        !FindVariable(reinterpret_cast<Node*>(expression->args), nullptr))
        return node;
    const int version = PinnedVersion(call, context);
    return version > 0 ? reinterpret_cast<Node*>(PinnedCall(call, version)) : node;
}

}  // namespace

bool PinVersions(Query* query, ParamListInfo parameters) {
    if (!query_tree_walker(query, TreeWalker(FindInQuery), nullptr, 0))
        return false;
    PinContext context = {parameters, NIL};
    query_tree_mutator(query, TreeMutator(Mutate), &context, QTW_DONT_COPY_QUERY);
    return true;
}

}  // namespace dlent::pg
