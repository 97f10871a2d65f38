#include "pg/bridge/postgres.h"

#include "pg/expectations/predicate.h"

extern "C" {
#include "catalog/namespace.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "utils/lsyscache.h"
}

namespace dlent::pg {
namespace {

struct Described {
    const char* name;
    const char* text;
};

/// Shows positions within the predicate's own text.
void DescribePredicate(void* argument) {
    const auto* const described = static_cast<const Described*>(argument);
    const int position = geterrposition();
    if (position > 0) {
        errposition(0);
        internalerrposition(position);
        internalerrquery(described->text);
    }
    errcontext("expectation \"%s\"", described->name);
}

bool FindPredictions(Node* node, void* context) {
    if (node == nullptr)
        return false;
    if (IsA(node, ColumnRef)) {
        auto* const facts = static_cast<PredicateFacts*>(context);
        auto* const last = static_cast<Node*>(llast(castNode(ColumnRef, node)->fields));
        if (IsA(last, String)) {
            const char* const name = strVal(last);
            facts->prediction |= std::strcmp(name, "prediction") == 0;
            facts->label |= std::strcmp(name, "predicted_label") == 0;
        }
        return false;
    }
    return raw_expression_tree_walker(node, TreeWalker(FindPredictions), context);
}

}  // namespace

PredicateFacts ParsePredicate(const char* name, const char* text) {
    Described described{name, text};
    ErrorContextCallback callback{error_context_stack, DescribePredicate, &described};
    error_context_stack = &callback;
    List* const statements = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
    const auto* const select = castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt);
    const ResTarget* const target =
        list_length(select->targetList) == 1 ? linitial_node(ResTarget, select->targetList) : nullptr;
    const bool star = target != nullptr && IsA(target->val, ColumnRef) &&
                      IsA(llast(castNode(ColumnRef, target->val)->fields), A_Star);
    if (target == nullptr || target->name != nullptr || star || select->distinctClause != NIL ||
        select->intoClause != nullptr || select->fromClause != NIL || select->whereClause != nullptr ||
        select->groupClause != NIL || select->havingClause != nullptr || select->windowClause != NIL ||
        select->valuesLists != NIL || select->sortClause != NIL || select->limitOffset != nullptr ||
        select->limitCount != nullptr || select->lockingClause != NIL || select->withClause != nullptr ||
        select->op != SETOP_NONE)
        ereport(ERROR,
                (errcode(ERRCODE_SYNTAX_ERROR), errmsg("a predicate must be one expression"),
                 errdetail("It is \"%s\".", text), errhint("For example: amount > 0, or count(*) >= 1000.")));
    PredicateFacts facts;
    (void)FindPredictions(target->val, &facts);
    error_context_stack = callback.previous;
    return facts;
}

const char* EffectiveSearchPath() {
    StringInfoData path;
    initStringInfo(&path);
    List* const schemas = fetch_search_path(false);
    for (int i = 0; i < list_length(schemas); ++i) {
        const char* const schema = get_namespace_name(list_nth_oid(schemas, i));
        if (schema != nullptr && !isTempNamespace(list_nth_oid(schemas, i)))
            appendStringInfo(&path, "%s, ", quote_identifier(schema));
    }
    appendStringInfoString(&path, "pg_temp");
    return path.data;
}

}  // namespace dlent::pg
