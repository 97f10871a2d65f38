#pragma once

#include <string>

#include "core/base/json.h"
#include "pg/catalog/models.h"
#include "pg/monitor/policy.h"

namespace dlent::pg {

// The rows that a model may be trained anew on. For C++ frames; user SQL runs as the current user, under the
// active snapshot. Texts are in the server's encoding.

/// Which of the rows are learnt from, and which are held out to judge what was learnt: two SELECTs without a
/// row in common, the same ones as long as the rows stay.
struct TrainingSplit {
    std::string train;
    std::string holdout;
};
/// `champion` says which columns make up a row's content: rows with the same features and outcome are on one
/// side. 42703, 22023 for a time column that is none.
TrainingSplit SplitTrainingData(const MonitorPolicy& policy, const VersionIdentity& champion);

/// What is counted of the policy's training rows: {"rows", "labelled", "distinct"}. `distinct` counts
/// contents: features of the champion and outcome.
Json CountTrainingData(const MonitorPolicy& policy, const VersionIdentity& champion);
/// The labelled ones alone.
int64_t CountLabels(const MonitorPolicy& policy);

struct DataVerdict {
    std::string objection;  ///< empty: the rows are accepted
    Json measurements;
};
/// Judges the policy's training rows: their number and repetitions beside those of the rows that were
/// `accepted` last, outcomes and features beside those that the champion learnt from.
DataVerdict JudgeTrainingData(const MonitorPolicy& policy, const VersionIdentity& champion,
                              const Json& accepted);

}  // namespace dlent::pg
