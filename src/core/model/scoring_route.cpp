#include "core/model/scoring_route.h"

#include <algorithm>
#include <cmath>

namespace dlent {
namespace {

/// Below that nobody waits, whatever a GPU could do.
constexpr double kWorthwhileSeconds = 1.0;
constexpr double kBytesPerSecond = 1e9;  ///< encoded by the session and copied to the card

}  // namespace

void ScoringWork::Add(const ScoringWork& other) {
    const double total = rows + other.rows;
    const double share = total > 0.0 ? other.rows / total : 1.0;
    const auto average = [share](double* mine, double others) { *mine += share * (others - *mine); };
    average(&cpu_seconds_per_row, other.cpu_seconds_per_row);
    average(&flops_per_row, other.flops_per_row);
    average(&bytes_per_row, other.bytes_per_row);
    weight_bytes += other.weight_bytes;
    block_rows = rows > 0.0 ? std::min(block_rows, other.block_rows) : other.block_rows;
    rows = total;
}

RoutingDecision RouteScoring(const ScoringWork& work, const ScoringOffer& gpu) {
    const double blocks = std::ceil(work.rows / std::max(work.block_rows, 1));
    const double gpu_seconds =
        (work.rows * work.flops_per_row / gpu.flops_per_second + blocks * gpu.block_seconds) *
            (1 + gpu.jobs) +
        (work.rows * work.bytes_per_row + work.weight_bytes) / kBytesPerSecond +
        (gpu.is_warm ? 0.0 : kColdStartSeconds);
    return ChooseDevice(work.rows * work.cpu_seconds_per_row, gpu_seconds, kWorthwhileSeconds,
                        {1, gpu.jobs, gpu.measured});
}

}  // namespace dlent
