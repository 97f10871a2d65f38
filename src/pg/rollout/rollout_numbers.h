#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/features/task.h"
#include "core/rollout/comparison.h"
#include "pg/bridge/error.h"
#include "pg/bridge/option_reader.h"
#include "pg/catalog/models.h"

namespace dlent::pg {

/// A rollout as reports and verdicts see it.
struct StudiedRollout {
    int64_t id = 0;
    int64_t model_id = 0;
    std::string model;  ///< server encoding
    std::string mode;   ///< shadow, canary, experiment
    std::string state;  ///< running, held, promoted, rolled back, stopped
    int step = 0;
    Json options;
    Task task = Task::kBinary;  ///< of the champion
    TimestampTz step_started_at = 0;
    std::vector<ArmNumbers> arms;  ///< nothing measured yet

    bool under_way() const { return state == "running" || state == "held"; }
};

/// Rollout `id` of a model, or with 0 the one under way, else the last, as the active snapshot has it. 42704
/// when there is none, 42501 unless the current user has `privilege`.
StudiedRollout StudyRollout(const std::string& model, int64_t id, Privilege privilege);
/// Its id, from option "rollout"; 0 where there is none.
int64_t RolloutOption(const OptionReader& reader);

/// What the champion of a model answers; nothing when there is no such model or no champion.
std::optional<Task> ChampionTask(const std::string& model);

/// Sums up the predictions of a rollout that were made from `from` to before `until`, and their outcomes. One
/// pass, and for shadows one more; reads only.
RolloutNumbers MeasureRollout(const StudiedRollout& rollout, const std::vector<std::string>& metrics,
                              TimestampTz from, TimestampTz until);

}  // namespace dlent::pg
