#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/rollout/decision_rule.h"
#include "core/rollout/experiment.h"

namespace dlent {

/// What was measured of one metric on one arm. A unit's mean over its predictions is one observation.
struct MetricNumbers {
    ArmStatistics units;      ///< units that have the metric
    double step_units = 0.0;  ///< of these, those with a prediction in the current step
    double invalid = 0.0;     ///< predictions whose outcome the metric has no meaning for: a label of 7
    /// Of a shadow: against the champion's answers to the same requests.
    PairedStatistics pairs;
    double step_pairs = 0.0;
};

/// What was measured of one arm. Metrics and units are those of the whole rollout, because the sequences hold
/// over all of it; answers, errors and latency those of the current step, because they follow the load.
struct ArmNumbers {
    int arm = 0;
    std::string name;  ///< UTF-8
    int version = 0;
    double weight = 0.0;
    bool shadow = false;
    double units = 0.0;       ///< that were answered, with an outcome or not
    double step_units = 0.0;  ///< in the current step
    double answers = 0.0;
    double errors = 0.0;
    double non_finite = 0.0;
    std::optional<double> latency_us;     ///< mean
    std::optional<double> latency_ratio;  ///< of a shadow: to the champion's on the same requests
    std::optional<double> agreement;      ///< of a shadow: share of requests with the champion's label
    std::optional<double> correlation;    ///< of a shadow: of its scores with the champion's
    double paired_requests = 0.0;
    std::vector<MetricNumbers> metrics;  ///< in the order of RolloutNumbers::metrics
};

/// Everything that a report and a verdict are made of.
struct RolloutNumbers {
    std::vector<std::string> metrics;  ///< UTF-8
    std::vector<ArmNumbers> arms;      ///< the champion first
    double seconds_in_step = 0.0;
    /// Names of expectations of severity error that a version did not meet when it was last checked, by arm;
    /// empty optional: nothing is known.
    std::vector<std::optional<std::vector<std::string>>> broken_expectations;

    /// Treatments share alpha (Bonferroni), so that many arms raise nobody's hopes.
    double Treatments() const { return static_cast<double>(arms.size()) - 1.0; }
};

enum class CheckStatus { kPass, kFail, kInconclusive, kError };
const char* CheckStatusName(CheckStatus status);

/// A treatment beside the champion in one metric.
struct Comparison {
    Difference difference;
    /// Known: there are 30 units in each arm (30 pairs), and they vary.
    bool known = false;
    ConfidenceSequence sequence;  ///< when known
    double fixed_p_value = 1.0;   ///< when known: of one look
};

/// Compares by pairs when the treatment is a shadow. `alpha` is this comparison's own.
Comparison CompareMetric(const MetricNumbers& control, const MetricNumbers& treatment, bool shadow,
                         double alpha, double tuning_units, bool relative);

/// Pass: surely better than `margin` worse. Fail: surely more than `margin` worse.
CheckStatus JudgeComparison(const JudgedMetric& judged, const Comparison& comparison);

/// A count, which is no 10000.0.
Json CountJson(double count);

/// Of the units of the arms that answer.
SampleRatio SampleRatioOf(const RolloutNumbers& numbers);

}  // namespace dlent
