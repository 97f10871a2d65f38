#pragma once

#include "pg/bridge/postgres.h"
#include "pg/functions/answer.h"

extern "C" {
#include "nodes/plannodes.h"
}

namespace dlent::pg {

/// A rollout as the planner finds it.
struct RolloutPlan {
    int64_t id = 0;
    const char* mode = nullptr;
    double share = 0.0;    ///< of the traffic, that the other arms answer (shadow: see)
    List* versions = NIL;  ///< of int: each arm's, the champion's first
    int champion() const { return linitial_int(versions); }
};

/// Rows that one forward pass answers for: all calls of a model on the same features.
struct ScoreGroup {
    const char* model = nullptr;  ///< null: named by its digest, or by a parameter, the call's first argument
    const char* digest = nullptr;  ///< as uuid prints it
    int version = 0;               ///< 0: the champion when execution begins, or the arms of a rollout
    const RolloutPlan* rollout = nullptr;  ///< that was under way when the statement was planned
    FuncExpr* call = nullptr;  ///< one of the calls; its features are Vars of the child's output, or Consts
    int first_feature = 1;
    bool columns = false;  ///< the features are given one by one, each a Var
    bool named = false;    ///< they are given as a row whose columns have names, each a Var
};

/// One score column.
struct ScoreColumn {
    int group = 0;
    Answer answer = Answer::kValue;
};

/// What the plan node says to do. Lists are PostgreSQL's, so a plan that holds them can be copied and sent to
/// workers.
struct ScorePlan {
    List* groups;   ///< of ScoreGroup*
    List* columns;  ///< of ScoreColumn*
    List* passed;   ///< of int: the child's columns that follow the scores in the scan tuple
    int batch_rows;
};

/// The plan as a list of nodes that PostgreSQL can copy, print and read. Raise PostgreSQL errors.
List* EncodeScorePlan(const ScorePlan& plan);
ScorePlan DecodeScorePlan(const List* encoded);

}  // namespace dlent::pg
