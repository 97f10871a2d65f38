#pragma once

// Differences between PostgreSQL 15 and later, newest name wins. Included by bridge/postgres.h after
// PostgreSQL's own headers; not to be included alone.

#if PG_VERSION_NUM < 150000
#error "dlent needs PostgreSQL 15 or later"
#endif

extern "C" {
#include "catalog/pg_database.h"
#include "commands/explain.h"
#include "nodes/nodeFuncs.h"
#include "nodes/value.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/regproc.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
#if PG_VERSION_NUM >= 170000
#include "storage/proc.h"
#include "storage/procnumber.h"
#else
#include "storage/backendid.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif
#include "tcop/tcopprot.h"
}

namespace dlent::pg {

/// PostgreSQL 18 dropped ExecutorRun's execute_once: a QueryDesc runs once, always.
inline void RunExecutorOnce(QueryDesc* query) {
#if PG_VERSION_NUM >= 180000
    ExecutorRun(query, ForwardScanDirection, 0);
#else
    ExecutorRun(query, ForwardScanDirection, 0, true);
#endif
}

/// PostgreSQL 16 gave stringToQualifiedNameList a soft-error argument.
inline List* QualifiedNameList(const char* text) {
#if PG_VERSION_NUM >= 160000
    return stringToQualifiedNameList(text, nullptr);
#else
    return stringToQualifiedNameList(text);
#endif
}

/// PostgreSQL 19 hands the planner what EXPLAIN wants to know.
inline PlannedStmt* PlanQuery(Query* query, const char* text, int cursor_options) {
#if PG_VERSION_NUM >= 190000
    return pg_plan_query(query, text, cursor_options, nullptr, nullptr);
#else
    return pg_plan_query(query, text, cursor_options, nullptr);
#endif
}

/// PostgreSQL 16 checks privileges on all kinds of objects by two functions.
inline bool MayConnect(Oid database, Oid role) {
#if PG_VERSION_NUM >= 160000
    return object_aclcheck(DatabaseRelationId, database, role, ACL_CONNECT) == ACLCHECK_OK;
#else
    return pg_database_aclcheck(database, role, ACL_CONNECT) == ACLCHECK_OK;
#endif
}
inline bool OwnsDatabase(Oid database, Oid role) {
#if PG_VERSION_NUM >= 160000
    return object_ownercheck(DatabaseRelationId, database, role);
#else
    return pg_database_ownercheck(database, role);
#endif
}

/// PostgreSQL 16 declares the callbacks of tree walkers and mutators with their arguments.
#if PG_VERSION_NUM >= 160000
inline tree_walker_callback TreeWalker(bool (*walker)(Node*, void*)) {
    return walker;
}
inline tree_mutator_callback TreeMutator(Node* (*mutator)(Node*, void*)) {
    return mutator;
}
#else
inline bool (*TreeWalker(bool (*walker)(Node*, void*)))() {
    return reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(walker));
}
inline Node* (*TreeMutator(Node* (*mutator)(Node*, void*)))() {
    return reinterpret_cast<Node* (*)()>(reinterpret_cast<void (*)()>(mutator));
}
#endif

/// A number of this backend's own, from 0, below MaxBackends and the auxiliary processes.
/// PostgreSQL 17 numbers processes from 0 where MyBackendId began at 1.
inline int BackendNumber() {
#if PG_VERSION_NUM >= 170000
    return MyProcNumber;
#else
    return MyBackendId - 1;
#endif
}

/// PostgreSQL 17 has infinite intervals.
inline bool IsFinite(const Interval* interval) {
#if PG_VERSION_NUM >= 170000
    return !INTERVAL_NOT_FINITE(interval);
#else
    return true;
#endif
}

/// What has been begun of a buffer's input or output; from PostgreSQL 16 on it belongs to the resource owner.
inline void AbandonBufferIo() {
#if PG_VERSION_NUM < 160000
    AbortBufferIO();
#endif
}

}  // namespace dlent::pg

/// PostgreSQL 18 tells a module's name and version.
#if PG_VERSION_NUM >= 180000
#define DLENT_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "dlent", .version = DLENT_VERSION)
#else
#define DLENT_MODULE_MAGIC PG_MODULE_MAGIC
#endif
