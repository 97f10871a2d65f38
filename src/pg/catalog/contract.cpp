#include "pg/catalog/contract.h"

#include <algorithm>

#include "pg/bridge/compat_rare.h"
#include "pg/catalog/relations.h"
#include "pg/catalog/writer.h"

extern "C" {
#include "access/genam.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_rewrite.h"
#include "commands/comment.h"
#include "commands/tablecmds.h"
#include "commands/view.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parsetree.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
}

namespace dlent::pg {
namespace {

const char* ContractName(int64_t model_id, int version) {
    return psprintf("contract_%lld_%d", static_cast<long long>(model_id), version);
}

Oid FindContract(int64_t model_id, int version) {
    return get_relname_relid(ContractName(model_id, version), GetCatalogRelations().schema);
}

Query* Analyse(const char* text) {
    List* statements = pg_parse_query(text);
    if (list_length(statements) != 1)
        ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("the source must be one SELECT")));
    return parse_analyze_fixedparams(linitial_node(RawStmt, statements), text, nullptr, 0, nullptr);
}

bool IsInput(const char* name, const ContractInputs& inputs) {
    return std::any_of(inputs.names, inputs.names + inputs.count,
                       [name](const char* input) { return std::strcmp(input, name) == 0; });
}

bool Refers(List* clause, Index reference) {
    ListCell* cell;
    foreach (cell, clause)
        if (lfirst_node(SortGroupClause, cell)->tleSortGroupRef == reference)
            return true;
    return false;
}

/// Whether a column decides which rows there are, or how others are computed.
bool IsNeeded(const Query* query, const TargetEntry* entry) {
    const Index reference = entry->ressortgroupref;
    if (reference == 0)
        return false;
    bool needed = Refers(query->sortClause, reference) || Refers(query->groupClause, reference);
    ListCell* cell;
    foreach (cell, query->windowClause) {
        const auto* window = lfirst_node(WindowClause, cell);
        needed =
            needed || Refers(window->partitionClause, reference) || Refers(window->orderClause, reference);
    }
    return needed;
}

/// Leaves out what does not bear on the inputs: other columns, and an order of rows that no LIMIT makes a
/// choice of.
void ReduceTo(const ContractInputs& inputs, Query* query) {
    if (query->setOperations != nullptr || query->distinctClause != NIL)
        return;
    if (query->limitCount == nullptr && query->limitOffset == nullptr)
        query->sortClause = NIL;
    List* kept = NIL;
    List* hidden = NIL;
    ListCell* cell;
    foreach (cell, query->targetList) {
        auto* entry = lfirst_node(TargetEntry, cell);
        if (!entry->resjunk && IsInput(entry->resname, inputs)) {
            kept = lappend(kept, entry);
        } else if (IsNeeded(query, entry)) {
            entry->resjunk = true;
            hidden = lappend(hidden, entry);
        }
    }
    query->targetList = list_concat(kept, hidden);
    AttrNumber number = 0;
    foreach (cell, query->targetList)
        lfirst_node(TargetEntry, cell)->resno = ++number;
}

/// The columns of a view over `query`; NIL when one is of a type that no column can have.
List* ColumnsOf(Query* query) {
    List* columns = NIL;
    ListCell* cell;
    foreach (cell, query->targetList) {
        const auto* entry = lfirst_node(TargetEntry, cell);
        if (entry->resjunk)
            continue;
        Node* value = reinterpret_cast<Node*>(entry->expr);
        const Oid type = exprType(value);
        if (get_typtype(type) == TYPTYPE_PSEUDO)
            return NIL;
        Oid collation = exprCollation(value);
        if (type_is_collatable(type) && !OidIsValid(collation))
            collation = DEFAULT_COLLATION_OID;
        columns = lappend(columns, makeColumnDef(entry->resname, type, exprTypmod(value), collation));
    }
    return columns;
}

}  // namespace

Query* AnalyseContract(const char* source, Oid relation, const ContractInputs& inputs) {
    if (OidIsValid(relation)) {
        const char* schema = get_namespace_name(get_rel_namespace(relation));
        source = psprintf("SELECT * FROM %s", quote_qualified_identifier(schema, get_rel_name(relation)));
    }
    Query* query = Analyse(source);
    if (query->commandType != CMD_SELECT || query->utilityStmt != nullptr)
        ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("the source must be one SELECT")));
    if (UsesTemporaryRelation(query)) {
        ereport(
            NOTICE,
            (errmsg(
                "the source is temporary, so nothing keeps the input columns of this version as they are")));
        return nullptr;
    }
    ReduceTo(inputs, query);
    return ColumnsOf(query) == NIL ? nullptr : query;
}

void CreateContract(int64_t model_id, int version, const char* model, Oid owner, Query* query) {
    const CatalogRelations& catalog = GetCatalogRelations();
    if (query == nullptr)
        query = Analyse("SELECT NULL::pg_catalog.bool AS nothing");

    CreateStmt* statement = makeNode(CreateStmt);
    statement->relation =
        makeRangeVar(pstrdup("dlent"), const_cast<char*>(ContractName(model_id, version)), -1);
    statement->tableElts = ColumnsOf(query);
    statement->oncommit = ONCOMMIT_NOOP;
    const ObjectAddress view = DefineRelation(statement, RELKIND_VIEW, InvalidOid, nullptr, nullptr);
    CommandCounterIncrement();
    StoreViewQuery(view.objectId, query, false);
    CommandCounterIncrement();
    CreateComments(
        view.objectId, RelationRelationId, 0,
        psprintf("Input columns of version %d of model \"%s\": keeps them from being dropped or retyped",
                 version, model));
    ATExecChangeOwner(view.objectId, owner, true, AccessExclusiveLock);

    ObjectAddress extension;
    ObjectAddressSet(extension, ExtensionRelationId, catalog.extension);
    recordDependencyOn(&view, &extension, DEPENDENCY_AUTO_EXTENSION);
    CommandCounterIncrement();
}

void DropContract(int64_t model_id, int version) {
    ObjectAddress view;
    ObjectAddressSet(view, RelationRelationId, FindContract(model_id, version));
    if (OidIsValid(view.objectId))
        performDeletion(&view, DROP_RESTRICT, 0);
}

void TieContracts() {
    const CatalogRelations& catalog = GetCatalogRelations();
    const Parameter parameters[] = {Of(OIDOID, ObjectIdGetDatum(catalog.schema))};
    const uint64_t strays = Execute(
        "SELECT c.oid FROM pg_catalog.pg_class AS c "
        "WHERE c.relnamespace = $1 AND c.relkind = 'v' AND c.relname ~ '^contract_[0-9]+_[0-9]+$' "
        "AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d "
        "    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid "
        "    AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'x')",
        parameters);
    ObjectAddress extension;
    ObjectAddressSet(extension, ExtensionRelationId, catalog.extension);
    for (uint64_t i = 0; i < strays; ++i) {
        ObjectAddress view;
        ObjectAddressSet(view, RelationRelationId, DatumGetObjectId(Result(i, 1)));
        recordDependencyOn(&view, &extension, DEPENDENCY_AUTO_EXTENSION);
    }
}

void AdoptContracts() {
    TieContracts();
    const Parameter parameters[] = {Of(OIDOID, ObjectIdGetDatum(GetCatalogRelations().schema))};
    Execute(
        "UPDATE dlent.model AS m SET owner = c.relowner "
        "FROM dlent.version AS v, pg_catalog.pg_class AS c "
        "WHERE v.model_id = m.id AND c.relnamespace = $1 "
        "AND c.relname = pg_catalog.format('contract_%s_%s', m.id, v.number) AND c.relowner <> m.owner",
        parameters);
}

void ContractAttributes(int64_t model_id, int version, Oid relation, const ContractInputs& inputs,
                        AttrNumber* attributes) {
    std::fill(attributes, attributes + inputs.count, AttrNumber{0});
    const Oid view = FindContract(model_id, version);
    if (!OidIsValid(view))
        return;
    // The rule is read as it is stored, without opening the view: scoring waits for nobody who is dropping
    // it.
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_rewrite_ev_class, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(view));
    Relation rules = table_open(RewriteRelationId, AccessShareLock);
    SysScanDesc scan = systable_beginscan(rules, RewriteRelRulenameIndexId, true, nullptr, 1, &key);
    HeapTuple rule = systable_getnext(scan);
    bool is_null = true;
    const Datum action =
        rule == nullptr ? Datum{0}
                        : heap_getattr(rule, Anum_pg_rewrite_ev_action, RelationGetDescr(rules), &is_null);
    List* queries = is_null ? NIL : static_cast<List*>(stringToNode(TextDatumGetCString(action)));
    systable_endscan(scan);
    table_close(rules, AccessShareLock);

    const Query* query = queries == NIL ? nullptr : linitial_node(Query, queries);
    ListCell* cell;
    foreach (cell, query == nullptr ? NIL : query->targetList) {
        const auto* entry = lfirst_node(TargetEntry, cell);
        if (entry->resjunk || !IsA(entry->expr, Var))
            continue;
        const Var* column = castNode(Var, entry->expr);
        const RangeTblEntry* table =
            column->varlevelsup == 0 ? rt_fetch(column->varno, query->rtable) : nullptr;
        if (table == nullptr || table->rtekind != RTE_RELATION || table->relid != relation)
            continue;
        for (int i = 0; i < inputs.count; ++i)
            if (std::strcmp(inputs.names[i], entry->resname) == 0)
                attributes[i] = column->varattno;
    }
}

}  // namespace dlent::pg
