#include "pg/bridge/postgres.h"

#include "pg/source/parallel_choice.h"

#include <algorithm>

#include "pg/bridge/compat_rare.h"
#include "pg/scan/rewrite.h"
#include "pg/source/block_scan.h"

extern "C" {
#include "access/parallel.h"
#include "access/table.h"
#include "catalog/pg_proc.h"
#include "nodes/makefuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "parser/parsetree.h"
#include "utils/rel.h"
}

namespace dlent::pg {
namespace {

/// Whether workers may be started at all.
bool AllowsWorkers() {
    return IsUnderPostmaster && max_parallel_workers_per_gather > 0 && !IsInParallelMode() &&
           !IsParallelWorker();
}

/// Whether all that a scan computes may be computed by a worker. The planner's own judgement takes a query.
bool IsParallelSafe(const Plan* scan) {
    auto* const query = makeNode(Query);
    query->commandType = CMD_SELECT;
    query->targetList = scan->targetlist;
    query->jointree = makeFromExpr(NIL, reinterpret_cast<Node*>(scan->qual));
    return max_parallel_hazard(query) == PROPARALLEL_SAFE;
}

bool HasParallelSafeOutput(Oid type) {
    Oid function;
    bool is_varlena;
    getTypeOutputInfo(type, &function, &is_varlena);
    return func_parallel(function) == PROPARALLEL_SAFE;
}

struct Tables {
    double blocks;
    int workers;  ///< what options of the tables ask for; −1 when they say nothing
    bool readable;
};

Tables LookAt(PlannedStmt* plan, List* scans) {
    Tables tables{0.0, -1, true};
    for (int i = 0; i < list_length(scans); ++i) {
        const auto* scan = static_cast<Scan*>(list_nth(scans, i));
        const Relation relation = table_open(rt_fetch(scan->scanrelid, plan->rtable)->relid, NoLock);
        const int workers = RelationGetParallelWorkers(relation, -1);
        // temporary tables are in this process's memory; an option of 0 is somebody's wish
        tables.readable = tables.readable && !RelationUsesLocalBuffers(relation) && workers != 0 &&
                          IsParallelSafe(&scan->plan);
        tables.workers = std::max(tables.workers, workers);
        tables.blocks += RelationGetNumberOfBlocks(relation);
        table_close(relation, NoLock);
    }
    return tables;
}

int WorkersByLength(const Tables& tables) {
    auto* const relation = makeNode(RelOptInfo);
    relation->reloptkind = RELOPT_BASEREL;
    relation->rel_parallel_workers = tables.workers;
    return compute_parallel_worker(relation, tables.blocks, -1, max_parallel_workers_per_gather);
}

bool Pays(const Plan* plan, int cells, int workers) {
    const double cost = plan->total_cost + plan->plan_rows * cells * cpu_operator_cost;
    return cost - cost / (workers + 1) > parallel_setup_cost;
}

int Choose(PlannedStmt* plan, int cells) {
    List* const scans = BlockScansOf(plan);
    if (scans == NIL || HasScoreCalls(plan))
        return 0;
    const Tables tables = LookAt(plan, scans);
    if (!tables.readable)
        return 0;
    const int workers = WorkersByLength(tables);
    if (workers > 0 && Pays(plan->planTree, cells, workers))
        return workers;
    return ForcesParallelQuery() ? 1 : 0;
}

}  // namespace

int ChooseParallelWorkers(const Source& source, const TrainingColumns& columns) {
    int cells = 0;
    for (const TrainingColumns::Column& column : columns.columns)
        cells += std::max(column.definition.width, 1);
    return CallPostgres([&] {
        if (!AllowsWorkers())
            return 0;
        for (const TrainingColumns::Column& column : columns.columns) {
            if (column.definition.kind == ColumnKind::kCategory && !HasParallelSafeOutput(column.type))
                return 0;
        }
        return Choose(source.plan(), cells);
    });
}

}  // namespace dlent::pg
