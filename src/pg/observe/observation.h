#pragma once

#include <string>

#include "core/base/json.h"
#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// What is recorded of a model's answers: dlent.model.observation, which dlent_observe sets.
struct Observation {
    double sample = 0.0;          ///< share of rows that become rows of dlent.prediction
    double rollout_sample = 0.0;  ///< the same while a rollout is under way
    std::string unit;             ///< column whose value keeps rows together; server encoding; empty: none
    std::string key;              ///< column by which outcomes are matched; server encoding; empty: none
    bool features = false;        ///< the features too, as the version saw them
    bool sketches = false;        ///< distributions of features and answers are counted

    bool operator==(const Observation&) const = default;

    /// Whether anything is recorded.
    bool active() const { return sample > 0.0 || rollout_sample > 0.0 || sketches; }

    /// Of a model whose owner has said nothing, while a rollout over `unit` is under way: the rollout is
    /// judged by what is recorded of it.
    static Observation OfRollout(const std::string& unit);
    /// What a user wrote, completed by defaults. 22023 with a HINT that lists the options.
    static Observation Parse(const Json& options);
    /// As stored: every key is there.
    Json ToJson() const;
    /// Reads what ToJson() wrote.
    static Observation FromJson(const Json& stored);
};

}  // namespace dlent::pg
