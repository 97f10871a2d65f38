#include "pg/bridge/postgres.h"

#include "pg/scan/statement_device.h"

#include <unordered_map>

#include "pg/bridge/compat_rare.h"
#include "pg/bridge/error.h"
#include "pg/bridge/memory.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/relations.h"
#include "pg/gpu/scoring_choice.h"
#include "pg/gpu/settings.h"
#include "pg/scan/rewrite.h"
#include "pg/scan/score_plan.h"
#include "pg/scan/score_scan.h"

extern "C" {
#include "access/parallel.h"
#include "commands/extension.h"
#include "executor/executor.h"
}

namespace dlent::pg {
namespace {

constexpr const char* kOneDevice =
    "Other rows of the statement have been scored there, and one device scores all; run it again.";

std::unordered_map<const EState*, StatementDevice*>& Statements() {
    static std::unordered_map<const EState*, StatementDevice*> statements;
    return statements;
}

bool CollectScans(PlanState* node, void* scans) {
    if (IsScoreScan(node))
        *static_cast<List**>(scans) = lappend(*static_cast<List**>(scans), node);
    return WalkPlanStates(node, CollectScans, scans);
}

/// What the nodes are about to score. False when one of them does what only the CPU does: int8, a rollout, or
/// a model that is not known yet.
bool Estimate(List* scans, ScoringWork* total) {
    ListCell* cell = nullptr;
    foreach (cell, scans) {
        const auto* scan = static_cast<CustomScanState*>(lfirst(cell));
        const auto* plan = reinterpret_cast<CustomScan*>(scan->ss.ps.plan);
        const ScorePlan scores = DecodeScorePlan(plan->custom_private);
        ListCell* group_cell = nullptr;
        foreach (group_cell, scores.groups) {
            const auto* group = static_cast<ScoreGroup*>(lfirst(group_cell));
            FoundVersion version;
            const char* name = nullptr;
            const bool found =
                group->digest != nullptr
                    ? FindDigestIfAllowed(DigestOfText(group->digest), Privilege::kPredict, &version, &name)
                    : group->model != nullptr &&
                          FindVersionIfAllowed(group->model, group->version, Privilege::kPredict, &version);
            if (!found || version.int8 || group->rollout != nullptr ||
                (group->version == 0 && version.model.rollout != 0))
                return false;
            total->Add(EstimateScoring(version, outerPlan(plan)->plan_rows));
        }
    }
    return true;
}

}  // namespace

StatementDevice::~StatementDevice() {
    Statements().erase(estate_);
}

StatementDevice* StatementDevice::Of(const EState* estate) {
    const auto found = Statements().find(estate);
    return found == Statements().end() ? nullptr : found->second;
}

void StatementDevice::Choose(QueryDesc* query) {
    PlannedStmt* const statement = query->plannedstmt;
    if (IsParallelWorker() || !OidIsValid(get_extension_oid("dlent", true)) ||
        !list_member_oid(statement->relationOids, GetCatalogRelations().model) || HasScoreCalls(statement))
        return;
    List* scans = NIL;
    CollectScans(query->planstate, &scans);
    ScoringWork work;
    if (scans == NIL || !Estimate(scans, &work))
        return;
    const bool wanted = GuardCallback([&work] {
        std::optional<RoutingDecision> decision;
        return WantsGpu(work, &decision);
    });
    if (!wanted)
        return;
    EState* const estate = query->estate;
    GuardCallback([&] {
        std::unique_ptr<StatementDevice> device(new StatementDevice(estate, work));
        Statements()[estate] = Own(estate->es_query_cxt, std::move(device));
    });
    // one process: the plan may be a cached one, which is not ours to change
    if (statement->parallelModeNeeded) {
        auto* const alone = static_cast<PlannedStmt*>(palloc(sizeof(PlannedStmt)));
        *alone = *statement;
        alone->parallelModeNeeded = false;
        query->plannedstmt = alone;
    }
}

std::shared_ptr<Scorer> StatementDevice::Acquire(const VersionIdentity& identity,
                                                 const std::shared_ptr<Scorer>& local) {
    if (on_cpu_)
        return local;
    for (const Version& version : versions_) {
        if (version.digest == identity.digest)
            return version.scorer;
    }
    std::shared_ptr<RemoteScorer> scorer = Open(identity, *local);
    if (scorer == nullptr) {
        LeaveToCpu();
        return local;
    }
    device_ = scorer->device_name();
    index_ = scorer->device();
    versions_.push_back({identity.digest, scorer});
    return scorer;
}

std::shared_ptr<RemoteScorer> StatementDevice::Open(const VersionIdentity& identity, const Scorer& local) {
    const InterruptToken interrupts;
    std::optional<RoutingDecision> decision;
    // what the devices say counts once: then all of the statement is there
    if (!index_ && CurrentScoringDevice() == ScoringDevice::kAuto)
        decision.emplace();
    Expected<std::unique_ptr<RemoteScorer>> opened =
        OpenOnGpu(identity, local, work_, index_, &decision, interrupts);
    interrupts.ThrowIfCancelled();
    if (opened.ok())
        return std::move(*opened);
    if (answered_)
        ThrowDeviceFailure(opened.status(), kNotScored, kOneDevice);
    ReportDeviceFailure(opened.status(), kScoredOnCpu, kNotScored);
    return nullptr;
}

bool StatementDevice::Stands() {
    if (on_cpu_)
        return true;
    for (const Version& version : versions_) {
        if (version.scorer->status().ok())
            continue;
        version.scorer->ThrowIfInterrupted();
        if (answered_)
            ThrowDeviceFailure(version.scorer->status(), kNotScored, kOneDevice);
        ReportDeviceFailure(version.scorer->status(), kScoredOnCpu, kNotScored);
        on_cpu_ = true;
        return false;
    }
    answered_ = true;
    return true;
}

void StatementDevice::LeaveToCpu() {
    if (answered_ && !on_cpu_)
        throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       "the statement scores by a model that a GPU does not take",
                       "Other rows of it have been scored on a GPU, and one device scores all.",
                       "Run the statement again, or set dlent.scoring_device to cpu.");
    on_cpu_ = true;
}

const char* StatementDevice::name() const {
    return on_cpu_ ? "cpu" : device_.empty() ? "gpu" : device_.c_str();
}

}  // namespace dlent::pg
