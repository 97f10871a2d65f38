#pragma once

// Differences between PostgreSQL 15 and later that few files meet; those include it. What most files meet is
// in bridge/compat.h.

#include "pg/bridge/postgres.h"

extern "C" {
#include "catalog/dependency.h"
#include "executor/instrument.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "pgstat.h"
#include "utils/date.h"
#include "utils/rel.h"
#if PG_VERSION_NUM >= 190000
#include "nodes/miscnodes.h"
#endif
}

namespace dlent::pg {

/// Whether a query reads a temporary relation; PostgreSQL 19 looks for temporary objects of every kind.
inline bool UsesTemporaryRelation(Query* query) {
#if PG_VERSION_NUM >= 190000
    ObjectAddress found;
    return query_uses_temp_object(query, &found);
#else
    return isQueryUsingTempRelation(query);
#endif
}

/// What a plan's node has counted. PostgreSQL 19 sets nodes apart from other things that are measured.
#if PG_VERSION_NUM >= 190000
inline bool IsTimed(const NodeInstrumentation& node) {
    return node.instr.need_timer;
}
#else
using NodeInstrumentation = Instrumentation;
inline bool IsTimed(const NodeInstrumentation& node) {
    return node.need_timer;
}
#endif

/// Visits the nodes below one that executes, those of subplans too; ends when `visit` says true. PostgreSQL
/// 16 declares the callback with its arguments.
inline bool WalkPlanStates(PlanState* node, bool (*visit)(PlanState*, void*), void* context) {
#if PG_VERSION_NUM >= 160000
    return planstate_tree_walker(node, visit, context);
#else
    return planstate_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(visit)),
                                 context);
#endif
}

/// Whether partitions are left out only when the plan is executed. PostgreSQL 18 keeps how in the statement.
inline bool PrunesPartitions(const Append* append) {
#if PG_VERSION_NUM >= 180000
    return append->part_prune_index >= 0;
#else
    return append->part_prune_info != nullptr;
#endif
}

/// Whether workers are to be tried where they do not pay. PostgreSQL 16 renamed the setting.
inline bool ForcesParallelQuery() {
#if PG_VERSION_NUM >= 160000
    return debug_parallel_query != DEBUG_PARALLEL_OFF;
#else
    return force_parallel_mode != FORCE_PARALLEL_OFF;
#endif
}

/// Takes back that a scan of the relation was counted, because it goes on with one that was counted before.
/// PostgreSQL 16 renamed the count.
inline void UncountScan(Relation relation) {
    if (relation->pgstat_info == nullptr)
        return;
#if PG_VERSION_NUM >= 160000
    --relation->pgstat_info->counts.numscans;
#else
    --relation->pgstat_info->t_counts.t_numscans;
#endif
}

/// Midnight of the day; an infinite one where the day is, or where it is too late for a timestamp.
inline Timestamp TimestampOfDate(DateADT date) {
#if PG_VERSION_NUM >= 190000
    ErrorSaveContext overflow = {};
    overflow.type = T_ErrorSaveContext;
    return date2timestamp_safe(date, reinterpret_cast<Node*>(&overflow));
#else
    int overflow = 0;
    return date2timestamp_opt_overflow(date, &overflow);
#endif
}

/// A jsonb that is built token by token. PostgreSQL 19 keeps its result in the state, earlier ones return it.
class JsonbBuilder {
 public:
    void Push(JsonbIteratorToken token, JsonbValue* value = nullptr) {
#if PG_VERSION_NUM >= 190000
        pushJsonbValue(&state_, token, value);
#else
        result_ = pushJsonbValue(&state_, token, value);
#endif
    }

    /// After the token that ends the whole.
    Datum Result() const {
#if PG_VERSION_NUM >= 190000
        return JsonbPGetDatum(JsonbValueToJsonb(state_.result));
#else
        return JsonbPGetDatum(JsonbValueToJsonb(result_));
#endif
    }

 private:
#if PG_VERSION_NUM >= 190000
    JsonbInState state_ = {};
#else
    JsonbParseState* state_ = nullptr;
    JsonbValue* result_ = nullptr;
#endif
};

}  // namespace dlent::pg
