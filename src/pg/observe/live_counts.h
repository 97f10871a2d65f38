#pragma once

#include <optional>
#include <string>

#include "core/drift/live_sketch.h"
#include "core/model/model.h"
#include "pg/bridge/postgres.h"
#include "pg/catalog/models.h"

namespace dlent::pg {

/// What was counted of a version's live answers in the last `span` microseconds: the windows that ended in
/// that time, and what is in memory.
struct LiveCounts {
    LiveSketch::Samples samples;
    std::string since;  ///< when the first of these windows began: ISO 8601, in UTC
};
/// Nothing when no row was counted. For C++ frames.
std::optional<LiveCounts> ReadLiveCounts(const VersionIdentity& version, const Model& model, int64_t span);

}  // namespace dlent::pg
