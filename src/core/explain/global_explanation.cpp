#include "core/explain/global_explanation.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace dlent {

void GlobalExplanation::Add(const LocalExplanation& explanation) {
    for (const LabelExplanation& label : explanation.labels) {
        size_t index =
            static_cast<size_t>(std::find(labels_.begin(), labels_.end(), label.label) - labels_.begin());
        if (index == labels_.size()) {
            labels_.push_back(label.label);
            of_labels_.emplace_back();
            of_labels_.back().sums.resize(feature_count_);
            of_labels_.back().squares.resize(feature_count_);
        }
        OfLabel& of_label = of_labels_[index];
        std::vector<Condition> conditions;
        for (const Contribution& contribution : label.contributions) {
            const double size = std::abs(contribution.contribution);
            of_label.sums[contribution.feature] += size;
            of_label.squares[contribution.feature] += size * size;
            if (contribution.coefficient == 0.0)
                continue;
            conditions.emplace_back(contribution.feature, contribution.code);
            of_label.weights[conditions.back()] += std::abs(contribution.coefficient);
        }
        of_label.rows.emplace_back(rows_, std::move(conditions));
    }
    ++rows_;
}

const GlobalExplanation::OfLabel* GlobalExplanation::Find(int label) const {
    const auto found = std::find(labels_.begin(), labels_.end(), label);
    return found != labels_.end() ? &of_labels_[found - labels_.begin()] : nullptr;
}

std::vector<GlobalExplanation::Importance> GlobalExplanation::Importances(int label) const {
    std::vector<Importance> importances(feature_count_);
    const OfLabel* of_label = Find(label);
    for (int f = 0; f < feature_count_; ++f) {
        importances[f].feature = f;
        if (of_label == nullptr)
            continue;
        const auto n = static_cast<double>(of_label->rows.size());
        const double mean = of_label->sums[f] / n;
        const double variance = n > 1.0 ? (of_label->squares[f] - n * mean * mean) / (n - 1.0) : 0.0;
        importances[f].mean_abs = mean;
        importances[f].std_error = std::sqrt(std::max(variance, 0.0) / n);
    }
    std::stable_sort(importances.begin(), importances.end(),
                     [](const Importance& a, const Importance& b) { return a.mean_abs > b.mean_abs; });
    return importances;
}

std::vector<GlobalExplanation::Pick> GlobalExplanation::PickRows(int label, int count) const {
    std::vector<Pick> picks;
    const OfLabel* of_label = Find(label);
    if (of_label == nullptr)
        return picks;
    double total = 0.0;
    for (const auto& [condition, weight] : of_label->weights)
        total += std::sqrt(weight);
    std::set<Condition> covered;
    double coverage = 0.0;
    while (static_cast<int>(picks.size()) < count) {
        double most = 0.0;
        const std::pair<size_t, std::vector<Condition>>* best = nullptr;
        for (const auto& row : of_label->rows) {
            double gain = 0.0;
            for (const Condition& condition : row.second) {
                if (!covered.contains(condition))
                    gain += std::sqrt(of_label->weights.at(condition));
            }
            if (gain > most) {
                most = gain;
                best = &row;
            }
        }
        if (best == nullptr)
            break;
        covered.insert(best->second.begin(), best->second.end());
        coverage += most;
        picks.push_back({best->first, coverage / total});
    }
    return picks;
}

}  // namespace dlent
