#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/drift/profile.h"

namespace dlent::pg {

/// What a caller asked for; absent: where the rows allow it.
struct DriftRequest {
    DriftOptions statistics;
    std::string profile = "dlent";
    std::string reference;              ///< a source; empty: what the version learnt from
    std::vector<std::string> features;  ///< UTF-8; empty: all
    std::optional<bool> prediction;
    std::optional<bool> target;
    std::optional<bool> performance;
    std::vector<std::string> multivariate;
    std::vector<std::string> concept_detectors;
    bool attribution = false;
    std::string time_column;  ///< server encoding; of `window`
    int64_t window = 0;       ///< microseconds; 0: one report on all rows
    int64_t live = 0;  ///< microseconds: what was counted of live answers in that time, not a source; 0: no
    std::string live_text;  ///< the same as given, server encoding
    uint64_t seed = 42;
    bool store = false;

    /// Whether the report is to be on this feature (UTF-8).
    bool Wants(const std::string& feature) const;
    /// 22023 with a HINT that lists the options.
    static DriftRequest Parse(const Json& json);

 private:
    /// 22023 for what live counts do not tell.
    void CheckLive() const;
};

}  // namespace dlent::pg
