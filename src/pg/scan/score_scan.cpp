#include "pg/bridge/postgres.h"

#include "pg/scan/score_scan.h"

#include "pg/bridge/compat_rare.h"
#include "pg/bridge/error.h"
#include "pg/bridge/memory.h"
#include "pg/scan/score_batches.h"
#include "pg/scan/statement_device.h"

extern "C" {
#include "executor/executor.h"
#include "nodes/extensible.h"
}

namespace dlent::pg {
namespace {

struct ScoreScanState {
    CustomScanState custom;
    ScoreBatches* batches;
};

ScoreScanState* StateOf(ScanState* node) {
    return reinterpret_cast<ScoreScanState*>(node);
}

void Begin(CustomScanState* node, EState* estate, int eflags) {
    auto* scan = reinterpret_cast<CustomScan*>(node->ss.ps.plan);
    outerPlanState(node) = ExecInitNode(outerPlan(scan), estate, eflags);
    const ScorePlan plan = DecodeScorePlan(scan->custom_private);
    StateOf(&node->ss)->batches =
        GuardCallback([&] { return Own(estate->es_query_cxt, std::make_unique<ScoreBatches>(plan, node)); });
}

TupleTableSlot* Access(ScanState* node) {
    StateOf(node)->batches->Next(node->ss_ScanTupleSlot);
    return node->ss_ScanTupleSlot;
}

/// Rows are never checked again: plans that lock rows are not batched.
bool Recheck(ScanState*, TupleTableSlot*) {
    return true;
}

TupleTableSlot* Execute(CustomScanState* node) {
    return ExecScan(&node->ss, Access, Recheck);
}

void End(CustomScanState* node) {
    ExecEndNode(outerPlanState(node));
}

void Rescan(CustomScanState* node) {
    StateOf(&node->ss)->batches->Restart();
    ExecScanReScan(&node->ss);
    if (outerPlanState(node)->chgParam == nullptr)
        ExecReScan(outerPlanState(node));
}

void ExplainRollout(const RolloutPlan& rollout, ExplainState* explain) {
    ExplainPropertyInteger("Rollout", nullptr, rollout.id, explain);
    ExplainPropertyText("Mode", rollout.mode, explain);
    ExplainPropertyFloat("Share", nullptr, rollout.share, 4, explain);
    List* versions = NIL;
    ListCell* cell = nullptr;
    foreach (cell, rollout.versions)
        versions = lappend(versions, psprintf("%d", lfirst_int(cell)));
    ExplainPropertyList("Versions", versions, explain);
}

void Explain(CustomScanState* node, List*, ExplainState* explain) {
    const ScorePlan plan = DecodeScorePlan(reinterpret_cast<CustomScan*>(node->ss.ps.plan)->custom_private);
    const StatementDevice* device = StatementDevice::Of(node->ss.ps.state);
    ListCell* cell = nullptr;
    foreach (cell, plan.groups) {
        const auto* group = static_cast<ScoreGroup*>(lfirst(cell));
        if (group->digest != nullptr)
            ExplainPropertyText("Digest", group->digest, explain);
        else
            ExplainPropertyText("Model", group->model != nullptr ? group->model : "(parameter)", explain);
        if (group->version > 0)
            ExplainPropertyInteger("Version", nullptr, group->version, explain);
        if (group->rollout != nullptr)
            ExplainRollout(*group->rollout, explain);
        ExplainPropertyText("Device", device == nullptr ? "cpu" : device->name(), explain);
    }
    const int batch_rows =
        device == nullptr ? plan.batch_rows : StateOf(&node->ss)->batches->batch_rows(plan.batch_rows);
    ExplainPropertyInteger("Batch Size", "rows", batch_rows, explain);
    NodeInstrumentation* instrument = node->ss.ps.instrument;
    NodeInstrumentation* below = outerPlanState(node)->instrument;
    if (!explain->analyze || instrument == nullptr || below == nullptr)
        return;
    InstrEndLoop(below);
    ExplainPropertyFloat("Batches", nullptr, instrument->ntuples2, 0, explain);
    ExplainPropertyFloat("Rows Scored", nullptr, below->ntuples, 0, explain);
    if (explain->timing)
        ExplainPropertyFloat("Model Time", "ms", instrument->nfiltered2, 3, explain);
}

const CustomExecMethods kExecMethods = {
    "DlentScore", Begin,   Execute, End,     Rescan,  nullptr, nullptr,
    nullptr,      nullptr, nullptr, nullptr, nullptr, Explain,
};

Node* CreateState(CustomScan*) {
    auto* state = static_cast<ScoreScanState*>(palloc0(sizeof(ScoreScanState)));
    NodeSetTag(state, T_CustomScanState);
    state->custom.methods = &kExecMethods;
    return reinterpret_cast<Node*>(state);
}

const CustomScanMethods kScanMethods = {"DlentScore", CreateState};

}  // namespace

CustomScan* MakeScoreScan(Plan* child, const ScorePlan& plan, List* scan_tlist) {
    CustomScan* scan = makeNode(CustomScan);
    scan->custom_private = EncodeScorePlan(plan);
    scan->custom_scan_tlist = scan_tlist;
    scan->methods = &kScanMethods;
    outerPlan(scan) = child;
    return scan;
}

bool IsScoreScan(const PlanState* node) {
    return IsA(node, CustomScanState) &&
           reinterpret_cast<const CustomScanState*>(node)->methods == &kExecMethods;
}

void RegisterScoreScan() {
    RegisterCustomScanMethods(&kScanMethods);
}

}  // namespace dlent::pg
