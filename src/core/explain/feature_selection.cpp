#include "core/explain/feature_selection.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string>

namespace dlent {
namespace {

constexpr const char* kSelectionNames[] = {"auto", "forward_selection", "highest_weights", "lasso_path",
                                           "none"};
constexpr double kSelectionRidge = 0.01;  ///< the reference's alpha in highest_weights
/// Gains closer than this share of the target's variation are one tie.
constexpr double kTie = 1e-12;
/// What is left of a column's variance, beyond which it is a combination of others.
constexpr double kCollinear = 1e-10;

std::vector<int> FirstFeatures(int count) {
    std::vector<int> features(static_cast<size_t>(count));
    std::iota(features.begin(), features.end(), 0);
    return features;
}

/// Sweeps each chosen column out of all sums, after which the gain of the next is its squared product over
/// its variance: no refit, and no row is read.
std::vector<int> ForwardSelection(int num_features, const Moments& moments) {
    const int d = moments.features;
    std::vector<double> gram = moments.gram;
    std::vector<double> products = moments.products;
    std::vector<bool> used(static_cast<size_t>(d), false);
    std::vector<int> chosen;
    std::vector<double> pivot_row(static_cast<size_t>(d));
    const auto at = [d](int i, int j) { return static_cast<size_t>(i) * d + j; };
    while (static_cast<int>(chosen.size()) < std::min(num_features, d)) {
        int best = -1;
        double best_gain = 0.0;
        for (int i = 0; i < d; ++i) {
            if (used[i])
                continue;
            const double variance = gram[at(i, i)];
            const bool informative = variance > kCollinear * moments.gram_at(i, i);
            const double gain = informative ? products[i] * products[i] / variance : 0.0;
            if (best < 0 || gain > best_gain + kTie * moments.target_squares) {
                best = i;
                best_gain = gain;
            }
        }
        chosen.push_back(best);
        used[best] = true;
        const double variance = gram[at(best, best)];
        if (!(variance > kCollinear * moments.gram_at(best, best)))
            continue;
        for (int j = 0; j < d; ++j)
            pivot_row[j] = gram[at(best, j)];
        const double share = products[best] / variance;
        for (int i = 0; i < d; ++i) {
            if (used[i] && i != best)
                continue;
            const double factor = pivot_row[i] / variance;
            products[i] -= pivot_row[i] * share;
            for (int j = 0; j < d; ++j)
                gram[at(i, j)] -= factor * pivot_row[j];
        }
    }
    return chosen;
}

std::vector<int> HighestWeights(int num_features, const Moments& moments,
                                const std::vector<double>& instance) {
    const int d = moments.features;
    std::vector<int> order = FirstFeatures(d);
    const std::vector<double> inverse = RidgeInverse(moments, order, kSelectionRidge);
    std::vector<double> effect(static_cast<size_t>(d));
    for (int i = 0; i < d; ++i) {
        double coefficient = 0.0;
        for (int j = 0; j < d; ++j)
            coefficient += inverse[static_cast<size_t>(i) * d + j] * moments.products[j];
        effect[i] = std::abs(coefficient * instance[i]);
    }
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return effect[a] > effect[b]; });
    order.resize(static_cast<size_t>(std::min(num_features, d)));
    return order;
}

/// The LARS path of the lasso (Efron et al. 2004), whose steps follow scikit-learn's lars_path. Returns the
/// features that are not zero at each breakpoint.
std::vector<std::vector<int>> LassoPath(const Moments& moments) {
    const int d = moments.features;
    constexpr int kMaxIterations = 500;
    constexpr double kTiny = std::numeric_limits<double>::min();
    std::vector<double> coefficients(static_cast<size_t>(d), 0.0);
    std::vector<double> correlations = moments.products;
    std::vector<bool> excluded(static_cast<size_t>(d), false);  ///< active, or found to be collinear
    std::vector<int> active;
    std::vector<double> sign(static_cast<size_t>(d), 0.0);
    std::vector<std::vector<int>> path{{}};
    double previous = std::numeric_limits<double>::infinity();
    bool drop = false;
    const double negligible = 1e-14 * std::sqrt(std::max(moments.target_squares, kTiny));
    for (int step = 0; step < kMaxIterations;) {
        int next = -1;
        double greatest = 0.0;
        for (int i = 0; i < d; ++i) {
            if (!excluded[i] && std::abs(correlations[i]) > greatest) {
                greatest = std::abs(correlations[i]);
                next = i;
            }
        }
        if (!active.empty() && next < 0)
            greatest = 0.0;
        const bool all_active = next < 0;
        if (all_active || greatest * greatest <= negligible * negligible * moments.gram_at(next, next))
            break;
        if (!drop) {
            active.push_back(next);
            excluded[next] = true;
            sign[next] = correlations[next] < 0.0 ? -1.0 : 1.0;
        }
        const std::vector<double> inverse = RidgeInverse(moments, active, 0.0);
        const size_t k = active.size();
        if (!drop && inverse[(k - 1) * k + (k - 1)] == 0.0) {  // a combination of those before it
            active.pop_back();
            continue;
        }
        if (step > 0 && greatest > previous * (1.0 + 1e-12))
            break;  // numerically, the path has come back
        previous = greatest;
        drop = false;

        std::vector<double> direction(k, 0.0);
        double total = 0.0;
        for (size_t a = 0; a < k; ++a) {
            for (size_t b = 0; b < k; ++b)
                direction[a] += inverse[a * k + b] * sign[active[b]];
            total += direction[a] * sign[active[a]];
        }
        const double scale = 1.0 / std::sqrt(total);
        for (double& entry : direction)
            entry *= scale;
        double gamma = greatest / scale;
        std::vector<double> along(static_cast<size_t>(d), 0.0);
        for (int i = 0; i < d; ++i) {
            for (size_t a = 0; a < k; ++a)
                along[i] += moments.gram_at(i, active[a]) * direction[a];
            if (excluded[i])
                continue;
            const double up = (greatest - correlations[i]) / (scale - along[i] + kTiny);
            const double down = (greatest + correlations[i]) / (scale + along[i] + kTiny);
            if (up > 0.0)
                gamma = std::min(gamma, up);
            if (down > 0.0)
                gamma = std::min(gamma, down);
        }
        size_t leaving = k;
        for (size_t a = 0; a < k; ++a) {
            const double zero_at = -coefficients[active[a]] / (direction[a] + kTiny);
            if (zero_at > 0.0 && zero_at < gamma) {
                gamma = zero_at;
                leaving = a;
            }
        }
        ++step;
        for (size_t a = 0; a < k; ++a)
            coefficients[active[a]] += gamma * direction[a];
        for (int i = 0; i < d; ++i)
            correlations[i] -= gamma * along[i];
        if (leaving < k) {
            drop = true;
            const int feature = active[leaving];
            coefficients[feature] = 0.0;
            excluded[feature] = false;
            sign[feature] = 0.0;
            active.erase(active.begin() + static_cast<ptrdiff_t>(leaving));
        }
        std::vector<int> nonzero;
        for (int i = 0; i < d; ++i) {
            if (coefficients[i] != 0.0)
                nonzero.push_back(i);
        }
        path.push_back(std::move(nonzero));
    }
    return path;
}

std::vector<int> LassoSelection(int num_features, const Moments& moments) {
    const std::vector<std::vector<int>> path = LassoPath(moments);
    for (size_t step = path.size() - 1; step > 0; --step) {
        if (static_cast<int>(path[step].size()) <= num_features)
            return path[step];
    }
    return FirstFeatures(std::min(num_features, moments.features));
}

}  // namespace

const char* FeatureSelectionName(FeatureSelection selection) {
    return kSelectionNames[static_cast<int>(selection)];
}

Expected<FeatureSelection> ParseFeatureSelection(std::string_view name) {
    for (int i = 0; i < 5; ++i) {
        if (name == kSelectionNames[i])
            return static_cast<FeatureSelection>(i);
    }
    return Status::Invalid("unknown feature selection \"" + std::string(name.substr(0, 64)) + "\"", {},
                           "Valid selections are \"auto\", \"forward_selection\", \"highest_weights\", "
                           "\"lasso_path\", \"none\".");
}

FeatureSelection ResolveSelection(FeatureSelection selection, int num_features) {
    if (selection != FeatureSelection::kAuto)
        return selection;
    return num_features <= 6 ? FeatureSelection::kForwardSelection : FeatureSelection::kHighestWeights;
}

std::vector<int> SelectFeatures(FeatureSelection selection, int num_features, const Moments& moments,
                                const std::vector<double>& instance) {
    switch (ResolveSelection(selection, num_features)) {
        case FeatureSelection::kForwardSelection:
            return ForwardSelection(num_features, moments);
        case FeatureSelection::kHighestWeights:
            return HighestWeights(num_features, moments, instance);
        case FeatureSelection::kLassoPath:
            return LassoSelection(num_features, moments);
        default:
            return FirstFeatures(moments.features);
    }
}

std::vector<double> RidgeInverse(const Moments& moments, const std::vector<int>& chosen, double alpha) {
    const size_t k = chosen.size();
    // Cholesky: G + alpha·I = L·Lᵀ, then the inverse of L, then L⁻ᵀ·L⁻¹
    std::vector<double> lower(k * k, 0.0);
    std::vector<bool> live(k, true);
    for (size_t j = 0; j < k; ++j) {
        const double variance = moments.gram_at(chosen[j], chosen[j]) + alpha;
        double pivot = variance;
        for (size_t m = 0; m < j; ++m)
            pivot -= lower[j * k + m] * lower[j * k + m];
        if (!(pivot > kCollinear * variance)) {
            live[j] = false;
            continue;
        }
        const double root = std::sqrt(pivot);
        lower[j * k + j] = root;
        for (size_t i = j + 1; i < k; ++i) {
            double sum = moments.gram_at(chosen[i], chosen[j]);
            for (size_t m = 0; m < j; ++m)
                sum -= lower[i * k + m] * lower[j * k + m];
            lower[i * k + j] = sum / root;
        }
    }
    std::vector<double> lower_inverse(k * k, 0.0);
    for (size_t j = 0; j < k; ++j) {
        if (!live[j])
            continue;
        lower_inverse[j * k + j] = 1.0 / lower[j * k + j];
        for (size_t i = j + 1; i < k; ++i) {
            if (!live[i])
                continue;
            double sum = 0.0;
            for (size_t m = j; m < i; ++m)
                sum -= lower[i * k + m] * lower_inverse[m * k + j];
            lower_inverse[i * k + j] = sum / lower[i * k + i];
        }
    }
    std::vector<double> inverse(k * k, 0.0);
    for (size_t i = 0; i < k; ++i) {
        for (size_t j = 0; j <= i; ++j) {
            double sum = 0.0;
            for (size_t m = i; m < k; ++m)
                sum += lower_inverse[m * k + i] * lower_inverse[m * k + j];
            inverse[i * k + j] = sum;
            inverse[j * k + i] = sum;
        }
    }
    return inverse;
}

}  // namespace dlent
