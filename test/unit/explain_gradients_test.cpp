// Integrated gradients: complete, exact where the integral is known, the same for all ways to read a column.

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "core/explain/integrated_gradients.h"
#include "cpu/row_scorer.h"
#include "explain_scorer_testing.h"

namespace dlent {
namespace {

Expected<LocalExplanation> Integrate(const TrainedModel& trained, const std::vector<Cell>& row,
                                     const IntegratedGradientsOptions& options) {
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    return ExplainByIntegratedGradients(trained.explainer, trained.model, row.data(), options, *backend,
                                        NeverCancelled());
}

/// Every kind of column, embedded and plain, members of one and of several networks, either link.
TEST(ExplainGradients, AreComplete) {
    struct Case {
        Task task;
        const char* options;
    };
    for (const Case& test : {Case{Task::kBinary, R"({"preset": "fast", "epochs": 4, "seed": 3})"},
                             Case{Task::kMulticlass, R"({"preset": "default", "epochs": 3, "seed": 3})"},
                             Case{Task::kRegression, R"({"preset": "fast", "epochs": 4, "seed": 3})"},
                             Case{Task::kBinary, R"({"kind": "tabm", "epochs": 3, "seed": 3})"}}) {
        const Expected<TrainedModel> trained = Train(MixedRows(test.task, 600, 11).Build(), test.options);
        ASSERT_TRUE(trained.ok()) << trained.status().message();
        const std::unique_ptr<Scorer> scorer = std::move(*MakeCpuScorer(trained->model));
        const int row_cells = scorer->cell_count();
        const std::vector<Cell> cells = RandomCells(trained->model.pipeline, 6, 5);
        const std::vector<float> outputs = ScoreAll(*scorer, cells);
        const std::vector<Cell> typical = TypicalRow(trained->explainer);
        const std::vector<float> typical_outputs = ScoreAll(*scorer, typical);
        for (int row = 0; row < 6; ++row) {
            const std::vector<Cell> instance(cells.begin() + row * row_cells,
                                             cells.begin() + (row + 1) * row_cells);
            for (const Link link : {Link::kProbability, Link::kLogit}) {
                IntegratedGradientsOptions options;
                options.link = link;
                options.top_labels = 3;
                const Expected<LocalExplanation> explanation = Integrate(*trained, instance, options);
                ASSERT_TRUE(explanation.ok()) << explanation.status().message();
                ExpectInvariants(*explanation);
                for (const LabelExplanation& label : explanation->labels) {
                    const TargetEncoder& target = trained->model.target;
                    const int output = OutputOf(target, label.label);
                    if (explanation->link != Link::kIdentity) {
                        EXPECT_NEAR(label.prediction,
                                    LinkedValue(link, target, label.label,
                                                outputs[row * scorer->output_count() + output]),
                                    1e-3 * std::max(1.0, std::abs(label.prediction)));
                        EXPECT_NEAR(label.baseline,
                                    LinkedValue(link, target, label.label, typical_outputs[output]),
                                    1e-3 * std::max(1.0, std::abs(label.baseline)));
                    }
                    // values far beyond what was seen leave the network to move on a short stretch of the way
                    double moved = 0.0;
                    for (const Contribution& contribution : label.contributions)
                        moved += std::abs(contribution.contribution);
                    EXPECT_LE(label.completeness,
                              0.01 * std::abs(label.prediction - label.baseline) + 2e-3 * moved + 2e-4)
                        << test.options << " row " << row << " " << LinkName(link) << " label "
                        << label.label;
                    EXPECT_EQ(label.contributions.size(),
                              static_cast<size_t>(trained->explainer.feature_count()));
                    EXPECT_TRUE(std::isnan(label.fidelity_r2));
                }
            }
        }
    }
}

/// What is as in the typical row contributes nothing, and the typical row itself has no reasons.
TEST(ExplainGradients, OwesNothingToWhatIsTypical) {
    const Expected<TrainedModel> trained =
        Train(MixedRows(Task::kBinary, 400, 11).Build(), R"({"preset": "fast", "epochs": 3})");
    ASSERT_TRUE(trained.ok());
    std::vector<Cell> row = TypicalRow(trained->explainer);
    const Expected<LocalExplanation> none = Integrate(*trained, row, {});
    ASSERT_TRUE(none.ok());
    for (const Contribution& contribution : none->labels[0].contributions)
        EXPECT_EQ(contribution.contribution, 0.0);
    trained->explainer.SetValue(4, 1.0, row.data());
    trained->explainer.SetValue(0, 900.0, row.data());
    const Expected<LocalExplanation> two = Integrate(*trained, row, {});
    ASSERT_TRUE(two.ok());
    for (const Contribution& contribution : two->labels[0].contributions) {
        if (contribution.feature != 0 && contribution.feature != 4) {
            EXPECT_EQ(contribution.contribution, 0.0);
        }
    }
}

/// A logistic regression: the logit's contributions are weight times way.
TEST(ExplainGradients, AreExactForALinearLogit) {
    const Expected<TrainedModel> trained =
        Train(MixedRows(Task::kBinary, 400, 11, true).Build(),
              R"({"preset": "fast", "epochs": 3, "hidden": [], "numeric_embedding": "none", "seed": 2})");
    ASSERT_TRUE(trained.ok()) << trained.status().message();
    std::vector<Cell> row = TypicalRow(trained->explainer);
    const std::vector<double> values = {700.0, 61.0, 1.0, 1.5, -0.5, 2.0};
    for (int f = 0; f < 6; ++f)
        trained->explainer.SetValue(f, values[f], row.data());
    IntegratedGradientsOptions options;
    options.link = Link::kLogit;
    options.labels = {1};
    const Expected<LocalExplanation> whole = Integrate(*trained, row, options);
    ASSERT_TRUE(whole.ok()) << whole.status().message();
    if (trained->model.members.size() > 1)
        GTEST_SKIP() << "the mean of several logistic regressions is none";
    // each alone says the same
    for (const Contribution& contribution : whole->labels[0].contributions) {
        std::vector<Cell> alone = TypicalRow(trained->explainer);
        trained->explainer.SetValue(contribution.feature, values[contribution.feature], alone.data());
        const Expected<LocalExplanation> single = Integrate(*trained, alone, options);
        EXPECT_NEAR(single->labels[0].contributions[0].contribution, contribution.contribution,
                    2e-3 * std::max(1.0, std::abs(contribution.contribution)));
    }
}

TEST(ExplainGradients, RefusesWhatItCannotDo) {
    const Expected<TrainedModel> trained =
        Train(MixedRows(Task::kBinary, 300, 11).Build(), R"({"preset": "fast", "epochs": 1})");
    ASSERT_TRUE(trained.ok());
    const std::vector<Cell> row = TypicalRow(trained->explainer);
    IntegratedGradientsOptions options;
    options.steps = 0;
    EXPECT_EQ(Integrate(*trained, row, options).status().code(), StatusCode::kInvalidArgument);
    options = {};
    options.labels = {7};
    EXPECT_EQ(Integrate(*trained, row, options).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace dlent
