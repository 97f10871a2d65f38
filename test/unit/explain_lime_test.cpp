// LIME: what it must find in functions that are known, its options, and the cases that the reference gets
// wrong.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cpu/row_scorer.h"
#include "explain_scorer_testing.h"
#include "testing.h"

namespace dlent {
namespace {

/// Rows of standard normal columns x0, x1, ... and a binary target.
TableBuilder NormalRows(int columns, size_t rows, uint64_t seed) {
    TableBuilder table;
    RandomStream random(seed);
    for (int c = 0; c < columns; ++c) {
        std::vector<float> values(rows);
        for (float& value : values)
            value = random.Normal();
        table.Floats("x" + std::to_string(c), values);
    }
    std::vector<std::string> labels(rows);
    for (std::string& label : labels)
        label = random.NextBelow(2) != 0 ? "yes" : "no";
    return table.Texts("y", labels, ColumnRole::kTarget);
}

float Logistic(double x) {
    return static_cast<float>(1.0 / (1.0 + std::exp(-x)));
}

/// The oracle: y = .4 + Σ a·z with z = "in the same quartile as the instance", which the surrogate can say
/// exactly.
TEST(ExplainLime, FindsTheOracle) {
    const std::vector<double> effects = {0.3, -0.2, 0.1, 0.0, 0.0, 0.05};
    Explained explained(NormalRows(6, 1000, 5), [](const Cell*, float*) {});
    const std::vector<Cell> row = explained.Row(17);
    const ExplainerStatistics& statistics = explained.statistics;
    FunctionScorer scorer(explained.scorer->model(), [&](const Cell* cells, float* outputs) {
        double y = 0.4;
        for (int f = 0; f < 6; ++f) {
            if (statistics.Code(f, Discretizer::kQuartile, cells) ==
                statistics.Code(f, Discretizer::kQuartile, row.data()))
                y += effects[f];
        }
        outputs[0] = static_cast<float>(y);
    });
    for (const uint64_t seed : {1, 2, 3}) {
        for (const char* selection : {"forward_selection", "highest_weights", "lasso_path", "none", "auto"}) {
            LimeOptions options;
            options.seed = seed;
            options.feature_selection = selection;
            options.labels = {1};
            const Expected<LocalExplanation> explanation =
                ExplainByLime(statistics, scorer, row.data(), options, nullptr, NeverCancelled());
            ASSERT_TRUE(explanation.ok()) << explanation.status().message();
            ExpectInvariants(*explanation);
            const LabelExplanation& label = explanation->labels.at(0);
            EXPECT_EQ(label.contributions.size(), 6u);
            EXPECT_GT(label.fidelity_r2, 0.9999);
            EXPECT_NEAR(label.baseline, 0.4, 1e-3);
            for (const Contribution& contribution : label.contributions) {
                EXPECT_NEAR(contribution.contribution, effects[contribution.feature], 1e-3);
                EXPECT_LT(contribution.std_error, 1e-4);
            }
            EXPECT_FALSE(label.contributions[0].rank_tied);
            EXPECT_FALSE(label.contributions[3].rank_tied);
            EXPECT_TRUE(label.contributions[4].rank_tied);  // two that have no effect
            EXPECT_TRUE(label.contributions[5].rank_tied);
        }
    }
}

TEST(ExplainLime, SaysThatAConstantHasNoReason) {
    Explained explained(NormalRows(4, 500, 6), [](const Cell*, float* outputs) { outputs[0] = 0.3f; });
    const Expected<LocalExplanation> explanation = explained.Explain(explained.Row(3), {});
    ASSERT_TRUE(explanation.ok());
    ExpectInvariants(*explanation);
    EXPECT_EQ(explanation->labels[0].label, 0);
    EXPECT_EQ(explanation->labels[0].fidelity_r2, 1.0);
    for (const Contribution& contribution : explanation->labels[0].contributions) {
        EXPECT_EQ(contribution.contribution, 0.0);
        EXPECT_TRUE(contribution.rank_tied);
    }
}

TEST(ExplainLime, RefusesAnswersThatAreNoNumbers) {
    int calls = 0;
    Explained explained(NormalRows(4, 500, 6), [&](const Cell*, float* outputs) {
        outputs[0] = ++calls > 100 ? std::numeric_limits<float>::quiet_NaN() : 0.5f;
    });
    EXPECT_EQ(explained.Explain(explained.Row(3), {}).status().code(), StatusCode::kNonFinite);
    EXPECT_EQ(explained.Explain(explained.Row(3), {}).status().code(), StatusCode::kNonFinite);
}

/// 20 columns, few of which matter: the reference's own test.
TEST(ExplainLime, ReportsAsManyFeaturesAsAskedFor) {
    for (const size_t rows : {1000, 100}) {
        Explained explained(NormalRows(20, rows, 8), [](const Cell* cells, float* outputs) {
            outputs[0] = Logistic(2.0 * cells[3].f - cells[11].f + 0.5 * cells[7].f * cells[8].f);
        });
        std::vector<Cell> row = explained.Row(5);
        row[3].f = 2.5f;
        row[11].f = 0.0f;
        for (const Discretizer discretizer :
             {Discretizer::kQuartile, Discretizer::kDecile, Discretizer::kEntropy, Discretizer::kNone}) {
            LimeOptions options;
            options.discretizer = discretizer;
            const Expected<LocalExplanation> explanation = explained.Explain(row, options);
            ASSERT_TRUE(explanation.ok()) << explanation.status().message();
            ExpectInvariants(*explanation);
            ASSERT_EQ(explanation->labels[0].contributions.size(), 10u);
            EXPECT_EQ(explanation->selection, "highest_weights");
            EXPECT_EQ(explanation->labels[0].contributions[0].feature, 3);
            options.num_features = 5;
            const Expected<LocalExplanation> fewer = explained.Explain(row, options);
            EXPECT_EQ(fewer->labels[0].contributions.size(), 5u);
            EXPECT_EQ(fewer->selection, "forward_selection");
        }
    }
}

TEST(ExplainLime, RepeatsItselfByItsSeed) {
    const auto function = [](const Cell* cells, float* outputs) {
        outputs[0] = Logistic(cells[0].f - 2.0 * cells[1].f * cells[2].f);
    };
    Explained explained(NormalRows(5, 800, 9), function);
    std::set<std::string> different;
    for (const Discretizer discretizer :
         {Discretizer::kQuartile, Discretizer::kDecile, Discretizer::kEntropy, Discretizer::kNone}) {
        for (const uint64_t seed : {1, 2}) {
            LimeOptions options;
            options.discretizer = discretizer;
            options.num_samples = 500;
            options.seed = seed;
            const std::string once = Bytes(*explained.Explain(explained.Row(5), options));
            EXPECT_EQ(once, Bytes(*explained.Explain(explained.Row(5), options)));
            different.insert(once);
            // shared samples are the same samples
            const Expected<Probe> probe = explained.MakeProbe(options);
            ASSERT_TRUE(probe.ok());
            const Expected<LocalExplanation> shared = explained.Explain(explained.Row(5), options, &*probe);
            EXPECT_TRUE(shared->shared_probe);
            EXPECT_EQ(Bytes(*shared), once);
        }
    }
    EXPECT_EQ(different.size(), 8u);
}

TEST(ExplainLime, CostsOneForwardPassWithAProbe) {
    Explained explained(NormalRows(5, 800, 9),
                        [](const Cell* cells, float* outputs) { outputs[0] = Logistic(cells[0].f); });
    const Expected<Probe> probe = explained.MakeProbe({});
    explained.scorer->scored = 0;
    ASSERT_TRUE(explained.Explain(explained.Row(5), {}, &*probe).ok());
    EXPECT_EQ(explained.scorer->scored, 1);
}

/// Trees grown on bootstrap samples, each node cut at the best Gini gain of two random columns.
class Forest {
 public:
    Forest(const std::vector<std::vector<double>>& columns, int trees) : columns_(columns) {
        for (int tree = 0; tree < trees; ++tree) {
            std::vector<uint32_t> rows;
            for (size_t i = 0; i < columns_[0].size(); ++i)
                rows.push_back(random_.NextBelow(static_cast<uint32_t>(columns_[0].size())));
            roots_.push_back(Grow(rows));
        }
    }
    void Predict(const Cell* cells, float* outputs) const {
        std::fill_n(outputs, 3, 0.0f);
        for (size_t node : roots_) {
            while (nodes_[node].column >= 0)
                node =
                    cells[nodes_[node].column].f <= nodes_[node].cut ? nodes_[node].left : nodes_[node].right;
            for (int c = 0; c < 3; ++c)
                outputs[c] += nodes_[node].shares[c] / static_cast<float>(roots_.size());
        }
    }

 private:
    struct Node {
        int column = -1;
        float cut = 0.0f;
        size_t left = 0;
        size_t right = 0;
        float shares[3] = {};
    };

    /// The Gini impurity of rows times their number.
    double Impurity(const std::vector<uint32_t>& rows) const {
        double counts[3] = {};
        for (const uint32_t row : rows)
            ++counts[static_cast<int>(columns_[4][row])];
        double squares = 0.0;
        for (const double count : counts)
            squares += count * count;
        const double total = static_cast<double>(rows.size());
        return rows.empty() ? 0.0 : total - squares / total;
    }

    size_t Grow(const std::vector<uint32_t>& rows) {
        Node node;
        for (const uint32_t row : rows)
            node.shares[static_cast<int>(columns_[4][row])] += 1.0f / static_cast<float>(rows.size());
        double best = Impurity(rows) - 1e-9;
        std::vector<uint32_t> left, right;
        const int first = static_cast<int>(random_.NextBelow(4));
        const int second = (first + 1 + static_cast<int>(random_.NextBelow(3))) % 4;
        for (const int column : {first, second}) {
            for (const uint32_t at : rows) {
                const double cut = columns_[column][at] + 1e-4;
                std::vector<uint32_t> below, above;
                for (const uint32_t row : rows)
                    (columns_[column][row] <= cut ? below : above).push_back(row);
                const double impurity = Impurity(below) + Impurity(above);
                if (above.empty() || impurity >= best)
                    continue;
                best = impurity;
                node.column = column;
                node.cut = static_cast<float>(cut);
                left = std::move(below);
                right = std::move(above);
            }
        }
        if (node.column >= 0) {
            node.left = Grow(left);
            node.right = Grow(right);
        }
        nodes_.push_back(node);
        return nodes_.size() - 1;
    }

    const std::vector<std::vector<double>>& columns_;
    RandomStream random_{7};
    std::vector<Node> nodes_;
    std::vector<size_t> roots_;
};

/// The reference's own test: a forest on iris is explained by the petals, whatever the discretiser or the
/// regression.
TEST(ExplainLime, ExplainsAForestOnIrisByThePetals) {
    const std::vector<std::vector<double>> iris = Iris();
    if (iris[0].empty())
        GTEST_SKIP() << "there is no shared/fixtures/lime/iris.csv";
    TableBuilder rows;
    for (size_t c = 0; c < 4; ++c)
        rows.Floats("c" + std::to_string(c), std::vector<float>(iris[c].begin(), iris[c].end()));
    std::vector<std::string> species;
    for (const double code : iris[4])
        species.push_back("species " + std::to_string(static_cast<int>(code)));
    rows.Texts("species", species, ColumnRole::kTarget);
    const Forest forest(iris, 100);
    Explained explained(rows, [&](const Cell* cells, float* outputs) { forest.Predict(cells, outputs); });
    // statistics as they come back from the catalog
    explained.statistics = *ExplainerStatistics::FromJson(Json::parse(explained.statistics.ToJson().dump()),
                                                          explained.pipeline());
    for (const Discretizer discretizer : {Discretizer::kQuartile, Discretizer::kEntropy}) {
        for (const double alpha : {0.0, 1.0}) {
            LimeOptions options;
            options.discretizer = discretizer;
            options.num_features = 2;
            options.alpha = alpha;
            const Expected<LocalExplanation> explanation = explained.Explain(explained.Row(10), options);
            ASSERT_TRUE(explanation.ok());
            std::set<int> features;
            for (const Contribution& contribution : explanation->labels[0].contributions)
                features.insert(contribution.feature);
            EXPECT_EQ(features, (std::set<int>{2, 3})) << DiscretizerName(discretizer) << " " << alpha;
        }
    }
}

/// The reference's own table of categories and their rates.
TEST(ExplainLime, CountsLevels) {
    TableBuilder rows;
    rows.Texts("a", {"0", "1", "0", "1"})
        .Texts("b", {"0", "1", "2", "3"})
        .Texts("c", {"2", "0", "2", "0"})
        .Texts("y", {"yes", "no", "yes", "no"}, ColumnRole::kTarget);
    Explained explained(rows, [](const Cell*, float* outputs) { outputs[0] = 0.5f; });
    const std::vector<ExplainedFeature>& features = explained.statistics.features();
    EXPECT_EQ(features[0].CodeCounts(Discretizer::kQuartile), (std::vector<uint64_t>{2, 2}));
    EXPECT_EQ(features[1].CodeCounts(Discretizer::kQuartile), (std::vector<uint64_t>{1, 1, 1, 1}));
    EXPECT_EQ(features[2].CodeCounts(Discretizer::kQuartile), (std::vector<uint64_t>{2, 2}));
}

/// Categories are known by name, NULL is a level of its own, and each occurs at its training rate.
TEST(ExplainLime, DrawsLevelsAtTheirRates) {
    const size_t rows = 4000;
    std::vector<std::string> city, label;
    std::vector<float> amount;
    RandomStream random(3);
    for (size_t row = 0; row < rows; ++row) {
        const uint32_t draw = random.NextBelow(10);
        city.push_back(draw < 5 ? "Lyon" : draw < 8 ? "Oslo" : "NULL");
        amount.push_back(draw % 4 == 1 ? ColumnarTable::kNull : random.Normal());
        label.push_back(random.NextBelow(2) != 0 ? "yes" : "no");
    }
    TableBuilder table;
    table.Texts("city", city).Floats("amount", amount).Texts("y", label, ColumnRole::kTarget);
    std::map<int32_t, int> cities;
    int nulls = 0;
    Explained explained(table, [&](const Cell* cells, float* outputs) {
        ++cities[cells[0].code];
        nulls += std::isnan(cells[1].f);
        outputs[0] = cells[0].code == 2 ? 0.9f : std::isnan(cells[1].f) ? 0.5f : 0.1f;
    });
    ASSERT_TRUE(explained.MakeProbe({}).ok());
    const ExplainedFeature& feature = explained.statistics.features()[0];
    ASSERT_EQ(feature.level_counts.size(), 3u);
    for (int32_t code = 0; code < 3; ++code)
        EXPECT_NEAR(cities[code] / 4999.0, static_cast<double>(feature.level_counts[code]) / rows, 0.02);
    EXPECT_NEAR(nulls / 4999.0, static_cast<double>(explained.statistics.features()[1].null_count) / rows,
                0.02);

    // a NULL city is a reason for "yes"
    size_t with_null = 0;
    while (city[with_null] != "NULL")
        ++with_null;
    LimeOptions options;
    options.labels = {1};
    const Expected<LocalExplanation> explanation = explained.Explain(explained.Row(with_null), options);
    ASSERT_TRUE(explanation.ok());
    EXPECT_EQ(explanation->labels[0].contributions[0].feature, 0);
    EXPECT_EQ(explanation->labels[0].contributions[0].code, feature.null_level);
    EXPECT_NEAR(explanation->labels[0].contributions[0].contribution, 0.7, 0.1);
    EXPECT_FALSE(explanation->labels[0].contributions[0].unseen);
}

/// Values that training never had are drawn too, or nothing could be said of them; a shared probe cannot.
TEST(ExplainLime, ExplainsUnseenValues) {
    const size_t rows = 600;
    std::vector<std::string> city, label;
    RandomStream random(3);
    std::vector<float> amount;
    for (size_t row = 0; row < rows; ++row) {
        city.push_back(random.NextBelow(2) != 0 ? "Lyon" : "Oslo");
        label.push_back(random.NextBelow(2) != 0 ? "yes" : "no");
        amount.push_back(random.Normal());
    }
    TableBuilder table;
    table.Texts("city", city).Floats("amount", amount).Texts("y", label, ColumnRole::kTarget);
    Explained explained(table, [&](const Cell* cells, float* outputs) {
        outputs[0] = (cells[0].code < 0 ? 0.6f : 0.1f) + (std::isnan(cells[1].f) ? 0.3f : 0.0f);
    });
    LimeOptions options;
    options.labels = {1};
    const Expected<Probe> probe = explained.MakeProbe(options);
    std::vector<Cell> row = explained.Row(0);
    row[0].code = -1;
    row[1].f = ColumnarTable::kNull;
    const Expected<LocalExplanation> explanation = explained.Explain(row, options, &*probe);
    ASSERT_TRUE(explanation.ok());
    EXPECT_FALSE(explanation->shared_probe);
    ASSERT_EQ(explanation->labels[0].contributions.size(), 2u);
    EXPECT_EQ(explanation->labels[0].contributions[0].feature, 0);
    EXPECT_EQ(explanation->labels[0].contributions[0].code, -1);
    for (const Contribution& contribution : explanation->labels[0].contributions) {
        EXPECT_TRUE(contribution.unseen);
        EXPECT_NEAR(contribution.contribution, contribution.feature == 0 ? 0.5 : 0.3, 0.01);
    }
    // under compat the reference's answer: one sample, the instance, is all that it has
    options.compat = true;
    const Expected<LocalExplanation> compat = explained.Explain(row, options);
    ASSERT_TRUE(compat.ok());
    for (const Contribution& contribution : compat->labels[0].contributions) {
        if (contribution.feature == 0) {
            EXPECT_LT(std::abs(contribution.contribution), 0.5);
        }
    }
}

/// 40 % of a column at its least value: the bin is that value alone, and the reference hands out a z-score in
/// its place.
TEST(ExplainLime, DrawsTheValueOfADegenerateBin) {
    const size_t rows = 1000;
    std::vector<float> amount;
    std::vector<std::string> label;
    for (size_t row = 0; row < rows; ++row) {
        amount.push_back(row % 10 < 4 ? 5.0f : 6.0f + static_cast<float>(row) / 100.0f);
        label.push_back(row % 3 == 0 ? "yes" : "no");
    }
    TableBuilder table;
    table.Floats("amount", amount).Texts("y", label, ColumnRole::kTarget);
    for (const bool compat : {false, true}) {
        int at_least = 0;
        int at_zero = 0;
        int total = 0;
        Explained explained(table, [&](const Cell* cells, float* outputs) {
            at_least += cells[0].f == 5.0f;
            at_zero += cells[0].f == 0.0f;
            ++total;
            outputs[0] = 0.5f;
        });
        LimeOptions options;
        options.compat = compat;
        ASSERT_TRUE(explained.MakeProbe(options).ok());
        EXPECT_NEAR(static_cast<double>(at_least) / total, compat ? 0.0 : 0.4, 0.03);
        EXPECT_NEAR(static_cast<double>(at_zero) / total, compat ? 0.4 : 0.0, 0.03);
    }
}

/// Numbers that are drawn lie in their bin and have its mean and deviation.
TEST(ExplainLime, DrawsTruncatedNormals) {
    Explained explained(NormalRows(1, 5000, 12), [](const Cell*, float*) {});
    const ExplainedFeature& feature = explained.statistics.features()[0];
    std::vector<std::vector<double>> drawn(feature.decile.bins.size());
    FunctionScorer scorer(explained.scorer->model(), [&](const Cell* cells, float* outputs) {
        drawn[feature.decile.BinOf(cells[0].f)].push_back(cells[0].f);
        outputs[0] = 0.5f;
    });
    ProbeOptions options;
    options.discretizer = Discretizer::kDecile;
    options.samples = 100000;
    ASSERT_TRUE(Probe::Make(explained.statistics, options, scorer, NeverCancelled()).ok());
    for (size_t b = 0; b < drawn.size(); ++b) {
        const Binning::Bin& bin = feature.decile.bins[b];
        EXPECT_NEAR(static_cast<double>(drawn[b].size()) / 99999.0, bin.count / 5000.0, 0.01);
        // the reference's: a normal with the bin's mean and deviation, cut at its edges
        const double sd = bin.standard_deviation;
        const double low = (bin.minimum - bin.mean) / sd;
        const double high = (bin.maximum - bin.mean) / sd;
        const auto density = [](double x) { return std::exp(-x * x / 2.0) / std::sqrt(2.0 * M_PI); };
        const auto below = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
        const double mass = below(high) - below(low);
        const double shift = (density(low) - density(high)) / mass;
        const double mean = bin.mean + sd * shift;
        const double variance =
            sd * sd * (1.0 + (low * density(low) - high * density(high)) / mass - shift * shift);
        double sum = 0.0;
        double squares = 0.0;
        for (const double value : drawn[b]) {
            EXPECT_GE(value, bin.minimum - 1e-6);
            EXPECT_LE(value, bin.maximum + 1e-6);
            sum += value;
            squares += (value - mean) * (value - mean);
        }
        const double count = static_cast<double>(drawn[b].size());
        EXPECT_NEAR(sum / count, mean, 5.0 * std::sqrt(variance / count)) << b;
        EXPECT_NEAR(squares / count / variance, 1.0, 0.08) << b;
    }
}

TEST(ExplainLime, ExplainsEveryClass) {
    std::vector<float> x, z;
    std::vector<std::string> label;
    RandomStream random(4);
    for (int row = 0; row < 600; ++row) {
        x.push_back(random.Normal());
        z.push_back(random.Normal());
        label.push_back(std::string(1, static_cast<char>('a' + random.NextBelow(3))));
    }
    TableBuilder table;
    table.Floats("x", x).Floats("z", z).Texts("y", label, ColumnRole::kTarget);
    Explained explained(table, [](const Cell* cells, float* outputs) {
        const double a = std::exp(2.0 * cells[0].f);
        const double b = std::exp(static_cast<double>(cells[1].f));
        outputs[0] = static_cast<float>(a / (a + b + 1.0));
        outputs[1] = static_cast<float>(b / (a + b + 1.0));
        outputs[2] = static_cast<float>(1.0 / (a + b + 1.0));
    });
    std::vector<Cell> row(2);
    row[0].f = 2.0f;
    row[1].f = 0.5f;
    LimeOptions options;
    options.top_labels = 3;
    const Expected<LocalExplanation> explanation = explained.Explain(row, options);
    ASSERT_TRUE(explanation.ok());
    ExpectInvariants(*explanation);
    ASSERT_EQ(explanation->labels.size(), 3u);
    EXPECT_EQ(explanation->labels[0].label, 0);
    EXPECT_EQ(explanation->labels[1].label, 1);
    double total = 0.0;
    std::vector<double> sums(2);
    for (const LabelExplanation& of_label : explanation->labels) {
        total += of_label.prediction;
        for (const Contribution& contribution : of_label.contributions)
            sums[contribution.feature] += contribution.contribution;
    }
    EXPECT_NEAR(total, 1.0, 1e-6);  // and so do the contributions cancel out
    EXPECT_NEAR(sums[0], 0.0, 1e-5);
    EXPECT_NEAR(sums[1], 0.0, 1e-5);
    options.labels = {2, 0};
    options.top_labels = 0;
    const Expected<LocalExplanation> chosen = explained.Explain(row, options);
    EXPECT_EQ(chosen->labels[0].label, 2);
    EXPECT_EQ(chosen->labels[1].label, 0);
    EXPECT_EQ(chosen->labels[1].baseline, explanation->labels[0].baseline);
    options.labels = {};
    EXPECT_EQ(explained.Explain(row, options)->labels.at(0).label, 0);
}

/// The two classes of a binary target mirror each other, on either link.
TEST(ExplainLime, MirrorsTheTwoClasses) {
    Explained explained(NormalRows(3, 600, 2), [](const Cell* cells, float* outputs) {
        outputs[0] = Logistic(4.0 * cells[0].f + cells[1].f);
    });
    for (const Link link : {Link::kProbability, Link::kLogit}) {
        LimeOptions options;
        options.link = link;
        options.top_labels = 2;
        options.discretizer = Discretizer::kNone;
        const Expected<LocalExplanation> explanation = explained.Explain(explained.Row(1), options);
        ASSERT_TRUE(explanation.ok());
        ExpectInvariants(*explanation);
        EXPECT_EQ(explanation->link, link);
        const LabelExplanation& first = explanation->labels[0];
        const LabelExplanation& second = explanation->labels[1];
        EXPECT_GT(first.prediction, second.prediction);
        EXPECT_NEAR(first.prediction + second.prediction, link == Link::kLogit ? 0.0 : 1.0, 1e-6);
        for (size_t i = 0; i < 3; ++i)
            EXPECT_NEAR(first.contributions[i].contribution, -second.contributions[i].contribution, 1e-6);
        if (link == Link::kLogit) {
            // the logit is linear, and the surrogate reads numbers: it is found exactly
            EXPECT_GT(first.fidelity_r2, 0.999);
            const double sign = first.label == 1 ? 1.0 : -1.0;
            const double deviation = explained.statistics.features()[0].standard_deviation;
            EXPECT_NEAR(first.contributions[0].coefficient, sign * 4.0 * deviation, 0.02);
        }
    }
}

TEST(ExplainLime, ExplainsARegressionInItsUnits) {
    std::vector<float> x, price;
    RandomStream random(4);
    for (int row = 0; row < 500; ++row) {
        x.push_back(random.Normal());
        price.push_back(250000.0f + 50000.0f * x.back());
    }
    TableBuilder table;
    table.Floats("x", x).Floats("price", price, ColumnRole::kTarget);
    Explained explained(
        table, [](const Cell* cells, float* outputs) { outputs[0] = 250000.0f + 50000.0f * cells[0].f; });
    LimeOptions options;
    options.discretizer = Discretizer::kNone;
    options.link = Link::kLogit;  // of no meaning here
    options.sample_around_instance = true;
    const Expected<LocalExplanation> explanation = explained.Explain(explained.Row(9), options);
    ASSERT_TRUE(explanation.ok());
    ExpectInvariants(*explanation);
    EXPECT_EQ(explanation->link, Link::kIdentity);
    const Contribution& contribution = explanation->labels[0].contributions.at(0);
    EXPECT_EQ(contribution.code, -1);
    EXPECT_NEAR(contribution.coefficient, 50000.0 * explained.statistics.features()[0].standard_deviation,
                50.0);
    options.labels = {1};
    EXPECT_EQ(explained.Explain(explained.Row(9), options).status().code(), StatusCode::kInvalidArgument);
}

TEST(ExplainLime, SamplesAroundTheInstance) {
    double sum = 0.0;
    int count = 0;
    Explained explained(NormalRows(2, 600, 2), [&](const Cell* cells, float* outputs) {
        sum += cells[0].f;
        ++count;
        outputs[0] = Logistic(cells[0].f);
    });
    std::vector<Cell> row = explained.Row(1);
    row[0].f = 25.0f;
    LimeOptions options;
    options.discretizer = Discretizer::kNone;
    options.sample_around_instance = true;
    ASSERT_TRUE(explained.Explain(row, options).ok());
    EXPECT_NEAR(sum / count, 25.0, 0.1);
}

TEST(ExplainLime, RefusesOptionsThatDoNotGoTogether) {
    Explained explained(NormalRows(3, 300, 2),
                        [](const Cell* cells, float* outputs) { outputs[0] = Logistic(cells[0].f); });
    const std::vector<Cell> row = explained.Row(0);
    const Expected<Probe> probe = explained.MakeProbe({});
    const auto code = [&](const std::function<void(LimeOptions*)>& change, const Probe* shared = nullptr) {
        LimeOptions options;
        change(&options);
        const Expected<LocalExplanation> explanation = explained.Explain(row, options, shared);
        return explanation.status().code();
    };
    const auto invalid = StatusCode::kInvalidArgument;
    EXPECT_EQ(code([](LimeOptions* o) { o->num_features = 0; }), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->num_samples = 3; }), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->num_samples = 1 << 30; }), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->kernel_width = 0.0; }), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->kernel_width = std::nan(""); }), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->alpha = -1.0; }), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->feature_selection = "best"; }), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->labels = {2}; }), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->labels = {-1}; }), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->top_labels = -1; }), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->sample_around_instance = true; }), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->seed = 7; }, &*probe), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->discretizer = Discretizer::kDecile; }, &*probe), invalid);
    EXPECT_EQ(code([](LimeOptions* o) { o->kernel_width = 0.5; }, &*probe), StatusCode::kOk);
}

TEST(ExplainLime, StopsWhenCancelled) {
    Explained explained(NormalRows(3, 300, 2),
                        [](const Cell* cells, float* outputs) { outputs[0] = Logistic(cells[0].f); });
    EXPECT_EQ(ExplainByLime(explained.statistics, *explained.scorer, explained.Row(0).data(), {}, nullptr,
                            AlwaysCancelled())
                  .status()
                  .code(),
              StatusCode::kCancelled);
}

/// More features than a word has bits.
TEST(ExplainLime, ExplainsWideRows) {
    Explained explained(NormalRows(150, 400, 2), [](const Cell* cells, float* outputs) {
        outputs[0] = Logistic(3.0 * cells[0].f + 2.0 * cells[64].f - 2.5 * cells[149].f);
    });
    LimeOptions options;
    options.num_features = 3;
    const Expected<LocalExplanation> explanation = explained.Explain(explained.Row(3), options);
    ASSERT_TRUE(explanation.ok());
    ExpectInvariants(*explanation);
    std::set<int> features;
    for (const Contribution& contribution : explanation->labels[0].contributions)
        features.insert(contribution.feature);
    EXPECT_TRUE(features.contains(0));
}

TEST(ExplainLime, OpensTheImageOfAProbe) {
    Explained explained(MixedRows(Task::kMulticlass, 500, 3), [](const Cell* cells, float* outputs) {
        outputs[0] = Logistic(cells[1].f);
        outputs[1] = (1.0f - outputs[0]) / 2.0f;
        outputs[2] = outputs[1];
    });
    for (const Discretizer discretizer : {Discretizer::kQuartile, Discretizer::kNone}) {
        LimeOptions options;
        options.discretizer = discretizer;
        options.num_samples = 700;
        const Expected<Probe> probe = explained.MakeProbe(options);
        ASSERT_TRUE(probe.ok());
        const std::string image(reinterpret_cast<const char*>(probe->image().data()), probe->image().size());
        const std::unique_ptr<std::byte, void (*)(std::byte*)> copy(
            static_cast<std::byte*>(std::aligned_alloc(64, image.size())),
            [](std::byte* bytes) { std::free(bytes); });
        std::copy_n(probe->image().data(), image.size(), copy.get());
        const Expected<Probe> opened = Probe::Open({copy.get(), image.size()}, nullptr);
        ASSERT_TRUE(opened.ok()) << opened.status().message();
        EXPECT_EQ(opened->options(), options.probe());
        const std::vector<Cell> row = explained.Row(4);
        EXPECT_EQ(Bytes(*explained.Explain(row, options, &*opened)),
                  Bytes(*explained.Explain(row, options, &*probe)));
        for (size_t size = 0; size < image.size(); size += size < 256 ? 1 : 4096)
            EXPECT_EQ(Probe::Open({copy.get(), size}, nullptr).status().code(), StatusCode::kCorrupt);
        copy.get()[8] = std::byte{9};
        EXPECT_EQ(Probe::Open({copy.get(), image.size()}, nullptr).status().code(), StatusCode::kUnsupported);
    }
}

/// Processors that fuse products give the same answers, and so the same bytes, whatever the width of their
/// vectors.
TEST(ExplainLime, IsTheSameOnWiderVectors) {
    if (DetectCpuIsa() < CpuIsa::kAvx512)
        GTEST_SKIP() << "this processor has no AVX-512";
    for (const char* options :
         {R"({"preset": "fast", "epochs": 2})", R"({"preset": "default", "epochs": 2})"}) {
        const Expected<TrainedModel> trained = Train(MixedRows(Task::kBinary, 400, 5).Build(), options);
        ASSERT_TRUE(trained.ok());
        std::set<std::string> answers;
        for (const CpuIsa isa : {CpuIsa::kAvx2, CpuIsa::kAvx512}) {
            const std::unique_ptr<Scorer> scorer = std::move(*MakeCpuScorer(trained->model, isa));
            std::string all;
            const std::vector<Cell> cells = RandomCells(trained->model.pipeline, 5, 3);
            for (int row = 0; row < 5; ++row)
                all += Bytes(*ExplainByLime(trained->explainer, *scorer,
                                            cells.data() + row * scorer->cell_count(), {}, nullptr,
                                            NeverCancelled()));
            answers.insert(all);
        }
        EXPECT_EQ(answers.size(), 1u);
    }
}

TEST(ExplainLime, ComparesMethods) {
    LabelExplanation first;
    LabelExplanation second;
    const auto add = [](LabelExplanation* to, int feature, double contribution) {
        to->contributions.emplace_back().feature = feature;
        to->contributions.back().contribution = contribution;
    };
    add(&first, 2, 0.5);
    add(&first, 0, -0.3);
    add(&first, 1, 0.1);
    second = first;
    Agreement agreement = CompareExplanations(first, second, 5, 2);
    EXPECT_NEAR(agreement.rank_correlation, 1.0, 1e-12);
    EXPECT_EQ(agreement.top_overlap, 1.0);
    EXPECT_EQ(agreement.sign_agreement, 1.0);
    second.contributions[0].feature = 3;
    second.contributions[1].contribution = 0.3;
    agreement = CompareExplanations(first, second, 5, 2);
    EXPECT_LT(agreement.rank_correlation, 0.5);
    EXPECT_EQ(agreement.top_overlap, 0.5);
    EXPECT_EQ(agreement.sign_agreement, 0.0);
}

}  // namespace
}  // namespace dlent
