#include "pg/bridge/postgres.h"

#include "pg/gpu/scoring_choice.h"

#include <algorithm>

#include "pg/gpu/files.h"
#include "pg/gpu/settings.h"

namespace dlent::pg {
namespace {

/// Where a version was not measured: weights that the CPU works through in a second.
constexpr double kWeightBytesPerSecond = 300e9;
/// What the CPU's kernels do in a second, nearly: networks may use a weight more than once a row.
constexpr double kCpuFlopsPerSecond = 5e10;
/// Before the network is known.
constexpr double kUsualRowBytes = 200.0;

ScoringOffer Offer(const gpu::DeviceStatus& status) {
    ScoringOffer offer;
    if (status.scoring_flops_per_second > 0.0 && status.block_seconds > 0.0) {
        offer.flops_per_second = std::max(offer.flops_per_second, status.scoring_flops_per_second);
        offer.block_seconds = status.block_seconds;
        offer.measured = true;
    }
    offer.is_warm = status.models + status.jobs + status.jobs_done > 0;
    offer.jobs = static_cast<int>(status.jobs + status.waiting);
    return offer;
}

}  // namespace

ScoringWork EstimateScoring(const FoundVersion& version, double rows) {
    ScoringWork work;
    work.rows = rows;
    work.weight_bytes = static_cast<double>(version.weights_bytes);
    work.cpu_seconds_per_row =
        version.score_us > 0.0 ? 1e-6 * version.score_us : work.weight_bytes / kWeightBytesPerSecond;
    work.flops_per_row = std::max(work.weight_bytes / 2.0, work.cpu_seconds_per_row * kCpuFlopsPerSecond);
    work.bytes_per_row = kUsualRowBytes;
    work.block_rows = kMostGpuBlockRows;
    return work;
}

bool WantsGpu(const ScoringWork& work, std::optional<RoutingDecision>* decision) {
    switch (CurrentScoringDevice()) {
        case ScoringDevice::kCpu:
            return false;
        case ScoringDevice::kCuda:
            if (CurrentGpuPolicy() == GpuPolicy::kOff)
                throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                               "scoring device \"cuda\" is not available", "dlent.gpu is off.",
                               "Set dlent.gpu to try or require, or dlent.scoring_device to cpu.");
            return true;
        case ScoringDevice::kAuto:
            break;
    }
    if (CurrentGpuPolicy() == GpuPolicy::kOff ||
        !FileExists(GpuPluginPath(CurrentGpuServerSettings().plugin)))
        return false;
    // a card that is idle and warm is the most that there could be: no process is asked for less
    ScoringOffer most;
    most.is_warm = true;
    *decision = RouteScoring(work, most);
    return (*decision)->gpu;
}

Expected<std::unique_ptr<RemoteScorer>> OpenOnGpu(const VersionIdentity& identity, const Scorer& local,
                                                  const ScoringWork& work, std::optional<int> index,
                                                  std::optional<RoutingDecision>* decision,
                                                  const CancelToken& cancel) {
    if (local.model().quantization) {
        if (!decision->has_value())
            decision->emplace();
        (*decision)->gpu = false;
        (*decision)->reason = "the version is scored in int8, which the CPU does";
        return std::unique_ptr<RemoteScorer>();
    }
    Expected<GpuConnection> connection = GpuConnection::Open(index, cancel);
    if (decision->has_value() && !cancel.IsCancelled()) {
        *decision = connection.ok() ? RouteScoring(work, Offer(connection->status())) : RoutingDecision();
        if (!connection.ok())
            (*decision)->reason = connection.status().message();
        if (!(*decision)->gpu)
            return std::unique_ptr<RemoteScorer>();
    }
    if (!connection.ok())
        return connection.status();
    return RemoteScorer::Open(std::move(*connection), identity, local, cancel);
}

}  // namespace dlent::pg
