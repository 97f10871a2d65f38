#include "core/explain/surrogate.h"

#include <algorithm>
#include <cmath>

#include "core/explain/elementary.h"

namespace dlent {
namespace {

/// Σ w·v over slots, in eight lanes.
double WeightedSum(const Neighbourhood& neighbourhood, const double* values) {
    double sum = 0.0;
    neighbourhood.kernels().dot_products(neighbourhood.weights().data(), values, 1, neighbourhood.slots(),
                                         &sum);
    return sum;
}

}  // namespace

double KernelWeight(double squared_distance, double width) {
    return ExplainerExp(-squared_distance / (2.0 * width * width));
}

Surrogate FitSurrogate(const Neighbourhood& neighbourhood, std::span<const double> target,
                       const SurrogateOptions& options) {
    const int slots = neighbourhood.slots();
    const std::vector<double>& weights = neighbourhood.weights();
    Moments moments = neighbourhood.moments();

    // Relative to the instance's, so that a constant target is exactly zero; then centred on its weighted
    // mean.
    std::vector<double> shifted(target.begin(), target.end());
    for (double& value : shifted)
        value -= target[0];
    std::vector<double> y = neighbourhood.Arrange(shifted);
    const double mean = WeightedSum(neighbourhood, y.data()) / moments.weight_sum;
    std::vector<double> weighted(y.size());
    for (int i = 0; i < slots; ++i) {
        y[i] -= mean;
        weighted[i] = weights[i] * y[i];
    }
    neighbourhood.kernels().dot_products(weighted.data(), y.data(), 1, slots, &moments.target_squares);
    moments.target_mean = mean + target[0];
    moments.products.resize(static_cast<size_t>(moments.features));
    neighbourhood.ColumnSums(weighted.data(), moments.products.data());
    double left = 0.0;  // what rounding left of Σ w·y
    for (const double value : weighted)
        left += value;
    for (int f = 0; f < moments.features; ++f)
        moments.products[f] -= moments.means[f] * left;

    Surrogate surrogate;
    surrogate.features =
        SelectFeatures(options.selection, options.num_features, moments, neighbourhood.instance());
    const size_t k = surrogate.features.size();
    const std::vector<double> inverse = RidgeInverse(moments, surrogate.features, options.alpha);
    surrogate.coefficients.assign(k, 0.0);
    surrogate.intercept = moments.target_mean;
    for (size_t i = 0; i < k; ++i) {
        for (size_t j = 0; j < k; ++j)
            surrogate.coefficients[i] += inverse[i * k + j] * moments.products[surrogate.features[j]];
        surrogate.intercept -= surrogate.coefficients[i] * moments.means[surrogate.features[i]];
    }
    surrogate.local_prediction = surrogate.intercept;
    for (size_t i = 0; i < k; ++i)
        surrogate.local_prediction +=
            surrogate.coefficients[i] * neighbourhood.instance()[surrogate.features[i]];

    std::vector<double> columns(k * static_cast<size_t>(slots));
    for (size_t i = 0; i < k; ++i) {
        double* column = columns.data() + i * static_cast<size_t>(slots);
        neighbourhood.Column(surrogate.features[i], column);
        for (int s = 0; s < slots; ++s)
            column[s] -= moments.means[surrogate.features[i]];
    }
    std::vector<double> meat(k * k, 0.0);
    const double squares = neighbourhood.kernels().residuals(static_cast<int>(k), slots, columns.data(),
                                                             surrogate.coefficients.data(), weights.data(),
                                                             y.data(), meat.data());
    surrogate.r2 = moments.target_squares > 0.0 ? 1.0 - squares / moments.target_squares : 1.0;

    // A·M·A, of which only the lower half of M is there
    std::vector<double> half(k * k, 0.0);
    for (size_t i = 0; i < k; ++i) {
        for (size_t j = 0; j < k; ++j) {
            for (size_t m = 0; m < k; ++m)
                half[i * k + j] += inverse[i * k + m] * (m >= j ? meat[m * k + j] : meat[j * k + m]);
        }
    }
    surrogate.covariance.assign(k * k, 0.0);
    for (size_t i = 0; i < k; ++i) {
        for (size_t j = 0; j < k; ++j) {
            for (size_t m = 0; m < k; ++m)
                surrogate.covariance[i * k + j] += half[i * k + m] * inverse[m * k + j];
        }
    }
    return surrogate;
}

}  // namespace dlent
