#pragma once

#include "pg/bridge/postgres.h"
#include "pg/scan/score_plan.h"

extern "C" {
#include "nodes/execnodes.h"
#include "nodes/plannodes.h"
}

namespace dlent::pg {

// Custom Scan (DlentScore): reads rows from the plan below it, scores them a batch at a time, and emits them
// in the same order. Its scan tuple is the scores, followed by columns of the child that are passed through;
// its targetlist and qual are computed from that tuple, row by row, as any scan's. Not parallel-aware: below
// a Gather every worker batches its own rows. Cannot run backwards, nor mark and restore.

/// The plan node, whose scan tuple `scan_tlist` describes. Costs, targetlist and qual are the caller's to
/// set.
CustomScan* MakeScoreScan(Plan* child, const ScorePlan& plan, List* scan_tlist);

/// Whether a node that executes is one of these.
bool IsScoreScan(const PlanState* node);

/// To be called once, from _PG_init().
void RegisterScoreScan();

}  // namespace dlent::pg
