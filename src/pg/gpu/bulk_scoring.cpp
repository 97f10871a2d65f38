#include "pg/bridge/postgres.h"

#include "pg/gpu/bulk_scoring.h"

#include "pg/cache/scorer_cache.h"
#include "pg/gpu/scoring_choice.h"
#include "pg/gpu/settings.h"

namespace dlent::pg {
namespace {

ScoringWork WorkOf(const VersionIdentity& identity, const Model& model, double rows) {
    const FoundVersion version = CallPostgres([&] {
        FoundModel found_model;
        FoundVersion found;
        if (FindModel(identity.model.c_str(), &found_model))
            FindVersionOf(found_model, identity.version, &found);
        return found;
    });
    ScoringWork work = EstimateScoring(version, rows);
    work.bytes_per_row = static_cast<double>(GpuRowBytes(model));
    work.block_rows = GpuBlockRows(model);
    return work;
}

}  // namespace

BulkScoring::BulkScoring(const VersionIdentity& identity, double rows) : local_(AcquireScorer(identity)) {
    if (CurrentScoringDevice() == ScoringDevice::kCpu)
        return;
    const ScoringWork work = WorkOf(identity, local_->model(), rows);
    if (!WantsGpu(work, &decision_))
        return;
    Expected<std::unique_ptr<RemoteScorer>> remote =
        OpenOnGpu(identity, *local_, work, std::nullopt, &decision_, interrupts_);
    interrupts_.ThrowIfCancelled();
    if (remote.ok())
        remote_ = std::move(*remote);
    else
        ReportDeviceFailure(remote.status(), kScoredOnCpu, kNotScored);
}

bool BulkScoring::Stands() {
    if (remote_ == nullptr)
        return true;
    remote_->ThrowIfInterrupted();
    if (remote_->status().ok())
        return true;
    const Status failure = remote_->status();
    remote_.reset();
    ReportDeviceFailure(failure, kScoredOnCpu, kNotScored);
    return false;
}

void BulkScoring::Describe(Json* report) const {
    if (CurrentScoringDevice() == ScoringDevice::kCpu)
        return;
    (*report)["device"] = remote_ != nullptr ? remote_->device_name() : "cpu";
    if (decision_)
        (*report)["routing"] = decision_->ToJson();
}

}  // namespace dlent::pg
