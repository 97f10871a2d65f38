#include "core/explain/permutation_importance.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <numeric>
#include <optional>

#include "core/base/random.h"
#include "core/metrics/metrics.h"

namespace dlent {
namespace {

constexpr double kLeastProbability = 1e-7;

/// Whether less is better.
bool IsLoss(const std::string& metric) {
    return metric == "log_loss" || metric == "brier_score" || metric == "rmse" || metric == "mae";
}

int Predicted(const float* probabilities, int outputs) {
    return static_cast<int>(std::max_element(probabilities, probabilities + outputs) - probabilities);
}

std::optional<double> BinaryMetric(const std::string& metric, const std::vector<float>& probabilities,
                                   const std::vector<int32_t>& classes) {
    if (metric == "roc_auc")
        return RocAuc(probabilities, classes);
    if (metric == "average_precision")
        return AveragePrecision(probabilities, classes);
    double sum = 0.0;
    for (size_t i = 0; i < classes.size(); ++i) {
        const double p = probabilities[i];
        const bool positive = classes[i] == 1;
        if (metric == "accuracy")
            sum += (p >= 0.5) == positive;
        else if (metric == "brier_score")
            sum += (p - positive) * (p - positive);
        else
            sum -= std::log(std::clamp(positive ? p : 1.0 - p, kLeastProbability, 1.0 - kLeastProbability));
    }
    return sum / static_cast<double>(classes.size());
}

std::optional<double> MulticlassMetric(const std::string& metric, const std::vector<float>& probabilities,
                                       const std::vector<int32_t>& classes, int outputs) {
    double sum = 0.0;
    for (size_t i = 0; i < classes.size(); ++i) {
        const float* row = &probabilities[i * static_cast<size_t>(outputs)];
        if (metric == "accuracy")
            sum += Predicted(row, outputs) == classes[i];
        else
            sum -= std::log(std::clamp<double>(row[classes[i]], kLeastProbability, 1.0 - kLeastProbability));
    }
    return sum / static_cast<double>(classes.size());
}

std::optional<double> RegressionMetric(const std::string& metric, const std::vector<float>& predicted,
                                       const std::vector<double>& actual) {
    const auto n = static_cast<double>(actual.size());
    const double mean = std::accumulate(actual.begin(), actual.end(), 0.0) / n;
    double squares = 0.0;
    double absolute = 0.0;
    double spread = 0.0;
    for (size_t i = 0; i < actual.size(); ++i) {
        const double error = predicted[i] - actual[i];
        squares += error * error;
        absolute += std::abs(error);
        spread += (actual[i] - mean) * (actual[i] - mean);
    }
    if (metric == "mae")
        return absolute / n;
    if (metric == "rmse")
        return std::sqrt(squares / n);
    if (spread == 0.0)
        return std::nullopt;
    return 1.0 - squares / spread;
}

/// Rows whose features are shuffled one at a time.
class Permutations {
 public:
    Permutations(const ExplainerStatistics& statistics, Scorer& scorer, const RowSet& rows,
                 const std::string& metric, const CancelToken& cancel)
        : statistics_(statistics),
          scorer_(scorer),
          rows_(rows),
          metric_(metric),
          cancel_(cancel),
          block_rows_(std::min(static_cast<size_t>(scorer.block_rows()), rows.rows())),
          block_(block_rows_ * static_cast<size_t>(rows.cell_count)),
          outputs_(rows.rows() * static_cast<size_t>(scorer.output_count())) {}

    /// The metric with feature `f` of row i taken from row order[i]; the rows as they are for f = -1.
    Status Measure(int f, const std::vector<uint32_t>& order, double* value) {
        const auto width = static_cast<size_t>(rows_.cell_count);
        for (size_t begin = 0; begin < rows_.rows(); begin += block_rows_) {
            if (cancel_.IsCancelled())
                return Status::Cancelled();
            const size_t count = std::min(block_rows_, rows_.rows() - begin);
            std::copy_n(rows_.row(begin), count * width, block_.begin());
            for (size_t i = 0; f >= 0 && i < count; ++i) {
                statistics_.SetValue(f, statistics_.Value(f, rows_.row(order[begin + i])),
                                     &block_[i * width]);
            }
            scorer_.Score(static_cast<int>(count), block_.data(),
                          &outputs_[begin * static_cast<size_t>(scorer_.output_count())]);
            DLENT_RETURN_IF_ERROR(scorer_.status());
        }
        const Task task = scorer_.model().target.task();
        const std::optional<double> metric =
            task == Task::kBinary ? BinaryMetric(metric_, outputs_, rows_.classes)
            : task == Task::kMulticlass
                ? MulticlassMetric(metric_, outputs_, rows_.classes, scorer_.output_count())
                : RegressionMetric(metric_, outputs_, rows_.values);
        if (!metric)
            return {StatusCode::kInsufficientData, metric_ + " is not defined for these rows",
                    "They have one outcome only.",
                    "Give it rows of more than one outcome, or choose another metric."};
        *value = *metric;
        return Status::Ok();
    }

 private:
    const ExplainerStatistics& statistics_;
    Scorer& scorer_;
    const RowSet& rows_;
    const std::string& metric_;
    const CancelToken& cancel_;
    const size_t block_rows_;
    std::vector<Cell> block_;
    std::vector<float> outputs_;
};

}  // namespace

std::vector<std::string> PermutationMetrics(Task task) {
    if (task == Task::kBinary)
        return {"roc_auc", "average_precision", "log_loss", "brier_score", "accuracy"};
    if (task == Task::kMulticlass)
        return {"log_loss", "accuracy"};
    return {"rmse", "mae", "r2"};
}

Expected<PermutationImportance> PermuteFeatures(const ExplainerStatistics& statistics, Scorer& scorer,
                                                const RowSet& rows, const PermutationOptions& options,
                                                const CancelToken& cancel) {
    const std::vector<std::string> metrics = PermutationMetrics(scorer.model().target.task());
    PermutationImportance result;
    result.metric = options.metric.empty() ? metrics[0] : options.metric;
    if (std::find(metrics.begin(), metrics.end(), result.metric) == metrics.end()) {
        std::string list;
        for (const std::string& metric : metrics)
            list += (list.empty() ? "" : ", ") + metric;
        return Status::Invalid("unknown metric \"" + result.metric + "\"", {},
                               "Valid metrics for this model are " + list + ".");
    }
    if (options.repeats < 1)
        return Status::Invalid("the number of repeats must be positive");
    if (rows.rows() < 2)
        return Status(StatusCode::kInsufficientData,
                      "permutation importance needs at least two rows with an outcome");
    try {
        Permutations permutations(statistics, scorer, rows, result.metric, cancel);
        DLENT_RETURN_IF_ERROR(permutations.Measure(-1, {}, &result.baseline));
        const double sign = IsLoss(result.metric) ? 1.0 : -1.0;
        std::vector<uint32_t> order(rows.rows());
        for (int f = 0; f < static_cast<int>(statistics.features().size()); ++f) {
            double sum = 0.0;
            double squares = 0.0;
            for (int repeat = 0; repeat < options.repeats; ++repeat) {
                // by feature and repeat, so that one feature's importance does not depend on the others
                RandomStream random(options.seed,
                                    static_cast<uint64_t>(f) << 32 | static_cast<uint32_t>(repeat));
                std::iota(order.begin(), order.end(), 0u);
                random.Shuffle(order.data(), order.size());
                double value = 0.0;
                DLENT_RETURN_IF_ERROR(permutations.Measure(f, order, &value));
                const double drop = sign * (value - result.baseline);
                sum += drop;
                squares += drop * drop;
            }
            const double n = options.repeats;
            const double mean = sum / n;
            const double variance = n > 1.0 ? std::max(0.0, (squares - n * mean * mean) / (n - 1.0)) : 0.0;
            result.features.push_back({f, mean, std::sqrt(variance / n)});
        }
        std::stable_sort(result.features.begin(), result.features.end(),
                         [](const auto& a, const auto& b) { return a.importance > b.importance; });
        return result;
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory", "Features were being permuted.");
    }
}

}  // namespace dlent
