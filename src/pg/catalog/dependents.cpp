#include "pg/bridge/postgres.h"

#include "pg/catalog/dependents.h"

#include <algorithm>

#include "pg/catalog/relations.h"
#include "pg/catalog/writer.h"

extern "C" {
#include "access/genam.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_rewrite.h"
#include "rewrite/rewriteSupport.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace dlent::pg {
namespace {

/// As many as PostgreSQL's own refusals name.
constexpr int kMaxNamed = 100;

/// What is searched for, and where it was found.
struct Search {
    Oid predict_version = InvalidOid;
    Oid score = InvalidOid;
    const char* model = nullptr;
    const DroppedVersion* versions = nullptr;
    int count = 0;
    const DroppedVersion* found = nullptr;  ///< by the walk at hand
};

/// Argument `number` of a call, from 0, whether given by place or by name, without casts that change no bits;
/// null when it is no constant.
const Const* ConstantArgument(const FuncExpr* call, int number) {
    int place = 0;
    ListCell* cell;
    foreach (cell, call->args) {
        auto* argument = static_cast<Node*>(lfirst(cell));
        int argument_number = place++;
        if (IsA(argument, NamedArgExpr)) {
            argument_number = castNode(NamedArgExpr, argument)->argnumber;
            argument = reinterpret_cast<Node*>(castNode(NamedArgExpr, argument)->arg);
        }
        if (argument_number != number)
            continue;
        while (IsA(argument, RelabelType) || IsA(argument, CollateExpr))
            argument =
                reinterpret_cast<Node*>(IsA(argument, RelabelType) ? castNode(RelabelType, argument)->arg
                                                                   : castNode(CollateExpr, argument)->arg);
        const bool constant = IsA(argument, Const) && !castNode(Const, argument)->constisnull;
        return constant ? castNode(Const, argument) : nullptr;
    }
    return nullptr;
}

const DroppedVersion* VersionCalled(const FuncExpr* call, const Search& search) {
    if (call->funcid != search.predict_version && call->funcid != search.score)
        return nullptr;
    const Const* first = ConstantArgument(call, 0);
    if (first == nullptr)
        return nullptr;
    const auto* end = search.versions + search.count;
    const DroppedVersion* found = end;
    if (call->funcid == search.score) {
        const VersionDigest digest = DigestOfUuid(first->constvalue);
        found = std::find_if(search.versions, end, [&](const DroppedVersion& version) {
            return version.last_of_digest && version.digest == digest;
        });
    } else {
        const Const* number = ConstantArgument(call, 1);
        if (number == nullptr || std::strcmp(TextDatumGetCString(first->constvalue), search.model) != 0)
            return nullptr;
        found = std::find_if(search.versions, end, [&](const DroppedVersion& version) {
            return version.number == DatumGetInt32(number->constvalue);
        });
    }
    return found == end ? nullptr : found;
}

bool FindCall(Node* node, void* context) {
    if (node == nullptr)
        return false;
    if (IsA(node, Query))
        return query_tree_walker(castNode(Query, node), TreeWalker(FindCall), context, 0);
    if (IsA(node, FuncExpr)) {
        auto* search = static_cast<Search*>(context);
        search->found = VersionCalled(castNode(FuncExpr, node), *search);
        if (search->found != nullptr)
            return true;
    }
    return expression_tree_walker(node, TreeWalker(FindCall), context);
}

bool FindCallInText(Datum tree, Search* search) {
    return FindCall(static_cast<Node*>(stringToNode(TextDatumGetCString(tree))), search);
}

bool FindCallInAttribute(SysCacheIdentifier cache, HeapTuple tuple, AttrNumber attribute, Search* search) {
    bool is_null = true;
    const Datum tree = SysCacheGetAttr(cache, tuple, attribute, &is_null);
    return !is_null && FindCallInText(tree, search);
}

/// An index, or a partitioned table's key.
bool FindCallInRelation(Oid relation, Search* search) {
    bool found = false;
    if (HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(relation))) {
        found = FindCallInAttribute(INDEXRELID, tuple, Anum_pg_index_indexprs, search) ||
                FindCallInAttribute(INDEXRELID, tuple, Anum_pg_index_indpred, search);
        ReleaseSysCache(tuple);
    }
    if (HeapTuple tuple = found ? nullptr : SearchSysCache1(PARTRELID, ObjectIdGetDatum(relation))) {
        found = FindCallInAttribute(PARTRELID, tuple, Anum_pg_partitioned_table_partexprs, search);
        ReleaseSysCache(tuple);
    }
    return found;
}

/// A copy of an object's row; null when it is gone.
HeapTuple RowOf(Relation catalog, Oid object) {
    const Oid class_id = RelationGetRelid(catalog);
    if (class_id != AttrDefaultRelationId)
        return get_catalog_object_by_oid(catalog, get_object_attnum_oid(class_id), object);
    // the one class that the general way does not know
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_attrdef_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object));
    SysScanDesc scan = systable_beginscan(catalog, AttrDefaultOidIndexId, true, nullptr, 1, &key);
    HeapTuple tuple = systable_getnext(scan);
    tuple = HeapTupleIsValid(tuple) ? heap_copytuple(tuple) : nullptr;
    systable_endscan(scan);
    return tuple;
}

/// Any object whose catalog row holds expressions: every column of type pg_node_tree is one.
bool FindCallInRow(Oid class_id, Oid object, Search* search) {
    Relation catalog = table_open(class_id, AccessShareLock);
    HeapTuple tuple = RowOf(catalog, object);
    bool found = false;
    for (int i = 0; HeapTupleIsValid(tuple) && !found && i < RelationGetDescr(catalog)->natts; ++i) {
        if (TupleDescAttr(RelationGetDescr(catalog), i)->atttypid != PG_NODE_TREEOID)
            continue;
        bool is_null = true;
        const Datum tree = heap_getattr(tuple, i + 1, RelationGetDescr(catalog), &is_null);
        found = !is_null && FindCallInText(tree, search);
    }
    table_close(catalog, AccessShareLock);
    return found;
}

bool FindCallInObject(const ObjectAddress& object, Search* search) {
    if (object.classId != RelationRelationId)
        return FindCallInRow(object.classId, object.objectId, search);
    if (object.objectSubId == 0)
        return FindCallInRelation(object.objectId, search);
    const Oid expression = GetAttrDefaultOid(object.objectId, static_cast<AttrNumber>(object.objectSubId));
    return OidIsValid(expression) && FindCallInRow(AttrDefaultRelationId, expression, search);
}

/// What a user knows the object by: a view for its rule, a column for its expression.
ObjectAddress KnownObject(const ObjectAddress& object) {
    ObjectAddress known = object;
    if (object.classId == AttrDefaultRelationId) {
        known = GetAttrDefaultColumnAddress(object.objectId);
    } else if (object.classId == RewriteRelationId) {
        Relation rules = table_open(RewriteRelationId, AccessShareLock);
        HeapTuple tuple = RowOf(rules, object.objectId);
        if (HeapTupleIsValid(tuple)) {
            const auto* rule = reinterpret_cast<Form_pg_rewrite>(GETSTRUCT(tuple));
            if (std::strcmp(NameStr(rule->rulename), ViewSelectRuleName) == 0)
                ObjectAddressSet(known, RelationRelationId, rule->ev_class);
        }
        table_close(rules, AccessShareLock);
    }
    return known;
}

constexpr const char* kFunctions =
    "SELECT p.oid, p.prosrc = 'dlent_score' FROM pg_catalog.pg_depend AS e, pg_catalog.pg_proc AS p "
    "WHERE e.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.refobjid = $1 "
    "AND e.deptype = 'e' AND e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid "
    "AND p.prosrc IN ('dlent_predict_version', 'dlent_score')";

constexpr const char* kUsers =
    "SELECT DISTINCT d.classid, d.objid, d.objsubid FROM pg_catalog.pg_depend AS d "
    "WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refobjid IN ($1, $2) "
    "ORDER BY d.classid, d.objid, d.objsubid";

}  // namespace

void RefuseIfUsed(const char* what, const char* model, const DroppedVersion* versions, int count) {
    Search search = {.model = model, .versions = versions, .count = count};
    const Parameter extension[] = {Of(OIDOID, ObjectIdGetDatum(GetCatalogRelations().extension))};
    const uint64_t functions = Execute(kFunctions, extension);
    for (uint64_t i = 0; i < functions; ++i)
        (DatumGetBool(Result(i, 2)) ? search.score : search.predict_version) = DatumGetObjectId(Result(i, 1));

    const Parameter called[] = {Of(OIDOID, ObjectIdGetDatum(search.predict_version)),
                                Of(OIDOID, ObjectIdGetDatum(search.score))};
    const uint64_t candidates = Execute(kUsers, called);
    ObjectAddresses* users = new_object_addresses();
    StringInfoData detail;
    initStringInfo(&detail);
    int named = 0;
    int others = 0;
    for (uint64_t i = 0; i < candidates; ++i) {
        ObjectAddress object;
        ObjectAddressSubSet(object, DatumGetObjectId(Result(i, 1)), DatumGetObjectId(Result(i, 2)),
                            DatumGetInt32(Result(i, 3)));
        if (!FindCallInObject(object, &search))
            continue;
        const ObjectAddress known = KnownObject(object);
        if (object_address_present(&known, users))
            continue;
        add_exact_object_address(&known, users);
        if (named == kMaxNamed) {
            ++others;
        } else {
            ++named;
            appendStringInfo(&detail, "%s%s depends on version %d of model \"%s\"",
                             detail.len == 0 ? "" : "\n", getObjectDescription(&known, false),
                             search.found->number, model);
        }
    }
    free_object_addresses(users);
    if (others > 0)
        appendStringInfo(&detail, "\nand %d other objects", others);
    if (detail.len > 0)
        ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
                        errmsg("cannot drop %s because other objects depend on it", what),
                        errdetail_internal("%s", detail.data), errhint("Drop those objects first.")));
}

}  // namespace dlent::pg
