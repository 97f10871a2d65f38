#pragma once

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "core/explain/local_explanation.h"

namespace dlent {

/// What many explanations of single rows say together: how much each feature matters, and which rows to look
/// at (SP-LIME, Ribeiro, Singh and Guestrin 2016, section 4).
class GlobalExplanation {
 public:
    struct Importance {
        int feature = 0;
        double mean_abs = 0.0;   ///< of the contributions; 0 where an explanation does not name the feature
        double std_error = 0.0;  ///< of that mean, from the scatter between rows
    };
    struct Pick {
        size_t row = 0;         ///< number of the Add() call
        double coverage = 0.0;  ///< share of the importance of all conditions that the picks up to here cover
    };

    explicit GlobalExplanation(int feature_count) : feature_count_(feature_count) {}

    /// Takes the explanation of one more row. Its labels are those of the other rows, in any order.
    void Add(const LocalExplanation& explanation);
    size_t rows() const { return rows_; }
    /// Classes in the order in which they came first.
    const std::vector<int>& labels() const { return labels_; }

    /// Of all features, by falling mean, ties by feature.
    std::vector<Importance> Importances(int label) const;
    /// At most `count` rows, each the one that adds most to what is covered; fewer when a row adds nothing.
    /// Columns of the matrix are conditions (a feature and its bin or level, as the reference has them), not
    /// features; a condition's importance is the root of the sum of its |coefficients|.
    std::vector<Pick> PickRows(int label, int count) const;

 private:
    using Condition = std::pair<int, int>;  ///< feature, code
    struct OfLabel {
        std::vector<double> sums;
        std::vector<double> squares;
        std::map<Condition, double> weights;  ///< Σ |coefficient|
        std::vector<std::pair<size_t, std::vector<Condition>>> rows;
    };
    const OfLabel* Find(int label) const;

    int feature_count_;
    size_t rows_ = 0;
    std::vector<int> labels_;
    std::vector<OfLabel> of_labels_;
};

}  // namespace dlent
