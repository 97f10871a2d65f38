#pragma once

#include <string>

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/train/share.h"

namespace dlent::gpu {

inline constexpr size_t kGroupIdBytes = 128;

/// Which of the devices a job is for that train one network together: part of the body of kTrain, beside the
/// sizes of the job. Its own process gets it for each of them, with the same memory.
struct RankOfJob {
    int rank = 0;
    int ranks = 1;
    std::string id;  ///< of the group, kGroupIdBytes bytes; empty for rank 0, whose device makes it

    void AddTo(Json* body) const;
    /// Trusts nothing; kCorrupt.
    static Expected<RankOfJob> FromJson(const Json& body);
};

/// What gpud says with kTurn, once the job of a rank has its turn: the id of the group, where it made it.
Json TurnToJson(const std::string& id);
/// The id, or empty; kCorrupt.
Expected<std::string> TurnFromJson(const Json& body);

}  // namespace dlent::gpu
