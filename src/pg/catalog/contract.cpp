#include "pg/catalog/contract.h"

#include <algorithm>

#include "pg/catalog/relations.h"
#include "pg/catalog/writer.h"

extern "C" {
#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_extension.h"
#include "commands/comment.h"
#include "commands/tablecmds.h"
#include "commands/view.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
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

/// Leaves out what is no input, unless the other columns decide which rows there are.
void ReduceTo(const ContractInputs& inputs, Query* query) {
    if (query->setOperations != nullptr || query->distinctClause != NIL)
        return;
    List* kept = NIL;
    List* hidden = NIL;
    ListCell* cell;
    foreach (cell, query->targetList) {
        auto* entry = lfirst_node(TargetEntry, cell);
        if (!entry->resjunk && IsInput(entry->resname, inputs)) {
            kept = lappend(kept, entry);
        } else if (entry->ressortgroupref != 0) {
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
        // Columns beside the inputs may share a name, which those of a view may not.
        const char* name = entry->resname;
        for (int suffix = 2;; ++suffix) {
            bool taken = false;
            ListCell* other;
            foreach (other, columns)
                taken = taken || std::strcmp(lfirst_node(ColumnDef, other)->colname, name) == 0;
            if (!taken)
                break;
            name = psprintf("%.50s_%d", entry->resname, suffix);
        }
        columns = lappend(columns, makeColumnDef(name, type, exprTypmod(value), collation));
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
    if (isQueryUsingTempRelation(query)) {
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

void AdoptContracts() {
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
    const Oid view_oid = FindContract(model_id, version);
    if (!OidIsValid(view_oid))
        return;
    Relation view = relation_open(view_oid, AccessShareLock);
    const Query* query = view->rd_rel->relkind == RELKIND_VIEW ? get_view_query(view) : nullptr;
    TupleDesc columns = RelationGetDescr(view);
    ListCell* cell;
    foreach (cell, query == nullptr ? NIL : query->targetList) {
        const auto* entry = lfirst_node(TargetEntry, cell);
        if (entry->resjunk || entry->resno > columns->natts || !IsA(entry->expr, Var))
            continue;
        const Var* column = castNode(Var, entry->expr);
        const RangeTblEntry* table =
            column->varlevelsup == 0 ? rt_fetch(column->varno, query->rtable) : nullptr;
        if (table == nullptr || table->rtekind != RTE_RELATION || table->relid != relation)
            continue;
        const char* name = NameStr(TupleDescAttr(columns, entry->resno - 1)->attname);
        for (int i = 0; i < inputs.count; ++i)
            if (std::strcmp(inputs.names[i], name) == 0)
                attributes[i] = column->varattno;
    }
    relation_close(view, AccessShareLock);
}

}  // namespace dlent::pg
