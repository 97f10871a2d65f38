#pragma once

#include "pg/bridge/postgres.h"
#include "pg/functions/answer.h"

extern "C" {
#include "nodes/plannodes.h"
}

namespace dlent::pg {

// Custom Scan (DlentScore): reads rows from the plan below it, scores them a batch at a time, and emits them
// in the same order. Its scan tuple is the scores, followed by columns of the child that are passed through;
// its targetlist and qual are computed from that tuple, row by row, as any scan's. Not parallel-aware: below
// a Gather every worker batches its own rows. Cannot run backwards, nor mark and restore.

/// Rows that one forward pass answers for: all calls of a model on the same features.
struct ScoreGroup {
    const char* model = nullptr;  ///< null: named by its digest, or by a parameter, the call's first argument
    const char* digest = nullptr;  ///< as uuid prints it
    int version = 0;               ///< 0: the champion when execution begins
    FuncExpr* call = nullptr;  ///< one of the calls; its features are Vars of the child's output, or Consts
    int first_feature = 1;
    bool columns = false;  ///< the features are given one by one, each a Var
};

/// One score column.
struct ScoreColumn {
    int group = 0;
    Answer answer = Answer::kValue;
};

/// Most rows that a batch holds when a row has `cells` input cells.
int ScoreBatchRows(int cells);

/// The plan node. `groups` of ScoreGroup*, `columns` of ScoreColumn*; `passed` numbers the child's columns
/// that follow the scores in the scan tuple, which `scan_tlist` describes. Costs, targetlist and qual are the
/// caller's to set.
CustomScan* MakeScoreScan(Plan* child, List* groups, List* columns, List* passed, List* scan_tlist,
                          int batch_rows);

/// To be called once, from _PG_init().
void RegisterScoreScan();

}  // namespace dlent::pg
