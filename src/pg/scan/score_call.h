#pragma once

#include "pg/bridge/postgres.h"
#include "pg/catalog/models.h"
#include "pg/functions/answer.h"
#include "pg/rollout/resolved_model.h"
#include "pg/scan/score_plan.h"

extern "C" {
#include "nodes/primnodes.h"
}

namespace dlent::pg {

// Scoring functions as the planner sees them. All functions here raise PostgreSQL errors: call them from
// frames without destructors.

enum class ScoreFunction : uint8_t { kNone, kPredict, kClassify, kProbabilities, kPredictVersion, kScore };

/// Which of this extension's scoring functions `function` is. Remembered until pg_proc changes.
ScoreFunction ScoreFunctionOf(Oid function);

/// The call taken apart, when `node` is a call of a scoring function whose model is a constant that can be
/// understood, or a parameter of the statement; nothing is looked up in the catalog of models.
struct ScoreCall {
    FuncExpr* expression = nullptr;
    Answer answer = Answer::kValue;
    const char* model = nullptr;   ///< null when it is a parameter, or named by its digest
    const char* digest = nullptr;  ///< of dlent_score(), as uuid prints it
    Param* model_parameter = nullptr;
    int version = 0;                       ///< 0: the champion, or the arms of a rollout
    const RolloutPlan* rollout = nullptr;  ///< that the call takes part in, once it was looked up
    int first_feature = 1;                 ///< index into the arguments
};
bool ParseScoreCall(Node* node, ScoreCall* call);

/// Whether two calls ask for outputs of the same model and version on the same features: one forward pass
/// answers both.
bool ShareForwardPass(const ScoreCall& a, const ScoreCall& b);

/// True when the tree contains a call of any scoring function, understood or not.
bool ContainsScoreCall(Node* node);

/// What a call of `model`@`version` means now to the current user: one version, or a rollout. Neither when
/// the call would fail, or when something else has been committed since the snapshot that the statement is
/// planned under: it is then left to be resolved where it runs.
struct CallMeaning {
    int version = 0;
    const RolloutPlan* rollout = nullptr;
};
CallMeaning MeaningOf(const char* model, int version);

/// What a call names, by model and version or by digest. For C++ frames; 42704, 42501.
ResolvedModel ResolveNamed(const char* model, int version, const char* digest);

/// The call as it is written for a version that is known: dlent_predict_version(model, version, ...), or the
/// same function of 'model@version'.
FuncExpr* PinnedCall(const ScoreCall& call, int version);

/// To be called once, from _PG_init().
void RegisterScoreFunctionCallbacks();

}  // namespace dlent::pg
