#include "core/drift/expected_performance.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace dlent {
namespace {

constexpr int kCalibrationBins = 15;

/// Expected calibration error over bins of equal width.
double CalibrationError(std::span<const double> probabilities, std::span<const int32_t> labels) {
    double predicted[kCalibrationBins] = {};
    double observed[kCalibrationBins] = {};
    for (size_t i = 0; i < labels.size(); ++i) {
        const int bin =
            std::clamp(static_cast<int>(probabilities[i] * kCalibrationBins), 0, kCalibrationBins - 1);
        predicted[bin] += probabilities[i];
        observed[bin] += labels[i];
    }
    double sum = 0.0;
    for (int bin = 0; bin < kCalibrationBins; ++bin)
        sum += std::abs(predicted[bin] - observed[bin]);
    return sum / static_cast<double>(labels.size());
}

}  // namespace

IsotonicCalibrator IsotonicCalibrator::Fit(std::span<const float> scores, std::span<const int32_t> labels,
                                           size_t max_knots) {
    std::vector<uint32_t> order;
    for (uint32_t i = 0; i < scores.size(); ++i) {
        if (std::isfinite(scores[i]))
            order.push_back(i);
    }
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return scores[a] != scores[b] ? scores[a] < scores[b] : a < b; });
    struct Block {
        double first;
        double last;
        double hits;
        double rows;
    };
    std::vector<Block> blocks;
    for (size_t i = 0; i < order.size();) {
        // equal scores are one block to begin with
        Block block{scores[order[i]], scores[order[i]], 0.0, 0.0};
        for (; i < order.size() && scores[order[i]] == block.last; ++i) {
            block.hits += labels[order[i]];
            block.rows += 1.0;
        }
        blocks.push_back(block);
        while (blocks.size() > 1) {
            const Block& last = blocks.back();
            Block& before = blocks[blocks.size() - 2];
            if (before.hits * last.rows < last.hits * before.rows)
                break;
            before.last = last.last;
            before.hits += last.hits;
            before.rows += last.rows;
            blocks.pop_back();
        }
    }
    IsotonicCalibrator calibrator;
    std::vector<Knot>& knots = calibrator.knots_;
    for (const Block& block : blocks) {
        const double rate = block.hits / block.rows;
        knots.push_back({block.first, rate});
        if (block.last > block.first)
            knots.push_back({block.last, rate});
    }
    if (knots.size() > max_knots && max_knots >= 2) {
        std::vector<Knot> kept;
        for (size_t i = 0; i < max_knots; ++i)
            kept.push_back(knots[i * (knots.size() - 1) / (max_knots - 1)]);
        knots = std::move(kept);
    }
    return calibrator;
}

double IsotonicCalibrator::operator()(double score) const {
    if (knots_.empty() || std::isnan(score))
        return score;
    const auto above = std::upper_bound(knots_.begin(), knots_.end(), score,
                                        [](double value, const Knot& knot) { return value < knot.score; });
    if (above == knots_.begin())
        return knots_.front().rate;
    const Knot& low = *(above - 1);
    if (above == knots_.end())
        return low.rate;
    return low.rate + (above->rate - low.rate) * (score - low.score) / (above->score - low.score);
}

Json IsotonicCalibrator::ToJson() const {
    Json scores = Json::array();
    Json rates = Json::array();
    for (const Knot& knot : knots_) {
        scores.push_back(static_cast<float>(knot.score));
        rates.push_back(static_cast<float>(knot.rate));
    }
    return {{"score", std::move(scores)}, {"rate", std::move(rates)}};
}

Expected<IsotonicCalibrator> IsotonicCalibrator::FromJson(const Json& json) {
    const auto corrupt = [] { return Status::Corrupt("the stored calibration is damaged"); };
    if (!json.is_object() || !json.contains("score") || !json.contains("rate"))
        return corrupt();
    const Json& scores = json["score"];
    const Json& rates = json["rate"];
    if (!scores.is_array() || !rates.is_array() || scores.size() != rates.size())
        return corrupt();
    IsotonicCalibrator calibrator;
    for (size_t i = 0; i < scores.size(); ++i) {
        if (!scores[i].is_number() || !rates[i].is_number())
            return corrupt();
        // floats, as ToJson() writes them
        const Knot knot{scores[i].get<float>(), rates[i].get<float>()};
        if (!std::isfinite(knot.score) || !(knot.rate >= 0.0 && knot.rate <= 1.0) ||
            (i > 0 && !(knot.score > calibrator.knots_.back().score)))
            return corrupt();
        calibrator.knots_.push_back(knot);
    }
    return calibrator;
}

std::optional<IsotonicCalibrator> CalibrateIfBetter(std::span<const float> scores,
                                                    std::span<const int32_t> labels) {
    constexpr size_t kFewRows = 100;
    if (scores.size() < kFewRows)
        return std::nullopt;
    std::vector<float> fit_scores;
    std::vector<int32_t> fit_labels;
    std::vector<double> raw;
    std::vector<int32_t> judged;
    for (size_t i = 0; i < scores.size(); ++i) {
        if (i % 2 == 0) {
            fit_scores.push_back(scores[i]);
            fit_labels.push_back(labels[i]);
        } else {
            raw.push_back(scores[i]);
            judged.push_back(labels[i]);
        }
    }
    const IsotonicCalibrator half = IsotonicCalibrator::Fit(fit_scores, fit_labels);
    std::vector<double> calibrated;
    for (const double score : raw)
        calibrated.push_back(half(score));
    if (!(CalibrationError(calibrated, judged) < CalibrationError(raw, judged)))
        return std::nullopt;
    return IsotonicCalibrator::Fit(scores, labels);
}

ExpectedPerformance EstimatePerformance(std::span<const double> scores, std::span<const double> probabilities,
                                        double threshold) {
    ExpectedPerformance result;
    const size_t rows = std::min(scores.size(), probabilities.size());
    double true_positives = 0.0;
    double false_positives = 0.0;
    double false_negatives = 0.0;
    double true_negatives = 0.0;
    for (size_t i = 0; i < rows; ++i) {
        const double p = probabilities[i];
        if (scores[i] >= threshold) {
            true_positives += p;
            false_positives += 1.0 - p;
        } else {
            false_negatives += p;
            true_negatives += 1.0 - p;
        }
    }
    result.rows = static_cast<double>(rows);
    const double positives = true_positives + false_negatives;
    const double negatives = false_positives + true_negatives;
    result.accuracy = (true_positives + true_negatives) / result.rows;
    result.precision = true_positives / (true_positives + false_positives);
    result.recall = true_positives / positives;
    result.f1 = 2.0 * true_positives / (2.0 * true_positives + false_positives + false_negatives);
    result.positive_rate = positives / result.rows;
    result.accuracy_variance = result.accuracy * (1.0 - result.accuracy);

    // the area under the expected curve, by falling score; equal scores are one step
    std::vector<uint32_t> order(rows);
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
    double hits = 0.0;
    double area = 0.0;
    for (size_t i = 0; i < rows;) {
        double step_hits = 0.0;
        double step_misses = 0.0;
        const double score = scores[order[i]];
        for (; i < rows && scores[order[i]] == score; ++i) {
            step_hits += probabilities[order[i]];
            step_misses += 1.0 - probabilities[order[i]];
        }
        area += step_misses * (hits + 0.5 * step_hits);
        hits += step_hits;
    }
    result.roc_auc = area / (positives * negatives);
    return result;
}

}  // namespace dlent
