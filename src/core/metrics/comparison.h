#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/features/task.h"

namespace dlent {

/// +1 where more is better, −1 where less is; 0 for what is no metric, or has no such direction.
int MetricDirection(std::string_view metric);

/// The metrics by which models of a task can be compared.
std::vector<std::string> ComparableMetrics(Task task);
/// Of these, the one that is used unless another is asked for.
const char* DefaultMetric(Task task);

/// Rows with known outcomes, and a model's answers to them. Views: what they look at must outlive them.
struct ScoredRows {
    Task task = Task::kRegression;
    std::span<const std::string> labels;  ///< of a multiclass model, in the order of its answers
    std::span<const float> answers;       ///< [rows × outputs()]
    std::span<const int32_t> classes;     ///< [rows] of class tasks; numbers of labels
    std::span<const double> values;       ///< [rows] of regression
    std::span<const float> weights{};     ///< [rows]; empty: all 1

    size_t rows() const { return task == Task::kRegression ? values.size() : classes.size(); }
    size_t outputs() const { return task == Task::kMulticlass ? labels.size() : 1; }
};

/// A metric over some of the rows; nothing where it is not defined for them.
std::optional<double> MetricOf(const ScoredRows& scored, std::span<const uint32_t> rows,
                               const std::string& metric);

/// How two models compare on the same rows.
struct MetricComparison {
    std::optional<double> first;
    std::optional<double> second;
    double gain = 0.0;            ///< of the first over the second, positive where the first is better
    double standard_error = 0.0;  ///< of the gain
    double p_value = 1.0;         ///< of such a gain where the first is in truth no better
    uint64_t rows = 0;

    /// Better by `margin` and more, and not by chance alone.
    bool Better(double margin, double confidence) const {
        return first && second && gain >= margin && p_value <= 1.0 - confidence;
    }
};

/// Compares models on rows that both have answered, in the same order. The error of the gain is that of a
/// jackknife that leaves out one of 20 groups of rows at a time (every 20th row is of a group), which serves
/// smooth metrics of any kind, ranks included, and draws no random number; the p-value is Student's with 19
/// degrees of freedom.
MetricComparison CompareModels(const ScoredRows& first, const ScoredRows& second, const std::string& metric);

/// The answers of a model that has learnt nothing but how the outcomes of these rows are distributed.
std::vector<float> ConstantAnswers(const ScoredRows& scored);

}  // namespace dlent
