#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/features/task.h"

namespace dlent::pg {

/// The statements that sum up the predictions of a rollout and their outcomes, for a list of metrics.
class Measurement {
 public:
    /// `metrics` outlives this; `task` is that of the rollout's model.
    Measurement(const std::vector<std::string>& metrics, Task task);

    /// Parameters of the statements, from 1; names of outcomes() follow from kFirstOutcome on.
    enum : int { kRollout = 1, kFrom, kUntil, kStep, kModel, kTask, kFirstOutcome };
    const std::vector<std::string>& outcomes() const { return outcomes_; }

    /// Whether there are many predictions beside all outcomes, 1 or 0: then JoinAll() makes the statements
    /// below faster.
    static std::string ManyStatement();
    /// Has outcomes joined by reading all of them, in place of looking up those of each prediction. Such
    /// statements must be planned without nested loops: one whose estimate is off compares all with all.
    void JoinAll() { joins_all_ = true; }

    /// Columns of ArmStatement(): these, then those of each metric.
    enum : int { kArm, kUnits, kStepUnits, kAnswers, kErrors, kNonFinite, kLatency, kArmColumns };
    enum : int { kCount, kMean, kVariance, kStepCount, kInvalid, kMetricColumns };

    /// A row for each arm: one pass over predictions, summed up by unit, then by arm.
    std::string ArmStatement() const;

    /// Columns of PairStatement(): these, then those of each metric.
    enum : int { kPairArm, kRequests, kAgreement, kCorrelation, kLatencyRatio, kPairColumns };
    enum : int {
        kPairs,
        kDifference,
        kDifferenceVariance,
        kControl,
        kControlVariance,
        kCovariance,
        kStepPairs,
        kPairMetricColumns
    };

    /// A row for each shadow: its answers beside the champion's to the same requests.
    std::string PairStatement() const;

 private:
    int Outcome(std::string_view name);
    std::string Joins(const std::string& table) const;
    std::string Labels() const;
    std::string Label(size_t metric) const;
    std::string Invalid(size_t metric) const;
    bool IsOfTwoClasses(size_t metric) const;
    /// Columns of a prediction, as a statement calls them.
    struct Answer {
        std::string score;
        std::string label;
        std::string probabilities;
    };
    std::string Value(size_t metric, const Answer& answer) const;
    bool NeedsProbabilities() const;

    const std::vector<std::string>& metrics_;
    const Task task_;
    bool joins_all_ = false;
    std::vector<int> outcome_;  ///< of each metric; −1: none
    std::vector<std::string> outcomes_;
};

}  // namespace dlent::pg
