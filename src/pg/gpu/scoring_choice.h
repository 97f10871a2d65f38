#pragma once

#include <memory>
#include <optional>

#include "core/model/scoring_route.h"
#include "pg/catalog/lookup.h"
#include "pg/gpu/remote_scorer.h"

namespace dlent::pg {

/// How reports of a GPU that failed begin.
inline constexpr const char* kScoredOnCpu = "rows are scored on the CPU";
inline constexpr const char* kNotScored = "rows were not scored on a GPU";

/// By what the catalog knows of a version.
ScoringWork EstimateScoring(const FoundVersion& version, double rows);

/// Whether dlent.scoring_device and dlent.gpu want a GPU for it, by the most that one could do; `decision`:
/// where that is left open. 55000 when one is asked for that dlent.gpu forbids. For C++ frames.
bool WantsGpu(const ScoringWork& work, std::optional<RoutingDecision>* decision);

/// Opens the version on GPU `index`, or any. Null where it is scored in int8, or where that is left open
/// (`decision`) and, by what the devices say, the CPU is better. A failure of the device; kCancelled. For C++
/// frames; throws PgError.
Expected<std::unique_ptr<RemoteScorer>> OpenOnGpu(const VersionIdentity& identity, const Scorer& local,
                                                  const ScoringWork& work, std::optional<int> index,
                                                  std::optional<RoutingDecision>* decision,
                                                  const CancelToken& cancel);

}  // namespace dlent::pg
