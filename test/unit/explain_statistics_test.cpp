// What only many seeds can tell: LIME scatters as the reference does, and its standard errors say by how
// much.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "cpu/row_scorer.h"
#include "explain_scorer_testing.h"

namespace dlent {
namespace {

using Sample = std::vector<double>;

double Mean(const Sample& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}
double Variance(const Sample& values) {
    const double mean = Mean(values);
    double squares = 0.0;
    for (const double value : values)
        squares += (value - mean) * (value - mean);
    return squares / static_cast<double>(values.size() - 1);
}
double Pearson(const Sample& a, const Sample& b) {
    const double mean_a = Mean(a);
    const double mean_b = Mean(b);
    double product = 0.0;
    for (size_t i = 0; i < a.size(); ++i)
        product += (a[i] - mean_a) * (b[i] - mean_b);
    return product / static_cast<double>(a.size() - 1) / std::sqrt(Variance(a) * Variance(b));
}
double Jaccard(const Sample& a, const Sample& b, size_t top) {
    const auto best = [top](const Sample& values) {
        std::vector<int> order(values.size());
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(),
                  [&](int x, int y) { return std::abs(values[x]) > std::abs(values[y]); });
        order.resize(top);
        std::sort(order.begin(), order.end());
        return order;
    };
    const std::vector<int> first = best(a);
    const std::vector<int> second = best(b);
    std::vector<int> both;
    std::set_intersection(first.begin(), first.end(), second.begin(), second.end(), std::back_inserter(both));
    return static_cast<double>(both.size()) / static_cast<double>(2 * top - both.size());
}
/// The mean over all pairs of different runs.
template <typename Measure>
double MeanOfPairs(const std::vector<Sample>& a, const std::vector<Sample>& b, bool same,
                   const Measure& measure) {
    double sum = 0.0;
    int count = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        for (size_t j = 0; j < b.size(); ++j) {
            if (same && i == j)
                continue;
            sum += measure(a[i], b[j]);
            ++count;
        }
    }
    return sum / count;
}

/// Runs of one row: a coefficient of every feature, and the fit.
struct Runs {
    std::vector<Sample> coefficients;  ///< [seeds][features]
    Sample r2;
    Sample local_prediction;
};

TEST(ExplainStatistics, ScatterAsTheReference) {
    DLENT_REFERENCE_OR_SKIP(answers, "seeds.json");
    const Json& data = answers.at("data");
    const std::vector<std::vector<double>> weight = answers.at("model").at("W");
    const std::vector<double> bias = answers.at("model").at("b");
    const std::vector<double> output = answers.at("model").at("v");
    const size_t features = weight.size();
    TableBuilder rows;
    std::vector<double> means, deviations;
    std::vector<std::string> labels;
    for (size_t f = 0; f < features; ++f) {
        std::vector<float> column;
        Sample exact;
        for (const Json& row : data) {
            exact.push_back(row[f]);
            column.push_back(static_cast<float>(exact.back()));
        }
        means.push_back(Mean(exact));
        deviations.push_back(std::sqrt(Variance(exact) * static_cast<double>(exact.size() - 1) /
                                       static_cast<double>(exact.size())));
        rows.Floats("f" + std::to_string(f), column);
    }
    for (size_t row = 0; row < data.size(); ++row)
        labels.push_back(row % 2 != 0 ? "yes" : "no");
    rows.Texts("y", labels, ColumnRole::kTarget);
    Explained explained(rows, [&](const Cell* cells, float* outputs) {
        double logit = 0.0;
        for (size_t h = 0; h < bias.size(); ++h) {
            double sum = bias[h];
            for (size_t f = 0; f < features; ++f)
                sum += (cells[f].f - means[f]) / deviations[f] * weight[f][h];
            logit += std::max(sum, 0.0) * output[h];
        }
        outputs[0] = static_cast<float>(1.0 / (1.0 + std::exp(-logit)));
    });

    constexpr int kSeeds = 20;
    std::vector<Runs> ours(answers.at("rows").size());
    for (int seed = 1; seed <= kSeeds; ++seed) {
        LimeOptions options;
        options.seed = static_cast<uint64_t>(seed);
        options.num_features = static_cast<int>(features);
        options.labels = {1};
        for (size_t i = 0; i < ours.size(); ++i) {
            const Json& row = answers.at("rows")[i];
            // samples of its own for every row, as the reference draws them
            options.seed = static_cast<uint64_t>(seed) * 1000 + i;
            const Expected<LocalExplanation> explanation =
                explained.Explain(explained.Row(row.at("row").get<size_t>()), options);
            ASSERT_TRUE(explanation.ok());
            const LabelExplanation& label = explanation->labels[0];
            EXPECT_NEAR(label.prediction, row.at("prediction").get<double>(), 1e-5);
            Sample coefficients(features);
            for (const Contribution& contribution : label.contributions)
                coefficients[contribution.feature] = contribution.coefficient;
            ours[i].coefficients.push_back(std::move(coefficients));
            ours[i].r2.push_back(label.fidelity_r2);
            ours[i].local_prediction.push_back(label.local_prediction);
        }
    }

    int beyond = 0;
    int compared = 0;
    double cross = 0.0;
    double self = 0.0;
    double cross_overlap = 0.0;
    double self_overlap = 0.0;
    double greatest_r2 = 0.0;
    for (size_t i = 0; i < ours.size(); ++i) {
        const Json& row = answers.at("rows")[i];
        const std::vector<Sample> theirs = row.at("coefficients");
        for (size_t f = 0; f < features; ++f) {
            Sample a, b;
            for (int seed = 0; seed < kSeeds; ++seed) {
                a.push_back(ours[i].coefficients[seed][f]);
                b.push_back(theirs[seed][f]);
            }
            const double z = (Mean(a) - Mean(b)) / std::sqrt((Variance(a) + Variance(b)) / kSeeds);
            beyond += std::abs(z) > 3.0;
            ++compared;
        }
        greatest_r2 = std::max(greatest_r2, std::abs(Mean(ours[i].r2) - Mean(row.at("r2").get<Sample>())));
        cross += MeanOfPairs(ours[i].coefficients, theirs, false, Pearson) / ours.size();
        self += MeanOfPairs(theirs, theirs, true, Pearson) / ours.size();
        const auto top5 = [](const Sample& a, const Sample& b) { return Jaccard(a, b, 5); };
        cross_overlap += MeanOfPairs(ours[i].coefficients, theirs, false, top5) / ours.size();
        self_overlap += MeanOfPairs(theirs, theirs, true, top5) / ours.size();
    }
    std::printf(
        "%d of %d coefficients beyond |z| 3; R2 differs by at most %.4f; correlation %.4f (reference with "
        "itself "
        "%.4f); top-5 overlap %.3f (%.3f)\n",
        beyond, compared, greatest_r2, cross, self, cross_overlap, self_overlap);
    EXPECT_LE(beyond, compared / 100);
    EXPECT_LE(greatest_r2, 0.01);
    EXPECT_GE(cross, self - 0.005);
    EXPECT_GE(cross_overlap, self_overlap - 0.03);
}

/// A public data set as a source; the last column is the target unless `target` says otherwise. Columns whose
/// first value is no number are categories.
std::optional<ColumnarTable> ReadSet(const std::string& path, bool header, bool classes) {
    const char* shared = std::getenv("DLENT_SHARED");
    const std::string file = std::string(shared != nullptr ? shared : "../shared") + "/data/" + path;
    if (!std::ifstream(file))
        return std::nullopt;
    FILE* pipe = popen(("gzip -dc '" + file + "'").c_str(), "r");
    std::string text;
    char buffer[4096];
    for (size_t got = 0; (got = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;)
        text.append(buffer, got);
    pclose(pipe);
    std::vector<std::vector<std::string>> columns;
    size_t begin = header ? text.find('\n') + 1 : 0;
    while (begin < text.size()) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        std::string line = text.substr(begin, end - begin);
        if (!line.empty() && line.back() == '\r')
            line.pop_back();
        begin = end + 1;
        size_t at = 0;
        for (size_t c = 0; at <= line.size(); ++c) {
            const size_t comma = std::min(line.find(',', at), line.size());
            if (columns.size() <= c)
                columns.emplace_back();
            columns[c].push_back(line.substr(at, comma - at));
            at = comma + 1;
        }
    }
    TableBuilder table;
    for (size_t c = 0; c < columns.size(); ++c) {
        const bool target = c + 1 == columns.size();
        const ColumnRole role = target ? ColumnRole::kTarget : ColumnRole::kFeature;
        const bool number = std::isdigit(static_cast<unsigned char>(columns[c][0].back())) != 0 &&
                            columns[c][0].find_first_of("'ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos;
        if (!number || (target && classes)) {
            table.Texts("c" + std::to_string(c), columns[c], role);
            continue;
        }
        std::vector<float> values;
        for (const std::string& value : columns[c])
            values.push_back(std::strtof(value.c_str(), nullptr));
        table.Floats("c" + std::to_string(c), values, role);
    }
    return table.Build();
}

/// Predicted standard errors beside the scatter over 50 seeds, for networks trained on public data: their
/// median ratio.
TEST(ExplainStatistics, StandardErrorsPredictTheScatterOfRealModels) {
    struct Set {
        const char* path;
        bool header;
        bool classes;
    };
    for (const Set& set : {Set{"pima_diabetes/pima_diabetes.csv.gz", true, true},
                           Set{"german_credit/german.csv.gz", true, true},
                           Set{"concrete_strength/concrete_strength.csv.gz", true, false}}) {
        const std::optional<ColumnarTable> table = ReadSet(set.path, set.header, set.classes);
        if (!table)
            GTEST_SKIP() << "there is no shared/data/" << set.path;
        const Expected<TrainedModel> trained = Train(*table, R"({"preset": "fast", "epochs": 6, "seed": 1})");
        ASSERT_TRUE(trained.ok()) << trained.status().message();
        const std::unique_ptr<Scorer> scorer = std::move(*MakeCpuScorer(trained->model));
        const int features = trained->explainer.feature_count();
        constexpr int kSeeds = 50;
        constexpr int kRows = 3;
        std::vector<double> ratios;
        for (int row = 0; row < kRows; ++row) {
            const std::vector<Cell> instance =
                CellsOfRow(*table, trained->model.pipeline, static_cast<size_t>(row) * 37 + 5);
            std::vector<Sample> contributions(static_cast<size_t>(features));
            std::vector<Sample> errors(static_cast<size_t>(features));
            for (int seed = 1; seed <= kSeeds; ++seed) {
                LimeOptions options;
                options.seed = static_cast<uint64_t>(100 * row + seed);
                options.num_features = features;
                const Expected<LocalExplanation> explanation = ExplainByLime(
                    trained->explainer, *scorer, instance.data(), options, nullptr, NeverCancelled());
                ASSERT_TRUE(explanation.ok());
                for (const Contribution& contribution : explanation->labels[0].contributions) {
                    contributions[contribution.feature].push_back(contribution.contribution);
                    errors[contribution.feature].push_back(contribution.std_error);
                }
            }
            for (int f = 0; f < features; ++f)
                ratios.push_back(Mean(errors[f]) / std::sqrt(Variance(contributions[f])));
        }
        std::sort(ratios.begin(), ratios.end());
        const double median = ratios[ratios.size() / 2];
        std::printf("%s: predicted over observed standard error %.3f (median of %zu; quartiles %.3f, %.3f)\n",
                    set.path, median, ratios.size(), ratios[ratios.size() / 4],
                    ratios[ratios.size() * 3 / 4]);
        EXPECT_NEAR(median, 1.0, 0.1) << set.path;
    }
}

}  // namespace
}  // namespace dlent
