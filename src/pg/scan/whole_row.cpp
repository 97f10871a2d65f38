#include "pg/bridge/postgres.h"

#include "pg/scan/whole_row.h"

#include <algorithm>

#include "pg/bridge/containment.h"
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

/// A column of a whole row that a call reads.
struct RowColumn {
    const char* name;      ///< as the versions know it
    AttrNumber attribute;  ///< of the row's type; 0: there is none
};
struct RowColumns {
    RowColumn* list = nullptr;
    int count = 0;
};

/// Columns of `relation` as the scalar call would match them: by the version's contract for the model's own
/// table, else by name.
RowColumns MatchColumns(const VersionIdentity& version, Oid relation, const std::vector<std::string>& names) {
    std::vector<const char*> texts;
    for (const std::string& name : names)
        texts.push_back(name.c_str());
    const char* const* inputs = texts.data();
    const int count = static_cast<int>(texts.size());
    return CallPostgres([&version, inputs, count, relation] {
        RowColumns columns = {static_cast<RowColumn*>(palloc0(sizeof(RowColumn) * (count + 1))), count};
        auto* attributes = static_cast<AttrNumber*>(palloc0(sizeof(AttrNumber) * (count + 1)));
        ContractAttributes(version.model_id, version.version, relation, {inputs, count}, attributes);
        for (int i = 0; i < count; ++i) {
            const AttrNumber attribute = attributes[i] > 0 ? attributes[i] : get_attnum(relation, inputs[i]);
            columns.list[i] = {pstrdup(inputs[i]), std::max<AttrNumber>(attribute, 0)};
        }
        return columns;
    });
}

std::vector<std::string> InputNames(const VersionIdentity& version) {
    const std::shared_ptr<Scorer> scorer = AcquireScorer(version);
    std::vector<std::string> names;
    for (const PipelineInput& input : scorer->model().pipeline.inputs())
        names.push_back(FromUtf8(input.name));
    return names;
}

/// What one version reads, in the order of its features. Nothing when a column is missing, or when the
/// features could be taken for something else than columns.
RowColumns ColumnsOfVersion(const ScoreCall& call, Oid relation) {
    return GuardCallback([&]() -> RowColumns {
        const VersionIdentity version = ResolveNamed(call.model, call.version, call.digest).champion();
        const RowColumns columns = MatchColumns(version, relation, InputNames(version));
        const bool complete = std::all_of(columns.list, columns.list + columns.count,
                                          [](const RowColumn& column) { return column.attribute > 0; });
        return complete && columns.count >= 2 ? columns : RowColumns{};
    });
}

/// Adds to `all` what is there of `columns`. False when two arms call different columns by one name.
bool AddColumns(const RowColumns& columns, std::vector<RowColumn>* all) {
    for (int i = 0; i < columns.count; ++i) {
        const RowColumn& column = columns.list[i];
        if (column.attribute == 0)
            continue;
        const auto known = std::find_if(all->begin(), all->end(), [&](const RowColumn& other) {
            return std::strcmp(other.name, column.name) == 0;
        });
        if (known == all->end())
            all->push_back(column);
        else if (known->attribute != column.attribute)
            return false;
    }
    return true;
}

/// Columns that a call reads besides the features: units and keys.
std::vector<std::string> NamedTexts(const ResolvedModel& model) {
    std::vector<std::string> names;
    for (const std::string* name : {&model.unit, &model.observation.unit, &model.observation.key}) {
        if (!name->empty())
            names.push_back(*name);
    }
    return names;
}

/// Whether a call of one version is read by name, for the unit and key that are recorded with its answers.
bool IsReadByName(const ScoreCall& call) {
    return GuardCallback([&call] {
        return call.digest == nullptr && !NamedTexts(ResolveNamed(call.model, call.version, nullptr)).empty();
    });
}

/// What the arms of a rollout, or a version whose answers are recorded, read by name, unit and key too.
/// Columns that are missing are left out, to be missed where the arm that needs them reads its first row.
/// Nothing when the row had better stay as it is.
RowColumns ColumnsByName(const ScoreCall& call, Oid relation) {
    return GuardCallback([&]() -> RowColumns {
        const ResolvedModel model = ResolveNamed(call.model, call.version, nullptr);
        std::vector<RowColumn> all;
        if (!AddColumns(MatchColumns(model.champion(), relation, NamedTexts(model)), &all))
            return {};
        for (const ResolvedArm& arm : model.arms) {
            // what is wrong with an arm is for the rows to find out that it answers
            std::vector<std::string> names;
            Containment containment;
            containment.Open();
            const bool failed = containment.Run([&] { names = InputNames(arm.version); }) != nullptr;
            containment.Close();
            if ((failed && !arm.shadow) || !AddColumns(MatchColumns(arm.version, relation, names), &all))
                return {};
        }
        return CallPostgres([&all] {
            RowColumns columns = {static_cast<RowColumn*>(palloc(sizeof(RowColumn) * (all.size() + 1))),
                                  static_cast<int>(all.size())};
            std::copy(all.begin(), all.end(), columns.list);
            return columns;
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
    if (!IsA(node, FuncExpr) || !ParseScoreCall(node, &call) || call.model_parameter != nullptr ||
        (call.digest != nullptr && !DigestIsUsable(call.digest)) ||
        list_length(call.expression->args) != call.first_feature + 1)
        return expression_tree_mutator(node, TreeMutator(ExpandCalls), opaque);
    const bool takes_part =
        call.model != nullptr && call.version == 0 && MeaningOf(call.model, 0).rollout != nullptr;
    if (call.model != nullptr && call.version == 0 && !takes_part)
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
    if (!OidIsValid(matched))
        return node;
    const bool by_name = takes_part || IsReadByName(call);
    const RowColumns columns = by_name ? ColumnsByName(call, matched) : ColumnsOfVersion(call, matched);
    if (columns.count == 0)
        return node;
    List* values = NIL;
    List* names = NIL;
    for (int i = 0; i < columns.count; ++i) {
        AttrNumber attribute = columns.list[i].attribute;
        if (matched != entry->relid)
            attribute = get_attnum(entry->relid, get_attname(matched, attribute, false));
        Oid type = InvalidOid;
        int32 modifier = -1;
        Oid collation = InvalidOid;
        if (attribute <= 0)
            return node;
        get_atttypetypmodcoll(entry->relid, attribute, &type, &modifier, &collation);
        values = lappend(values, makeVar(row->varno, attribute, type, modifier, collation, 0));
        names = lappend(names, makeString(const_cast<char*>(columns.list[i].name)));
    }
    if (by_name) {
        auto* spelt_out = makeNode(RowExpr);
        spelt_out->args = values;
        spelt_out->row_typeid = RECORDOID;
        spelt_out->row_format = COERCE_IMPLICIT_CAST;
        spelt_out->colnames = names;
        spelt_out->location = -1;
        values = list_make1(spelt_out);
    }
    auto* expanded = makeNode(FuncExpr);
    *expanded = *call.expression;
    expanded->funcvariadic = false;
    expanded->args = list_concat(list_copy_head(call.expression->args, call.first_feature), values);
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
