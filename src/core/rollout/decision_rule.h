#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dlent {

/// What a metric is made of.
enum class MetricSource {
    kOutcome,       ///< recorded outcomes: the same whoever predicted, unless the prediction had consequences
    kClassAndRow,   ///< score and outcome of a row of two classes: log_loss, brier_score, accuracy; the
                    ///< first and the last also of several
    kNumberAndRow,  ///< score and outcome of a row of a regression: squared_error, absolute_error
    kScore,         ///< score
};

/// A metric by its name: one of those that are computed from predictions, or recorded outcomes of that name.
struct MetricDefinition {
    MetricSource source = MetricSource::kOutcome;
    /// Whether more of it is better; empty: that is for the user to say.
    std::optional<bool> more_is_better;
};
MetricDefinition DefineMetric(std::string_view name);

/// The recorded outcome that computed metrics compare scores with.
inline constexpr std::string_view kLabelOutcome = "outcome";

/// A metric that decides: the treatment is good enough when it is surely better than `margin` worse.
struct JudgedMetric {
    std::string metric;  ///< UTF-8
    bool more_is_better = true;
    double margin = 0.0;  ///< at least 0, in the metric's units
};

/// When a rollout may go on and when it must end.
struct DecisionRule {
    std::optional<JudgedMetric> goal;
    std::vector<JudgedMetric> guardrails;
    double min_duration = 3600.0;        ///< seconds that a step lasts at least
    double min_outcomes = 100.0;         ///< units with an outcome that every arm needs in a step
    std::optional<double> max_duration;  ///< seconds after which a step that has not passed is given up
    double alpha = 0.05;                 ///< of the confidence sequences, shared by all treatments
    double tuning_units = 5000.0;        ///< units of both arms at which the sequences are tightest
    double max_error_rate = 0.01;        ///< of an arm's answers in a step
    std::optional<double> max_latency_us;

    /// The goal, then the guardrails.
    std::vector<const JudgedMetric*> Judged() const;
};

}  // namespace dlent
