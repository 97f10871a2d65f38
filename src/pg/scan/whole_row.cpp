#include "pg/bridge/postgres.h"

#include "pg/scan/whole_row.h"

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/contract.h"
#include "pg/catalog/models.h"
#include "pg/scan/call_list.h"

extern "C" {
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
}

namespace dlent::pg {
namespace {

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
    List* range_table;
    Index scan_relation;
};

Node* ExpandCalls(Node* node, void* opaque) {
    if (node == nullptr)
        return nullptr;
    const auto* context = static_cast<ExpandContext*>(opaque);
    ScoreCall call;
    if (!IsA(node, FuncExpr) || !ParseScoreCall(node, &call) ||
        (call.digest != nullptr ? !DigestIsUsable(call.digest) : call.version == 0) ||
        list_length(call.expression->args) != call.first_feature + 1)
        return expression_tree_mutator(node, TreeMutator(ExpandCalls), opaque);
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
    const RangeTblEntry* entry = rt_fetch(context->scan_relation, context->range_table);
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

}  // namespace

void ExpandWholeRows(Plan* plan, List* range_table) {
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
    ExpandContext expand = {range_table, reinterpret_cast<Scan*>(plan)->scanrelid};
    if (expand.scan_relation == 0)
        return;
    if (ContainsScoreCall(reinterpret_cast<Node*>(plan->targetlist)))
        plan->targetlist =
            reinterpret_cast<List*>(ExpandCalls(reinterpret_cast<Node*>(plan->targetlist), &expand));
    if (ContainsScoreCall(reinterpret_cast<Node*>(plan->qual)))
        plan->qual = reinterpret_cast<List*>(ExpandCalls(reinterpret_cast<Node*>(plan->qual), &expand));
}

}  // namespace dlent::pg
