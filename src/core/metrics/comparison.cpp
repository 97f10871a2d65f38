#include "core/metrics/comparison.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/metrics/metrics.h"
#include "core/stats/distributions.h"

namespace dlent {
namespace {

constexpr size_t kGroups = 20;

struct MetricEntry {
    const char* name;
    int direction;
    bool binary;
    bool multiclass;
    bool regression;
};

constexpr std::array kMetrics = {
    MetricEntry{"roc_auc", 1, true, false, false},
    MetricEntry{"average_precision", 1, true, false, false},
    MetricEntry{"log_loss", -1, true, true, false},
    MetricEntry{"brier_score", -1, true, false, false},
    MetricEntry{"ece", -1, true, false, false},
    MetricEntry{"ks", 1, true, false, false},
    MetricEntry{"accuracy", 1, true, true, false},
    MetricEntry{"balanced_accuracy", 1, true, true, false},
    MetricEntry{"precision", 1, true, false, false},
    MetricEntry{"recall", 1, true, false, false},
    MetricEntry{"f1", 1, true, false, false},
    MetricEntry{"matthews_corrcoef", 1, true, false, false},
    MetricEntry{"f1_macro", 1, false, true, false},
    MetricEntry{"f1_weighted", 1, false, true, false},
    MetricEntry{"roc_auc_ovr", 1, false, true, false},
    MetricEntry{"top_3_accuracy", 1, false, true, false},
    MetricEntry{"rmse", -1, false, false, true},
    MetricEntry{"mae", -1, false, false, true},
    MetricEntry{"r2", 1, false, false, true},
    MetricEntry{"mape", -1, false, false, true},
    MetricEntry{"median_absolute_error", -1, false, false, true},
};

template <typename Value>
std::vector<Value> Gather(std::span<const Value> values, std::span<const uint32_t> rows, size_t width) {
    std::vector<Value> gathered;
    gathered.reserve(rows.size() * width);
    for (const uint32_t row : rows)
        gathered.insert(gathered.end(), values.begin() + row * width, values.begin() + (row + 1) * width);
    return gathered;
}

}  // namespace

int MetricDirection(std::string_view metric) {
    for (const MetricEntry& entry : kMetrics) {
        if (metric == entry.name)
            return entry.direction;
    }
    return 0;
}

std::vector<std::string> ComparableMetrics(Task task) {
    std::vector<std::string> names;
    for (const MetricEntry& entry : kMetrics) {
        if (task == Task::kBinary       ? entry.binary
            : task == Task::kMulticlass ? entry.multiclass
                                        : entry.regression)
            names.emplace_back(entry.name);
    }
    return names;
}

const char* DefaultMetric(Task task) {
    return task == Task::kBinary ? "roc_auc" : task == Task::kMulticlass ? "log_loss" : "rmse";
}

std::optional<double> MetricOf(const ScoredRows& scored, std::span<const uint32_t> rows,
                               const std::string& metric) {
    if (rows.empty())
        return std::nullopt;
    const std::vector<float> answers = Gather(scored.answers, rows, scored.outputs());
    const std::vector<float> weights =
        scored.weights.empty() ? std::vector<float>() : Gather(scored.weights, rows, 1);
    Json report;
    if (scored.task == Task::kRegression) {
        report = ToJson(EvaluateRegression(std::vector<double>(answers.begin(), answers.end()),
                                           Gather(scored.values, rows, 1), weights));
    } else {
        const std::vector<int32_t> classes = Gather(scored.classes, rows, 1);
        report = scored.task == Task::kBinary
                     ? ToJson(EvaluateBinary(answers, classes, weights))
                     : ToJson(EvaluateMulticlass(answers, classes,
                                                 {scored.labels.begin(), scored.labels.end()}, weights));
    }
    const auto found = report.find(metric);
    if (found == report.end() || !found->is_number() || !std::isfinite(found->get<double>()))
        return std::nullopt;
    return found->get<double>();
}

MetricComparison CompareModels(const ScoredRows& first, const ScoredRows& second, const std::string& metric) {
    MetricComparison comparison;
    comparison.rows = first.rows();
    std::vector<uint32_t> rows(first.rows());
    std::iota(rows.begin(), rows.end(), 0U);
    comparison.first = MetricOf(first, rows, metric);
    comparison.second = MetricOf(second, rows, metric);
    if (!comparison.first || !comparison.second)
        return comparison;
    const double direction = MetricDirection(metric);
    comparison.gain = direction * (*comparison.first - *comparison.second);

    std::vector<double> gains;
    std::vector<uint32_t> others;
    for (size_t group = 0; group < kGroups; ++group) {
        others.clear();
        for (uint32_t row = 0; row < rows.size(); ++row) {
            if (row % kGroups != group)
                others.push_back(row);
        }
        const std::optional<double> a = MetricOf(first, others, metric);
        const std::optional<double> b = MetricOf(second, others, metric);
        if (!a || !b)
            return comparison;  // it hangs on a few rows
        gains.push_back(direction * (*a - *b));
    }
    const double mean = std::accumulate(gains.begin(), gains.end(), 0.0) / kGroups;
    double squares = 0.0;
    for (const double gain : gains)
        squares += (gain - mean) * (gain - mean);
    comparison.standard_error = std::sqrt(squares * (kGroups - 1) / kGroups);
    if (comparison.standard_error == 0.0) {
        comparison.p_value = comparison.gain > 0.0 ? 0.0 : 1.0;
        return comparison;
    }
    const double t = comparison.gain / comparison.standard_error;
    const double tail = 0.5 * StudentTwoSided(std::abs(t), kGroups - 1);
    comparison.p_value = t > 0.0 ? tail : 1.0 - tail;
    return comparison;
}

std::vector<float> ConstantAnswers(const ScoredRows& scored) {
    std::vector<double> answer(scored.outputs(), 0.0);
    double total = 0.0;
    for (size_t row = 0; row < scored.rows(); ++row) {
        const double weight = scored.weights.empty() ? 1.0 : scored.weights[row];
        total += weight;
        if (scored.task == Task::kRegression)
            answer[0] += weight * scored.values[row];
        else if (scored.task == Task::kBinary)
            answer[0] += weight * scored.classes[row];
        else
            answer[scored.classes[row]] += weight;
    }
    std::vector<float> answers;
    answers.reserve(scored.rows() * answer.size());
    for (size_t row = 0; row < scored.rows(); ++row) {
        for (const double sum : answer)
            answers.push_back(static_cast<float>(sum / total));
    }
    return answers;
}

}  // namespace dlent
