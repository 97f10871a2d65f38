#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/features/task.h"

namespace dlent::pg {

/// What the champion says where a policy leaves something open.
struct PolicyDefaults {
    std::string source;  ///< that it was trained on
    std::string target;
    Task task = Task::kAuto;
    Json options;  ///< that it was trained with
};

/// When a model is trained anew, how, and what the result must be like to become the champion: the policy of
/// dlent_monitor (docs/monitoring.md). Texts are in the server's encoding, spans of time in seconds.
struct MonitorPolicy {
    struct Drift {
        Json options;  ///< of dlent_drift: profile, features, threshold, alpha, concept
        int min_features = 1;
        std::optional<double> share;  ///< of the model's features, in place of min_features
        int alarms = 2;               ///< of the last `windows` runs
        int windows = 3;
    };
    struct Metric {
        std::string name;
        std::optional<double> min;
        std::optional<double> max;
        std::optional<double> drop;  ///< how much worse than when the champion was trained
        std::string source;          ///< rows with outcomes; empty: the monitor's
    };
    struct Data {
        double min_volume = 0.7;  ///< rows, relative to those that were accepted last
        std::optional<double> max_volume;
        double max_prior_change = 0.2;      ///< share of outcomes that have another label
        double max_label_ratio = 4.0;       ///< a label's share becomes no more times larger or smaller
        double max_mean_shift = 1.0;        ///< of a numeric target, in its standard deviations
        double max_missing_increase = 0.3;  ///< share of a feature's values
        double max_outside = 0.25;  ///< share of a feature's values that training never saw the like of
        double max_duplicate_increase = 0.05;  ///< share of rows
    };
    struct Holdout {
        std::string source;       ///< rows that no training sees, named by the user; else
        std::string time_column;  ///< the newest by this column; else rows chosen by their content
        double fraction = 0.2;
        std::optional<double>
            newest;  ///< in place of fraction, with time_column: so long before the last row
    };
    struct Fairness {
        std::string column;
        std::string metric;  ///< demographic_parity, equal_opportunity
        double max_difference = 0.1;
        double threshold = 0.5;  ///< of the positive decision
    };

    std::string train_source;
    std::string target;
    std::optional<Drift> drift;
    bool watch_expectations = true;
    std::optional<Metric> metric_trigger;
    std::optional<int64_t> new_labels;
    std::optional<double> age;

    std::vector<Json> recipes;  ///< options of dlent_train; they compete on the same held-out rows

    std::optional<Data> data;
    bool leaks = true;
    std::string metric;
    std::string weight_column;  ///< of held-out rows, where they have it; empty: all weigh the same
    double margin = 0.0;
    double confidence = 0.95;
    Holdout holdout;
    std::string golden;
    double golden_margin = 0.02;
    std::vector<std::string> slices;  ///< columns, or predicates
    double slice_margin = 0.02;
    int min_slice_rows = 50;
    bool expectations = true;
    std::optional<Fairness> fairness;

    bool refit = false;  ///< what has passed the gates is trained on the held-out rows too, and goes on

    std::optional<Json>
        shadow;  ///< options of dlent_deploy: a candidate that has passed the gates is tried out
    std::optional<Json> canary;  ///< so, and then so; with neither it is promoted at once

    double cooldown = 86400.0;
    double backoff = 3600.0;
    double backoff_limit = 7 * 86400.0;
    std::optional<int64_t> max_runs;
    Json job = Json::object();  ///< options of the schedule and its jobs

    /// Checks what a user gave, or reads what ToJson() wrote. 22023 with the path of the key.
    static MonitorPolicy Parse(const Json& json, const PolicyDefaults& defaults);
    /// As stored: every key is there.
    Json ToJson() const;

    /// Seconds to wait after the `failures`th retrain in a row, from 1, that ended without a promotion.
    double WaitAfter(int failures) const;
};

}  // namespace dlent::pg
