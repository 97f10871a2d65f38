// Rows that a training leaves to the next one of its transaction; docs/architecture.md, "Kept rows".

#include "pg/bridge/postgres.h"

#include "pg/source/kept_rows.h"

#include <array>
#include <optional>

#include "pg/settings.h"
#include "pg/source/block_scan.h"
#include "pg/source/table_reader.h"
#include "pg/source/table_sink.h"

extern "C" {
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace dlent::pg {
namespace {

/// What PostgreSQL's own functions depend on that are declared immutable or turn text into times.
constexpr const char* kSettings[] = {"DateStyle",
                                     "IntervalStyle",
                                     "TimeZone",
                                     "timezone_abbreviations",
                                     "extra_float_digits",
                                     "bytea_output",
                                     "quote_all_identifiers",
                                     "xmlbinary",
                                     "xmloption"};

/// All that a table of encoded rows follows from, but for rows that its own transaction writes: while there
/// are such of a relation, there is no key.
struct RowsKey {
    Oid user = InvalidOid;
    std::string snapshot;
    std::string query;           ///< with views and row security, as a text
    std::vector<Oid> relations;  ///< in the order of their rows
    std::array<std::string, std::size(kSettings)> settings;
    std::vector<TrainingColumns::Column> columns;
    size_t memory_limit = 0;  ///< beyond which they would be an error
    uint64_t enum_changes = 0;

    bool operator==(const RowsKey&) const = default;
};

struct KeptRows {
    RowsKey key;
    std::shared_ptr<const ColumnarTable> table;
};

/// How often labels of enums have changed, or may have, since the session began.
uint64_t enum_changes = 0;

/// Never destroyed: the end of a backend frees its memory by itself.
std::unique_ptr<KeptRows>& Kept() {
    static auto* const kept = new std::unique_ptr<KeptRows>;
    return *kept;
}

// ---- what runs under the guard: no destructors below ----

/// Types whose values mean the same as long as nobody touches them, or (labels of enums) tell us when
/// somebody does. Those that name a configuration of text search mean what the catalog says just then.
bool IsFixedType(Oid type) {
    const Oid base = getBaseType(type);
    if (base == REGCONFIGOID || base == REGDICTIONARYOID)
        return false;
    return base < FirstUnpinnedObjectId || get_typtype(base) == TYPTYPE_ENUM;
}

bool IsOthersFunction(Oid function, void*) {
    return function >= FirstUnpinnedObjectId;
}

/// Whether a query has anything that may change although no row does, besides what is not immutable.
bool DependsOnMoreThanRows(Node* node, void* context) {
    if (node == nullptr)
        return false;
    if (IsA(node, Query))
        return query_tree_walker(castNode(Query, node), TreeWalker(DependsOnMoreThanRows), context, 0);
    if (IsA(node, Var)) {
        // columns of the system say where a row is and who locks it
        const auto* variable = castNode(Var, node);
        return variable->varattno <= 0 || !IsFixedType(variable->vartype);
    }
    if (IsA(node, Const))
        return !IsFixedType(castNode(Const, node)->consttype);
    // the constraints of a domain may be others by now
    if (IsA(node, CoerceToDomain) || check_functions_in_node(node, IsOthersFunction, nullptr))
        return true;
    return expression_tree_walker(node, TreeWalker(DependsOnMoreThanRows), context);
}

/// Whether the rows of a table that are seen under the transaction's snapshot stay as they are. Whoever
/// writes holds a lock to the end of the transaction, ours too, or of the subtransaction whose writes go with
/// it; only system catalogs are unlocked before, and sequences changed in place.
bool StaysAsItIs(Oid table) {
    const Relation relation = table_open(table, NoLock);
    const char kind = relation->rd_rel->relkind;
    const bool stays = (kind == RELKIND_RELATION || kind == RELKIND_MATVIEW) &&
                       !IsCatalogRelation(relation) &&
                       !CheckRelationLockedByMe(relation, RowExclusiveLock, true);
    table_close(relation, NoLock);
    return stays;
}

/// The tables that a plan scans, in order; NIL unless reading them again gives the same rows.
List* TablesThatStay(const Source& source) {
    if (contain_mutable_functions(reinterpret_cast<Node*>(source.query())) ||
        DependsOnMoreThanRows(reinterpret_cast<Node*>(source.query()), nullptr))
        return NIL;
    List* tables = NIL;
    List* const scans = BlockScansOf(source.plan());
    for (int i = 0; i < list_length(scans); ++i) {
        const auto* scan = static_cast<Scan*>(list_nth(scans, i));
        const Oid table = rt_fetch(scan->scanrelid, source.plan()->rtable)->relid;
        if (!StaysAsItIs(table))
            return NIL;
        tables = lappend_oid(tables, table);
    }
    return tables;
}

// ---- callbacks of PostgreSQL ----

void OnTransactionEnd(XactEvent, void*) {
    ForgetKeptRows();
}

/// Locks of a subtransaction that aborts are given back, and with them the certainty.
void OnSubtransactionEnd(SubXactEvent event, SubTransactionId, SubTransactionId, void*) {
    if (event == SUBXACT_EVENT_ABORT_SUB)
        ForgetKeptRows();
}

template <typename Cache>  // int, or SysCacheIdentifier from PostgreSQL 19 on
void OnEnumChange(Datum, Cache, uint32) {
    ++enum_changes;
}

// ---- C++ ----

/// Nothing where the rows must be read.
std::optional<RowsKey> KeyOf(const Source& source, const TrainingColumns& columns,
                             const std::string& snapshot, size_t memory_limit) {
    if (KeptRowsMemory() == 0 || !IsolationUsesXactSnapshot())
        return std::nullopt;
    struct Found {
        List* tables;
        const char* query;
    };
    const Found found = CallPostgres([&source] {
        List* const tables = TablesThatStay(source);
        return Found{tables, tables == NIL ? nullptr : nodeToString(source.query())};
    });
    if (found.tables == NIL)
        return std::nullopt;
    RowsKey key;
    key.user = GetUserId();
    key.snapshot = snapshot;
    key.query = found.query;
    for (int i = 0; i < list_length(found.tables); ++i)
        key.relations.push_back(list_nth_oid(found.tables, i));
    for (size_t i = 0; i < key.settings.size(); ++i)
        key.settings[i] = CallPostgres([i] { return GetConfigOption(kSettings[i], false, false); });
    key.columns = columns.columns;
    key.memory_limit = memory_limit;
    key.enum_changes = enum_changes;
    return key;
}

}  // namespace

TrainingTable ReadOrReuseTrainingTable(Source* source, const TrainingColumns& columns,
                                       const std::string& snapshot, size_t memory_limit,
                                       const std::function<void(uint64_t)>& on_rows) {
    std::optional<RowsKey> key = KeyOf(*source, columns, snapshot, memory_limit);
    if (key && Kept() != nullptr && Kept()->key == *key) {
        const std::shared_ptr<const ColumnarTable> table = Kept()->table;
        source->CheckMayRead();
        return {table, 0, true};
    }
    int workers = 0;
    const auto table = std::make_shared<const ColumnarTable>(
        ReadTrainingTable(source, columns, memory_limit, on_rows, &workers));
    if (key && BytesOf(*table) <= KeptRowsMemory())
        Kept() = std::make_unique<KeptRows>(std::move(*key), table);
    return {table, workers, false};
}

void ForgetKeptRows() {
    Kept().reset();
}

void RegisterKeptRowsCallbacks() {
    RegisterXactCallback(OnTransactionEnd, nullptr);
    RegisterSubXactCallback(OnSubtransactionEnd, nullptr);
    CacheRegisterSyscacheCallback(ENUMOID, OnEnumChange, 0);
}

}  // namespace dlent::pg
