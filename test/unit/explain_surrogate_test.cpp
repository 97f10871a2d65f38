// The surrogate regression: to 1e-9 what the reference answers for the same samples, and its standard errors.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/explain/elementary.h"
#include "core/explain/surrogate.h"
#include "cpu/explainer_kernels.h"
#include "explain_testing.h"

namespace dlent {
namespace {

constexpr double kFitTolerance = 1e-9;

/// A case of the reference: rows as it perturbed them.
struct ReplayCase {
    int features = 0;
    int rows = 0;
    double kernel_width = 0.0;
    std::vector<double> columns;  ///< [features × rows]
    std::vector<double> target;

    explicit ReplayCase(const Json& json)
        : features(json.at("d")),
          rows(json.at("n")),
          kernel_width(json.at("kernel_width")),
          target(json.at("y")) {
        columns.resize(static_cast<size_t>(features) * rows);
        for (int r = 0; r < rows; ++r) {
            for (int f = 0; f < features; ++f)
                columns[static_cast<size_t>(f) * rows + r] = json.at("z")[r][f];
        }
    }
    std::unique_ptr<Neighbourhood> Numeric() const {
        return std::move(*MakeNumericNeighbourhood(features, rows, columns, kernel_width,
                                                   PortableExplainerKernels(), NeverCancelled()));
    }
    std::unique_ptr<Neighbourhood> Binary() const {
        const int words = (rows - 1 + 63) / 64;
        std::vector<uint64_t> equal(static_cast<size_t>(features) * words);
        for (int f = 0; f < features; ++f) {
            for (int r = 1; r < rows; ++r)
                equal[static_cast<size_t>(f) * words + (r - 1) / 64] |=
                    static_cast<uint64_t>(columns[static_cast<size_t>(f) * rows + r] == 1.0) << (r - 1) % 64;
        }
        return std::move(*MakeBinaryNeighbourhood(features, rows - 1, equal, kernel_width,
                                                  PortableExplainerKernels(), NeverCancelled()));
    }
};

void CheckWeights(const Neighbourhood& neighbourhood, const Json& expected) {
    std::vector<double> numbers(expected.size());
    for (size_t r = 0; r < numbers.size(); ++r)
        numbers[r] = static_cast<double>(r + 1);
    const std::vector<double> row_of_slot = neighbourhood.Arrange(numbers);
    double sum = 0.0;
    size_t found = 0;
    for (int slot = 0; slot < neighbourhood.slots(); ++slot) {
        if (row_of_slot[slot] == 0.0) {
            EXPECT_EQ(neighbourhood.weights()[slot], 0.0);
            continue;
        }
        const size_t row = static_cast<size_t>(row_of_slot[slot]) - 1;
        EXPECT_NEAR(neighbourhood.weights()[slot], expected[row].get<double>(), kFitTolerance);
        sum += expected[row].get<double>();
        ++found;
    }
    EXPECT_EQ(found, expected.size());
    EXPECT_NEAR(neighbourhood.moments().weight_sum, sum, kFitTolerance * sum);
}

void CheckFit(const Neighbourhood& neighbourhood, const std::vector<double>& target, const Json& expected,
              const std::string& what) {
    SurrogateOptions options;
    options.selection = *ParseFeatureSelection(expected.at("selection").get<std::string>());
    options.num_features = expected.at("num_features");
    const Surrogate fit = FitSurrogate(neighbourhood, target, options);
    std::map<int, double> coefficients;
    for (size_t i = 0; i < fit.features.size(); ++i)
        coefficients[fit.features[i]] = fit.coefficients[i];
    EXPECT_EQ(coefficients.size(), expected.at("coefficients").size()) << what;
    for (const Json& entry : expected.at("coefficients")) {
        const auto found = coefficients.find(entry[0].get<int>());
        ASSERT_NE(found, coefficients.end()) << what << ": feature " << entry[0];
        EXPECT_NEAR(found->second, entry[1].get<double>(), kFitTolerance) << what;
    }
    EXPECT_NEAR(fit.intercept, expected.at("intercept").get<double>(), kFitTolerance) << what;
    EXPECT_NEAR(fit.r2, expected.at("r2").get<double>(), kFitTolerance) << what;
    EXPECT_NEAR(fit.local_prediction, expected.at("local_pred").get<double>(), kFitTolerance) << what;
}

TEST(ExplainSurrogate, RepeatsTheReferencesFits) {
    DLENT_REFERENCE_OR_SKIP(answers, "replay.json");
    int fits = 0;
    for (const Json& json : answers.at("cases")) {
        const ReplayCase replay(json);
        std::vector<std::unique_ptr<Neighbourhood>> neighbourhoods;
        neighbourhoods.push_back(replay.Numeric());
        if (json.at("kind") == "binary")
            neighbourhoods.push_back(replay.Binary());
        for (const auto& neighbourhood : neighbourhoods) {
            CheckWeights(*neighbourhood, json.at("weights"));
            for (const Json& result : json.at("results")) {
                CheckFit(*neighbourhood, replay.target, result,
                         json.at("id").get<std::string>() + " " + result.at("selection").get<std::string>());
                ++fits;
            }
        }
    }
    EXPECT_EQ(fits, 42);
}

TEST(ExplainSurrogate, ElementaryFunctions) {
    for (double x = -40.0; x < 40.0; x += 0.0371) {
        EXPECT_NEAR(ExplainerExp(x) / std::exp(x), 1.0, 4e-15) << x;
        EXPECT_NEAR(ExplainerLog(std::exp(x)), std::log(std::exp(x)), 2e-15 * std::max(1.0, std::abs(x)))
            << x;
        if (std::abs(x) < 12.0) {
            EXPECT_NEAR(PortableNormalCdf(x), 0.5 * std::erfc(-x / std::sqrt(2.0)), 2e-15) << x;
        }
        if (std::abs(x) < 6.0) {
            EXPECT_NEAR(PortableNormalQuantile(0.5 * std::erfc(-x / std::sqrt(2.0))), x,
                        3e-7 * std::max(1.0, std::abs(x)))
                << x;
        }
    }
    EXPECT_EQ(ExplainerExp(-1000.0), 0.0);
    EXPECT_EQ(ExplainerExp(0.0), 1.0);
    EXPECT_EQ(ExplainerLog(1.0), 0.0);
}

/// Rows of independent zeros and ones and a target of them, as the reference's own oracle has it.
struct Drawn {
    static constexpr int kRows = 5000;
    int features;
    std::vector<double> columns;
    std::vector<double> target;

    Drawn(const std::vector<double>& effects, double noise, uint64_t seed)
        : features(static_cast<int>(effects.size())) {
        RandomStream random(seed);
        columns.resize(effects.size() * kRows, 1.0);
        target.assign(kRows, 0.4);
        for (int r = 0; r < kRows; ++r) {
            for (size_t f = 0; f < effects.size(); ++f) {
                double& z = columns[f * kRows + r];
                z = r == 0 || random.NextBelow(4) == 0 ? 1.0 : 0.0;
                target[r] += effects[f] * z;
            }
            target[r] += noise * random.Normal();
        }
    }
    std::unique_ptr<Neighbourhood> Make() const {
        return std::move(*MakeNumericNeighbourhood(features, kRows, columns, 0.75 * std::sqrt(features),
                                                   PortableExplainerKernels(), NeverCancelled()));
    }
};

TEST(ExplainSurrogate, FindsAConstantTarget) {
    const Drawn drawn({0.0, 0.0, 0.0}, 0.0, 3);
    const auto neighbourhood = drawn.Make();
    for (const FeatureSelection selection :
         {FeatureSelection::kForwardSelection, FeatureSelection::kHighestWeights,
          FeatureSelection::kLassoPath, FeatureSelection::kNone}) {
        const Surrogate fit = FitSurrogate(*neighbourhood, drawn.target, {selection, 2, 1.0});
        EXPECT_EQ(fit.r2, 1.0);
        EXPECT_EQ(fit.intercept, 0.4);
        for (const double coefficient : fit.coefficients)
            EXPECT_EQ(coefficient, 0.0);
    }
}

TEST(ExplainSurrogate, StandardErrorsPredictTheScatter) {
    const std::vector<double> effects = {0.3, -0.2, 0.1, 0.0, 0.05};
    constexpr int kSeeds = 60;
    std::vector<double> sum(effects.size()), squares(effects.size()), predicted(effects.size());
    for (int seed = 0; seed < kSeeds; ++seed) {
        const Drawn drawn(effects, 0.2, static_cast<uint64_t>(seed) + 1);
        const auto neighbourhood = drawn.Make();
        const Surrogate fit = FitSurrogate(*neighbourhood, drawn.target, {FeatureSelection::kNone, 5, 1.0});
        for (size_t f = 0; f < effects.size(); ++f) {
            sum[f] += fit.coefficients[f];
            squares[f] += fit.coefficients[f] * fit.coefficients[f];
            predicted[f] += std::sqrt(fit.covariance[f * effects.size() + f]);
        }
    }
    std::vector<double> ratios;
    for (size_t f = 0; f < effects.size(); ++f) {
        const double mean = sum[f] / kSeeds;
        ratios.push_back(predicted[f] / kSeeds /
                         std::sqrt((squares[f] / kSeeds - mean * mean) * kSeeds / (kSeeds - 1)));
        EXPECT_NEAR(mean, effects[f], 0.01);
    }
    std::sort(ratios.begin(), ratios.end());
    EXPECT_NEAR(ratios[effects.size() / 2], 1.0, 0.15);
}

/// Bits of a fit, in either form of the rows.
std::vector<double> Everything(const Surrogate& fit) {
    std::vector<double> values = {fit.intercept, fit.r2, fit.local_prediction};
    values.insert(values.end(), fit.coefficients.begin(), fit.coefficients.end());
    values.insert(values.end(), fit.covariance.begin(), fit.covariance.end());
    return values;
}

TEST(ExplainSurrogate, IsTheSameOnEveryInstructionSet) {
    Drawn drawn(std::vector<double>(75, 0.1), 0.3, 9);
    const int words = (Drawn::kRows - 1 + 63) / 64;
    std::vector<uint64_t> equal(static_cast<size_t>(drawn.features) * words);
    for (int f = 0; f < drawn.features; ++f) {
        for (int r = 1; r < Drawn::kRows; ++r)
            equal[static_cast<size_t>(f) * words + (r - 1) / 64] |=
                static_cast<uint64_t>(drawn.columns[static_cast<size_t>(f) * Drawn::kRows + r] == 1.0)
                << (r - 1) % 64;
    }
    std::vector<double> quantiles;
    for (int i = 1; i < 1000; ++i)
        quantiles.push_back(i / 1000.0);
    std::vector<double> expected_binary, expected_numeric;
    std::vector<double> expected_quantiles = quantiles;
    PortableExplainerKernels().normal_quantiles(static_cast<int>(quantiles.size()),
                                                expected_quantiles.data());
    for (size_t i = 0; i < quantiles.size(); ++i)
        EXPECT_EQ(expected_quantiles[i], PortableNormalQuantile(quantiles[i]));
    for (const CpuIsa isa : {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
        const ExplainerKernels& kernels = SelectExplainerKernels(isa);
        const auto binary = std::move(*MakeBinaryNeighbourhood(drawn.features, Drawn::kRows - 1, equal, 6.0,
                                                               kernels, NeverCancelled()));
        const auto numeric = std::move(*MakeNumericNeighbourhood(drawn.features, Drawn::kRows, drawn.columns,
                                                                 6.0, kernels, NeverCancelled()));
        const SurrogateOptions options{FeatureSelection::kForwardSelection, 12, 1.0};
        const std::vector<double> of_binary = Everything(FitSurrogate(*binary, drawn.target, options));
        const std::vector<double> of_numeric = Everything(FitSurrogate(*numeric, drawn.target, options));
        std::vector<double> of_quantiles = quantiles;
        kernels.normal_quantiles(static_cast<int>(quantiles.size()), of_quantiles.data());
        if (isa == CpuIsa::kGeneric) {
            expected_binary = of_binary;
            expected_numeric = of_numeric;
        }
        EXPECT_EQ(of_binary, expected_binary) << kernels.name;
        EXPECT_EQ(of_numeric, expected_numeric) << kernels.name;
        EXPECT_EQ(of_quantiles, expected_quantiles) << kernels.name;
        // and the two forms agree but for rounding
        for (size_t i = 0; i < of_binary.size(); ++i)
            EXPECT_NEAR(of_binary[i], of_numeric[i], 1e-10);
    }
}

/// A copy of a column, and one that never varies, must not disturb the others.
TEST(ExplainSurrogate, SurvivesDegenerateColumns) {
    Drawn drawn({0.3, 0.0, -0.2}, 0.0, 5);
    std::copy_n(drawn.columns.begin(), Drawn::kRows, drawn.columns.begin() + Drawn::kRows);
    drawn.columns.resize(4 * Drawn::kRows, 1.0);
    drawn.features = 4;
    const auto neighbourhood = drawn.Make();
    for (const FeatureSelection selection :
         {FeatureSelection::kForwardSelection, FeatureSelection::kHighestWeights,
          FeatureSelection::kLassoPath, FeatureSelection::kNone}) {
        const Surrogate fit = FitSurrogate(*neighbourhood, drawn.target, {selection, 4, 1.0});
        EXPECT_GT(fit.r2, 0.999);
        for (size_t i = 0; i < fit.features.size(); ++i) {
            EXPECT_TRUE(std::isfinite(fit.coefficients[i]));
            if (fit.features[i] == 2) {
                EXPECT_NEAR(fit.coefficients[i], -0.2, 1e-3);
            }
            if (fit.features[i] == 3) {
                EXPECT_NEAR(fit.coefficients[i], 0.0, 1e-12);
            }
        }
    }
}

}  // namespace
}  // namespace dlent
