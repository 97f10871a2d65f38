// Bins of the explainer: to the last digit those of the reference, and what it does not define.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/explain/binning.h"
#include "explain_testing.h"

namespace dlent {
namespace {

/// 1e-12 of the value.
void ExpectClose(double actual, double expected, const std::string& what) {
    EXPECT_NEAR(actual, expected, 1e-12 * std::max(1.0, std::abs(expected))) << what;
}

/// Every number that the reference gives for one data set and its columns.
int CheckSet(const Json& set, const std::vector<std::vector<double>>& columns,
             const std::vector<int32_t>& labels) {
    int checked = 0;
    for (const Json& of_discretizer : set.at("stats")) {
        const Expected<Discretizer> discretizer =
            ParseDiscretizer(of_discretizer.at("discretizer").get<std::string>());
        EXPECT_TRUE(discretizer.ok());
        for (size_t c = 0; c < columns.size(); ++c) {
            const Json& expected = of_discretizer.at("columns")[c];
            const std::string what =
                std::string(DiscretizerName(*discretizer)) + " of " + expected.at("name").get<std::string>();
            const Binning binning = Binning::Fit(*discretizer, columns[c], labels);
            const size_t bins = expected.at("means").size();
            EXPECT_EQ(binning.bins.size(), bins) << what;
            if (binning.bins.size() != bins)
                continue;
            for (size_t b = 0; b < bins; ++b) {
                ExpectClose(binning.bins[b].mean, expected["means"][b], what + " mean");
                ExpectClose(binning.bins[b].standard_deviation + 1e-11, expected["stds"][b], what + " sd");
                ExpectClose(binning.bins[b].minimum, expected["mins"][b], what + " minimum");
                ExpectClose(binning.bins[b].maximum, expected["maxs"][b], what + " maximum");
            }
            std::vector<uint64_t> counts(bins);
            for (size_t i = 0; i < expected["bin_values"].size(); ++i)
                counts[expected["bin_values"][i].get<size_t>()] = expected["bin_counts"][i].get<uint64_t>();
            for (size_t b = 0; b < bins; ++b)
                EXPECT_EQ(binning.bins[b].count, counts[b]) << what;
            for (const double value : columns[c])
                EXPECT_EQ(binning.BinOf(value), std::count_if(binning.edges.begin(), binning.edges.end(),
                                                              [&](double edge) { return edge < value; }));
            ++checked;
        }
    }
    return checked;
}

TEST(ExplainBinning, IsTheReferencesOnIris) {
    DLENT_REFERENCE_OR_SKIP(answers, "discretizers.json");
    std::vector<std::vector<double>> columns = Iris();
    const std::vector<int32_t> labels(columns[4].begin(), columns[4].end());
    columns.resize(4);
    EXPECT_EQ(CheckSet(answers.at("sets")[0], columns, labels), 12);
}

/// The diagnoses of the 569 rows (Wisconsin diagnostic breast cancer, UCI), which the fixtures leave out: one
/// bit a row, 1 is benign.
constexpr const char* kDiagnoses =
    "00001c000402f93d3d29c8ece7b7f89ca4dbdff79667b15d908ad0cef9b2f7d0003f5b4fffb5fffbaf1eaefe3ff913efbb3f7f7d"
    "bffd2fb5aff3f7fefeb7cafb53bffa7fffffc08";

TEST(ExplainBinning, IsTheReferencesOnBreastCancer) {
    DLENT_REFERENCE_OR_SKIP(answers, "discretizers.json");
    DLENT_REFERENCE_OR_SKIP(seeds, "seeds.json");
    std::vector<std::vector<double>> columns(30);
    std::vector<int32_t> labels;
    for (const Json& row : seeds.at("data")) {
        for (size_t c = 0; c < 30; ++c)
            columns[c].push_back(row[c]);
        const std::string digit(1, kDiagnoses[labels.size() / 4]);
        labels.push_back(std::stoi(digit, nullptr, 16) >> (3 - labels.size() % 4) & 1);
    }
    EXPECT_EQ(CheckSet(answers.at("sets")[1], columns, labels), 90);
}

}  // namespace
}  // namespace dlent
