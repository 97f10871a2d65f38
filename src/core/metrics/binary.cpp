#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/metrics/metrics.h"
#include "core/metrics/ranking.h"

namespace dlent {
namespace {

constexpr int kCalibrationBins = 15;
constexpr size_t kCurvePoints = 200;

double WeightOf(std::span<const float> weights, size_t row) {
    return weights.empty() ? 1.0 : weights[row];
}

std::optional<double> Ratio(double part, double whole) {
    return whole > 0.0 ? std::optional<double>(part / whole) : std::nullopt;
}

std::optional<double> RocAucOf(const RankedCounts& ranked) {
    if (ranked.positives <= 0.0 || ranked.negatives <= 0.0)
        return std::nullopt;
    double area = 0.0;
    double positives = 0.0;
    double negatives = 0.0;
    for (const RankedCounts::Step& step : ranked.steps) {
        area += (step.negatives - negatives) * (step.positives + positives) / 2.0;
        positives = step.positives;
        negatives = step.negatives;
    }
    return area / (ranked.positives * ranked.negatives);
}

std::optional<double> AveragePrecisionOf(const RankedCounts& ranked) {
    if (ranked.positives <= 0.0)
        return std::nullopt;
    double sum = 0.0;
    double positives = 0.0;
    for (const RankedCounts::Step& step : ranked.steps) {
        sum += (step.positives - positives) * step.positives / (step.positives + step.negatives);
        positives = step.positives;
    }
    return sum / ranked.positives;
}

ThresholdCounts CountsOf(const RankedCounts& ranked, double threshold, double positives, double negatives) {
    ThresholdCounts counts;
    counts.threshold = threshold;
    counts.true_positives = positives;
    counts.false_positives = negatives;
    counts.true_negatives = ranked.negatives - negatives;
    counts.false_negatives = ranked.positives - positives;
    return counts;
}

ThresholdCounts CountsAt(const RankedCounts& ranked, double threshold) {
    const auto below =
        std::partition_point(ranked.steps.begin(), ranked.steps.end(),
                             [&](const RankedCounts::Step& step) { return step.score >= threshold; });
    if (below == ranked.steps.begin())
        return CountsOf(ranked, threshold, 0.0, 0.0);
    return CountsOf(ranked, threshold, std::prev(below)->positives, std::prev(below)->negatives);
}

double Matthews(const ThresholdCounts& c) {
    const double product = (c.true_positives + c.false_positives) * (c.true_positives + c.false_negatives) *
                           (c.true_negatives + c.false_positives) * (c.true_negatives + c.false_negatives);
    if (product <= 0.0)
        return 0.0;
    return (c.true_positives * c.true_negatives - c.false_positives * c.false_negatives) / std::sqrt(product);
}

/// Evenly spaced steps, the first and the last among them.
template <typename Point>
std::vector<CurvePoint> Thin(const RankedCounts& ranked, Point point) {
    std::vector<CurvePoint> curve;
    const size_t count = ranked.steps.size();
    const size_t wanted = std::min(count, kCurvePoints);
    for (size_t i = 0; i < wanted; ++i) {
        const size_t step = wanted == 1 ? 0 : i * (count - 1) / (wanted - 1);
        curve.push_back(point(ranked.steps[step]));
    }
    return curve;
}

Json CountsJson(const ThresholdCounts& counts) {
    Json json = {{"threshold", counts.threshold},
                 {"tp", counts.true_positives},
                 {"fp", counts.false_positives},
                 {"tn", counts.true_negatives},
                 {"fn", counts.false_negatives}};
    if (const auto precision = counts.precision())
        json["precision"] = *precision;
    if (const auto recall = counts.recall())
        json["recall"] = *recall;
    if (const auto rate = counts.false_positive_rate())
        json["fpr"] = *rate;
    json["f1"] = counts.f1();
    return json;
}

Json CurveJson(const std::vector<CurvePoint>& curve, const char* x, const char* y) {
    Json json = Json::array();
    for (const CurvePoint& point : curve)
        json.push_back({{x, point.x}, {y, point.y}});
    return json;
}

}  // namespace

RankedCounts RankScores(std::span<const float> scores, std::span<const int32_t> labels,
                        std::span<const float> weights) {
    std::vector<uint32_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return IsBelow(scores[b], scores[a]); });
    RankedCounts ranked;
    for (size_t i = 0; i < order.size(); ++i) {
        const uint32_t row = order[i];
        (labels[row] != 0 ? ranked.positives : ranked.negatives) += WeightOf(weights, row);
        if (i + 1 == order.size() || scores[order[i + 1]] != scores[row])
            ranked.steps.push_back({scores[row], ranked.positives, ranked.negatives});
    }
    return ranked;
}

std::optional<double> RocAuc(std::span<const float> scores, std::span<const int32_t> labels,
                             std::span<const float> weights) {
    return RocAucOf(RankScores(scores, labels, weights));
}

std::optional<double> AveragePrecision(std::span<const float> scores, std::span<const int32_t> labels,
                                       std::span<const float> weights) {
    return AveragePrecisionOf(RankScores(scores, labels, weights));
}

std::optional<double> ThresholdCounts::precision() const {
    return Ratio(true_positives, true_positives + false_positives);
}

std::optional<double> ThresholdCounts::recall() const {
    return Ratio(true_positives, true_positives + false_negatives);
}

std::optional<double> ThresholdCounts::false_positive_rate() const {
    return Ratio(false_positives, false_positives + true_negatives);
}

double ThresholdCounts::f1() const {
    return Ratio(2.0 * true_positives, 2.0 * true_positives + false_positives + false_negatives)
        .value_or(0.0);
}

BinaryReport EvaluateBinary(std::span<const float> probabilities, std::span<const int32_t> labels,
                            std::span<const float> weights, double threshold) {
    BinaryReport report;
    report.rows = probabilities.size();
    report.threshold = threshold;
    if (probabilities.empty())
        return report;
    const RankedCounts ranked = RankScores(probabilities, labels, weights);
    const double total = ranked.positives + ranked.negatives;
    if (total <= 0.0)
        return report;
    report.positive_rate = ranked.positives / total;
    report.roc_auc = RocAucOf(ranked);
    report.average_precision = AveragePrecisionOf(ranked);

    report.calibration.resize(kCalibrationBins);
    for (size_t row = 0; row < probabilities.size(); ++row) {
        const double p = probabilities[row];
        const double y = labels[row] != 0 ? 1.0 : 0.0;
        const double weight = WeightOf(weights, row);
        const double clipped = std::clamp(p, kSmallestProbability, 1.0 - kSmallestProbability);
        report.log_loss -= weight * (y > 0.0 ? std::log(clipped) : std::log1p(-clipped));
        report.brier_score += weight * (p - y) * (p - y);
        const int index =
            std::isnan(p) ? 0 : std::clamp(static_cast<int>(p * kCalibrationBins), 0, kCalibrationBins - 1);
        CalibrationBin& bin = report.calibration[index];
        bin.mean_predicted += weight * p;
        bin.observed_rate += weight * y;
        bin.weight += weight;
    }
    report.log_loss /= total;
    report.brier_score /= total;
    std::erase_if(report.calibration, [](const CalibrationBin& bin) { return bin.weight <= 0.0; });
    for (CalibrationBin& bin : report.calibration) {
        report.ece += std::abs(bin.mean_predicted - bin.observed_rate) / total;
        bin.mean_predicted /= bin.weight;
        bin.observed_rate /= bin.weight;
    }

    report.at_threshold = CountsAt(ranked, threshold);
    report.accuracy = (report.at_threshold.true_positives + report.at_threshold.true_negatives) / total;
    if (ranked.positives > 0.0 && ranked.negatives > 0.0) {
        report.balanced_accuracy = (report.at_threshold.true_positives / ranked.positives +
                                    report.at_threshold.true_negatives / ranked.negatives) /
                                   2.0;
        double gap = 0.0;
        for (const RankedCounts::Step& step : ranked.steps)
            gap = std::max(gap,
                           std::abs(step.positives / ranked.positives - step.negatives / ranked.negatives));
        report.ks = gap;
        report.roc_curve = Thin(ranked, [&](const RankedCounts::Step& step) {
            return CurvePoint{step.negatives / ranked.negatives, step.positives / ranked.positives};
        });
    }
    if (ranked.positives > 0.0) {
        report.pr_curve = Thin(ranked, [&](const RankedCounts::Step& step) {
            return CurvePoint{step.positives / ranked.positives,
                              step.positives / (step.positives + step.negatives)};
        });
    }
    report.matthews_corrcoef = Matthews(report.at_threshold);
    report.best_f1 = report.at_threshold;
    for (const RankedCounts::Step& step : ranked.steps) {
        const ThresholdCounts counts = CountsOf(ranked, step.score, step.positives, step.negatives);
        if (counts.f1() > report.best_f1.f1())
            report.best_f1 = counts;
    }
    for (int percent = 0; percent <= 100; ++percent)
        report.thresholds.push_back(CountsAt(ranked, percent / 100.0));
    return report;
}

Json ToJson(const BinaryReport& report) {
    Json json = Json::object();
    json["rows"] = report.rows;
    if (report.rows == 0)
        return json;
    json["positive_rate"] = report.positive_rate;
    if (report.roc_auc)
        json["roc_auc"] = *report.roc_auc;
    if (report.average_precision)
        json["average_precision"] = *report.average_precision;
    json["log_loss"] = report.log_loss;
    json["brier_score"] = report.brier_score;
    json["ece"] = report.ece;
    if (report.ks)
        json["ks"] = *report.ks;
    json["threshold"] = report.threshold;
    json["accuracy"] = report.accuracy;
    if (report.balanced_accuracy)
        json["balanced_accuracy"] = *report.balanced_accuracy;
    if (const auto precision = report.at_threshold.precision())
        json["precision"] = *precision;
    if (const auto recall = report.at_threshold.recall())
        json["recall"] = *recall;
    json["f1"] = report.at_threshold.f1();
    json["matthews_corrcoef"] = report.matthews_corrcoef;
    json["best_f1"] = {{"threshold", report.best_f1.threshold}, {"f1", report.best_f1.f1()}};
    json["confusion_matrix"] = {{report.at_threshold.true_negatives, report.at_threshold.false_positives},
                                {report.at_threshold.false_negatives, report.at_threshold.true_positives}};
    Json calibration = Json::array();
    for (const CalibrationBin& bin : report.calibration)
        calibration.push_back({{"mean_predicted", bin.mean_predicted},
                               {"observed_rate", bin.observed_rate},
                               {"weight", bin.weight}});
    json["calibration"] = std::move(calibration);
    Json thresholds = Json::array();
    for (const ThresholdCounts& counts : report.thresholds)
        thresholds.push_back(CountsJson(counts));
    json["thresholds"] = std::move(thresholds);
    json["roc_curve"] = CurveJson(report.roc_curve, "fpr", "tpr");
    json["pr_curve"] = CurveJson(report.pr_curve, "recall", "precision");
    return json;
}

}  // namespace dlent
