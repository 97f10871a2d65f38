#pragma once

#include "pg/bridge/postgres.h"
#include "pg/scan/score_call.h"

namespace dlent::pg {

// The scoring calls of an expression that a batch can answer: which there are, and what takes their place.
// All functions here raise PostgreSQL errors: call them from frames without destructors.

/// Distinct calls, each answered by a column of its own.
struct CallList {
    List* calls = NIL;  ///< of ScoreCall*
    /// Of ScoreCall*: when set, only calls that share a forward pass with one of them are taken.
    const List* only_shared = NIL;
};

/// Parses a call and finds what it means when it names no version (a rollout, or a function that was inlined
/// after the pinning).
/// False when a batch cannot answer it: its features are volatile, constant or scores themselves, or its
/// version is not the current user's to use.
bool ParseEligible(Node* node, ScoreCall* call);

/// Whether some version is there that the current user may use. A call of none fails where it runs.
bool DigestIsUsable(const char* digest);

// Walkers, whose context is a CallList*. False: go on.

/// Collects the calls that are evaluated whenever the expression is.
bool CollectUnconditional(Node* node, void* context);
/// Collects all calls, conditional ones too: those whose forward pass is there anyway.
bool CollectAll(Node* node, void* context);
/// Collects the calls in arguments of aggregates and window functions that are evaluated for every row.
bool CollectArguments(Node* node, void* context);

struct ReplaceContext {
    List* calls;       ///< of ScoreCall*
    int varno;         ///< of what takes their place
    int first_column;  ///< attribute of the first call's score
};

/// A Var that stands for the call's score.
Node* ScoreVar(const ScoreCall& call, int varno, int attribute);
/// The column that answers `node`, when it is one of the calls, or null.
Node* Replacement(Node* node, const ReplaceContext& context);
/// The tree with its calls replaced; `context` is a ReplaceContext*.
Node* ReplaceCalls(Node* node, void* context);

}  // namespace dlent::pg
