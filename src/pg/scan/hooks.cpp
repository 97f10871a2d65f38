#include "pg/bridge/postgres.h"

#include "pg/scan/hooks.h"

#include "pg/bridge/error.h"
#include "pg/catalog/relations.h"
#include "pg/gpu/settings.h"
#include "pg/observe/settings.h"
#include "pg/scan/pin.h"
#include "pg/scan/rewrite.h"
#include "pg/scan/score_call.h"
#include "pg/scan/score_scan.h"
#include "pg/scan/statement_device.h"

extern "C" {
#include "commands/extension.h"
#include "executor/executor.h"
#include "optimizer/planner.h"
}

namespace dlent::pg {
namespace {

enum RequireBatch { kAllow, kRequire, kForbid };

const config_enum_entry kRequireBatchNames[] = {
    {"allow", kAllow, false}, {"require", kRequire, false}, {"forbid", kForbid, false}, {nullptr, 0, false}};

bool batch = true;
int require_batch = kAllow;

planner_hook_type previous_planner = nullptr;
ExecutorStart_hook_type previous_executor_start = nullptr;

/// The library is loaded while the first statement that scores is being planned, too late for the planner
/// hook: that statement is batched when it starts.
bool first_statement_pending = true;

void BatchStatement(PlannedStmt* statement, int cursor_options) {
    // models that change make the plan stale
    statement->relationOids = list_append_unique_oid(statement->relationOids, GetCatalogRelations().model);
    const bool wanted = batch && require_batch != kForbid;
    if (wanted)
        BatchScoreCalls(statement, cursor_options);
    if (require_batch == kRequire && HasScoreCalls(statement))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("a scoring call of this statement cannot be batched"),
                        errhint("dlent.debug_require_batch is \"require\".")));
}

/// Whether rows are written while statements that score are executed, which no parallel plan may do.
bool WritesRecords() {
    return CurrentPredictionLog() == PredictionLog::kSynchronous;
}

/// Has a plan that was made before records were to be written run without workers.
void KeepToOneProcess(QueryDesc* query) {
    PlannedStmt* const statement = query->plannedstmt;
    if (!statement->parallelModeNeeded || !OidIsValid(get_extension_oid("dlent", true)) ||
        !list_member_oid(statement->relationOids, GetCatalogRelations().model))
        return;
    // it may be a cached one, which is not ours to change
    query->plannedstmt = static_cast<PlannedStmt*>(copyObjectImpl(statement));
    query->plannedstmt->parallelModeNeeded = false;
}

/// From PostgreSQL 19 on there is more: what EXPLAIN wants to know.
template <typename... More>
PlannedStmt* PlanStatement(Query* query, const char* text, int cursor_options, ParamListInfo parameters,
                           More... more) {
    first_statement_pending = false;
    const bool scores = query->commandType != CMD_UTILITY && PinVersions(query, parameters);
    if (scores && WritesRecords())
        cursor_options &= ~CURSOR_OPT_PARALLEL_OK;
    PlannedStmt* statement = previous_planner != nullptr
                                 ? previous_planner(query, text, cursor_options, parameters, more...)
                                 : standard_planner(query, text, cursor_options, parameters, more...);
    if (scores)
        BatchStatement(statement, cursor_options);
    return statement;
}

void StartExecutor(QueryDesc* query, int flags) {
    if (first_statement_pending) {
        first_statement_pending = false;
        if (query->plannedstmt->commandType != CMD_UTILITY && HasScoreCalls(query->plannedstmt)) {
            // the plan may be a cached one, which is not ours to change
            query->plannedstmt = static_cast<PlannedStmt*>(copyObjectImpl(query->plannedstmt));
            BatchStatement(query->plannedstmt, 0);
        }
    }
    if (WritesRecords())
        KeepToOneProcess(query);
    if (previous_executor_start != nullptr)
        previous_executor_start(query, flags);
    else
        standard_ExecutorStart(query, flags);
    if (CurrentScoringDevice() != ScoringDevice::kCpu)
        StatementDevice::Choose(query);
}

}  // namespace

void InstallScanHooks() {
    DefineCustomBoolVariable("dlent.batch", "Scores rows in batches where the plan allows it.",
                             "Off: every scoring call is computed where it stands, row by row.", &batch, true,
                             PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomEnumVariable("dlent.debug_require_batch",
                             "Refuses statements whose scoring calls cannot be batched.",
                             "\"forbid\" batches none; for tests.", &require_batch, kAllow,
                             kRequireBatchNames, PGC_USERSET, GUC_NOT_IN_SAMPLE, nullptr, nullptr, nullptr);
    RegisterScoreScan();
    RegisterScoreFunctionCallbacks();
    previous_planner = planner_hook;
    planner_hook = PlanStatement;
    previous_executor_start = ExecutorStart_hook;
    ExecutorStart_hook = StartExecutor;
}

}  // namespace dlent::pg
