#include <algorithm>
#include <cmath>

#include "core/metrics/metrics.h"

namespace dlent {
namespace {

/// Beyond this many classes one-against-rest curves cost more than they tell.
constexpr size_t kMaxRocClasses = 100;

}  // namespace

MulticlassReport EvaluateMulticlass(std::span<const float> probabilities, std::span<const int32_t> actual,
                                    const std::vector<std::string>& labels, std::span<const float> weights) {
    MulticlassReport report;
    const size_t classes = labels.size();
    report.rows = actual.size();
    if (actual.empty())
        return report;
    report.confusion.assign(classes, std::vector<double>(classes, 0.0));
    double total = 0.0;
    double top_3 = 0.0;
    for (size_t row = 0; row < actual.size(); ++row) {
        const float* p = &probabilities[row * classes];
        const double weight = weights.empty() ? 1.0 : weights[row];
        const size_t truth = static_cast<size_t>(actual[row]);
        const size_t predicted = static_cast<size_t>(std::max_element(p, p + classes) - p);
        report.confusion[truth][predicted] += weight;
        report.log_loss -= weight * std::log(std::clamp<double>(p[truth], kSmallestProbability, 1.0));
        // ties count against the row
        const auto ahead = std::count_if(p, p + classes, [&](float other) { return other >= p[truth]; });
        top_3 += ahead <= 3 ? weight : 0.0;
        total += weight;
    }
    if (total <= 0.0)
        return report;
    report.log_loss /= total;
    if (classes > 3)
        report.top_3_accuracy = top_3 / total;

    int occurring = 0;
    int mentioned = 0;
    for (size_t c = 0; c < classes; ++c) {
        ClassReport of_class;
        of_class.label = labels[c];
        double predicted = 0.0;
        for (size_t other = 0; other < classes; ++other) {
            of_class.support += report.confusion[c][other];
            predicted += report.confusion[other][c];
        }
        const double hits = report.confusion[c][c];
        of_class.precision = predicted > 0.0 ? hits / predicted : 0.0;
        of_class.recall = of_class.support > 0.0 ? hits / of_class.support : 0.0;
        of_class.f1 = predicted + of_class.support > 0.0 ? 2.0 * hits / (predicted + of_class.support) : 0.0;
        report.accuracy += hits / total;
        if (of_class.support > 0.0) {
            ++occurring;
            report.balanced_accuracy += of_class.recall;
        }
        if (predicted + of_class.support > 0.0) {
            ++mentioned;
            report.f1_macro += of_class.f1;
        }
        report.f1_weighted += of_class.f1 * of_class.support / total;
        report.classes.push_back(std::move(of_class));
    }
    report.balanced_accuracy /= std::max(occurring, 1);
    report.f1_macro /= std::max(mentioned, 1);

    if (classes <= kMaxRocClasses) {
        std::vector<float> scores(actual.size());
        std::vector<int32_t> is_class(actual.size());
        double sum = 0.0;
        int counted = 0;
        for (size_t c = 0; c < classes; ++c) {
            for (size_t row = 0; row < actual.size(); ++row) {
                scores[row] = probabilities[row * classes + c];
                is_class[row] = actual[row] == static_cast<int32_t>(c);
            }
            if (const auto auc = RocAuc(scores, is_class, weights)) {
                sum += *auc;
                ++counted;
            }
        }
        if (counted > 0)
            report.roc_auc_ovr = sum / counted;
    }
    return report;
}

Json ToJson(const MulticlassReport& report) {
    Json json = Json::object();
    json["rows"] = report.rows;
    if (report.rows == 0)
        return json;
    json["accuracy"] = report.accuracy;
    json["balanced_accuracy"] = report.balanced_accuracy;
    json["log_loss"] = report.log_loss;
    json["f1_macro"] = report.f1_macro;
    json["f1_weighted"] = report.f1_weighted;
    if (report.roc_auc_ovr)
        json["roc_auc_ovr"] = *report.roc_auc_ovr;
    if (report.top_3_accuracy)
        json["top_3_accuracy"] = *report.top_3_accuracy;
    Json per_class = Json::array();
    for (const ClassReport& of_class : report.classes)
        per_class.push_back({{"label", of_class.label},
                             {"precision", of_class.precision},
                             {"recall", of_class.recall},
                             {"f1", of_class.f1},
                             {"support", of_class.support}});
    json["per_class"] = std::move(per_class);
    json["confusion_matrix"] = report.confusion;
    return json;
}

}  // namespace dlent
