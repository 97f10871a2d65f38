#pragma once

#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace dlent {

/// Sums over weighted rows that say all a least-squares fit needs: everything below works on them, never on
/// the rows. Columns and target are centred on their weighted means.
struct Moments {
    int features = 0;
    double weight_sum = 0.0;
    std::vector<double> means;     ///< [features]
    std::vector<double> gram;      ///< Σ w·x_i·x_j [features × features]
    std::vector<double> products;  ///< Σ w·x_i·y [features]
    double target_mean = 0.0;
    double target_squares = 0.0;  ///< Σ w·y²

    double gram_at(int i, int j) const { return gram[static_cast<size_t>(i) * features + j]; }
};

/// Which features a surrogate reads; the reference's names and meanings (lime/lime_base.py).
enum class FeatureSelection {
    kAuto,              ///< "auto": forward_selection up to 6 features, else highest_weights
    kForwardSelection,  ///< "forward_selection": greedily the one that raises R² most
    kHighestWeights,    ///< "highest_weights": greatest |coefficient · value| of a ridge fit of all
    kLassoPath,         ///< "lasso_path": from the end of the LARS path, the first step with few enough
    kNone,              ///< "none": all
};

const char* FeatureSelectionName(FeatureSelection selection);
Expected<FeatureSelection> ParseFeatureSelection(std::string_view name);
/// kAuto made definite.
FeatureSelection ResolveSelection(FeatureSelection selection, int num_features);

/// The features chosen, in the order in which they were; ties go to the lowest. `instance`: the surrogate's
/// inputs at the row to explain.
std::vector<int> SelectFeatures(FeatureSelection selection, int num_features, const Moments& moments,
                                const std::vector<double>& instance);

/// (G + alpha·I)⁻¹ of the features chosen, [k × k]. A column that says nothing beyond those before it (no
/// variance, or collinear, without penalty) gets zeros, so that its coefficient is 0.
std::vector<double> RidgeInverse(const Moments& moments, const std::vector<int>& chosen, double alpha);

}  // namespace dlent
