#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/metrics/metrics.h"
#include "core/metrics/ranking.h"

namespace dlent {
namespace {

constexpr double kQuantiles[] = {0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99};
constexpr size_t kQuantileBins = 10;

/// Linear interpolation between order statistics, numpy's default.
double SortedQuantile(const std::vector<double>& sorted, double quantile) {
    const double position = quantile * static_cast<double>(sorted.size() - 1);
    const size_t below = static_cast<size_t>(position);
    const size_t above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

RegressionReport EvaluateRegression(std::span<const double> predicted, std::span<const double> actual,
                                    std::span<const float> weights) {
    RegressionReport report;
    report.rows = actual.size();
    if (actual.empty())
        return report;
    auto weight_of = [&](size_t row) { return weights.empty() ? 1.0 : static_cast<double>(weights[row]); };
    double total = 0.0;
    double mean = 0.0;
    for (size_t row = 0; row < actual.size(); ++row) {
        total += weight_of(row);
        mean += weight_of(row) * actual[row];
    }
    if (total <= 0.0)
        return report;
    mean /= total;
    double squares = 0.0;
    double spread = 0.0;
    double relative = 0.0;
    double relative_total = 0.0;
    std::vector<double> residuals(actual.size());
    std::vector<double> magnitudes(actual.size());
    for (size_t row = 0; row < actual.size(); ++row) {
        const double weight = weight_of(row);
        const double error = predicted[row] - actual[row];
        residuals[row] = -error;
        magnitudes[row] = std::abs(error);
        squares += weight * error * error;
        spread += weight * (actual[row] - mean) * (actual[row] - mean);
        report.mae += weight * std::abs(error);
        report.bias += weight * error;
        report.max_error = std::max(report.max_error, std::abs(error));
        if (actual[row] != 0.0) {
            relative += weight * std::abs(error / actual[row]);
            relative_total += weight;
        }
    }
    report.rmse = std::sqrt(squares / total);
    report.mae /= total;
    report.bias /= total;
    if (spread > 0.0)
        report.r2 = 1.0 - squares / spread;
    if (relative_total > 0.0)
        report.mape = relative / relative_total;
    std::sort(residuals.begin(), residuals.end(), IsBelow);
    std::sort(magnitudes.begin(), magnitudes.end(), IsBelow);
    report.median_absolute_error = SortedQuantile(magnitudes, 0.5);
    for (const double quantile : kQuantiles)
        report.residual_quantiles.push_back(SortedQuantile(residuals, quantile));

    std::vector<uint32_t> order(actual.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
        if (IsBelow(predicted[a], predicted[b]) != IsBelow(predicted[b], predicted[a]))
            return IsBelow(predicted[a], predicted[b]);
        return a < b;
    });
    for (size_t bin = 0; bin < kQuantileBins; ++bin) {
        CalibrationBin of_bin;
        for (size_t i = bin * order.size() / kQuantileBins; i < (bin + 1) * order.size() / kQuantileBins;
             ++i) {
            const double weight = weight_of(order[i]);
            of_bin.mean_predicted += weight * predicted[order[i]];
            of_bin.observed_rate += weight * actual[order[i]];
            of_bin.weight += weight;
        }
        if (of_bin.weight <= 0.0)
            continue;
        of_bin.mean_predicted /= of_bin.weight;
        of_bin.observed_rate /= of_bin.weight;
        report.calibration.push_back(of_bin);
    }
    return report;
}

Json ToJson(const RegressionReport& report) {
    Json json = Json::object();
    json["rows"] = report.rows;
    if (report.rows == 0)
        return json;
    json["rmse"] = report.rmse;
    json["mae"] = report.mae;
    if (report.r2)
        json["r2"] = *report.r2;
    if (report.mape)
        json["mape"] = *report.mape;
    json["median_absolute_error"] = report.median_absolute_error;
    json["max_error"] = report.max_error;
    json["bias"] = report.bias;
    Json quantiles = Json::object();
    for (size_t i = 0; i < report.residual_quantiles.size(); ++i)
        quantiles[std::to_string(static_cast<int>(std::lround(kQuantiles[i] * 100)))] =
            report.residual_quantiles[i];
    json["residual_percentiles"] = std::move(quantiles);
    Json calibration = Json::array();
    for (const CalibrationBin& bin : report.calibration)
        calibration.push_back({{"mean_predicted", bin.mean_predicted},
                               {"mean_actual", bin.observed_rate},
                               {"weight", bin.weight}});
    json["calibration"] = std::move(calibration);
    return json;
}

}  // namespace dlent
