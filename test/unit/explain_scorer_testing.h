#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/explain/lime.h"
#include "core/model/scorer.h"
#include "explain_testing.h"
#include "model_testing.h"

namespace dlent {

/// A model whose answers a function gives.
class FunctionScorer final : public Scorer {
 public:
    using Function = std::function<void(const Cell* cells, float* outputs)>;

    FunctionScorer(Model model, Function function)
        : Scorer(std::move(model)), function_(std::move(function)) {}
    void Score(int rows, const Cell* cells, float* outputs) override {
        for (int row = 0; row < rows; ++row, cells += cell_count(), outputs += output_count())
            function_(cells, outputs);
        scored += rows;
    }
    size_t memory_bytes() const override { return sizeof(*this); }

    int scored = 0;

 private:
    Function function_;
};

/// A row of a source as a scorer takes it.
inline std::vector<Cell> CellsOfRow(const ColumnarTable& table, const Pipeline& pipeline, size_t row) {
    std::vector<Cell> cells;
    for (size_t i = 0; i < pipeline.inputs().size(); ++i) {
        const PipelineInput& input = pipeline.inputs()[i];
        int column = 0;
        while (table.columns()[column].name != input.name)
            ++column;
        const int first = table.first_cell(column);
        if (input.kind == ColumnKind::kCategory) {
            const int32_t code = table.Code(first, row);
            const int index = static_cast<int>(i);
            cells.push_back(
                {.code = code < 0 ? pipeline.NullCode(index)
                                  : pipeline.CategoryCode(index, table.dictionary(column).Text(code))});
            continue;
        }
        for (int cell = 0; cell < input.width; ++cell)
            cells.push_back({.f = table.Float(first + cell, row)});
    }
    return cells;
}

/// A source, what training would learn about it, and a function in place of a network. The last column of the
/// builder is the target.
struct Explained {
    ColumnarTable table;
    ExplainerStatistics statistics;
    std::unique_ptr<FunctionScorer> scorer;

    Explained(const TableBuilder& rows, FunctionScorer::Function function) : table(rows.Build()) {
        Model model;
        std::vector<Pipeline::Exclusion> excluded;
        model.pipeline = *Pipeline::Fit(table, AllRows(table), {}, &excluded, NeverCancelled());
        EXPECT_TRUE(excluded.empty());
        model.target = *TargetEncoder::Fit(table, AllRows(table), Task::kAuto, {});
        std::vector<int32_t> labels(table.rows());
        const TargetEncoder::Binding truth = *model.target.Bind(table);
        if (model.target.task() != Task::kRegression)
            truth.Classes(AllRows(table), labels.data());
        statistics =
            *ExplainerStatistics::Fit(table, AllRows(table), model.pipeline, labels, 1, NeverCancelled());
        scorer = std::make_unique<FunctionScorer>(std::move(model), std::move(function));
    }

    const Pipeline& pipeline() const { return scorer->model().pipeline; }
    std::vector<Cell> Row(size_t row) const { return CellsOfRow(table, pipeline(), row); }
    Expected<LocalExplanation> Explain(const std::vector<Cell>& row, const LimeOptions& options,
                                       const Probe* probe = nullptr) {
        return ExplainByLime(statistics, *scorer, row.data(), options, probe, NeverCancelled());
    }
    Expected<Probe> MakeProbe(const LimeOptions& options) {
        return Probe::Make(statistics, options.probe(), *scorer, NeverCancelled());
    }
};

/// baseline + contributions = local prediction, + residual = prediction.
inline void ExpectInvariants(const LocalExplanation& explanation) {
    for (const LabelExplanation& label : explanation.labels) {
        double sum = label.baseline;
        for (const Contribution& contribution : label.contributions)
            sum += contribution.contribution;
        EXPECT_NEAR(sum, label.local_prediction, 1e-9 * std::max(1.0, std::abs(sum)));
        EXPECT_NEAR(label.local_prediction + label.residual, label.prediction,
                    1e-9 * std::max(1.0, std::abs(sum)));
        for (size_t i = 1; i < label.contributions.size(); ++i)
            EXPECT_GE(std::abs(label.contributions[i - 1].contribution),
                      std::abs(label.contributions[i].contribution));
    }
}

/// Everything that an explanation says, as text that differs when a bit does.
inline std::string Bytes(const LocalExplanation& explanation) {
    std::string text = explanation.selection + " " + std::to_string(explanation.samples);
    const auto add = [&](double value) {
        char digits[64];
        std::snprintf(digits, sizeof(digits), " %a", value);
        text += digits;
    };
    add(explanation.kernel_width);
    for (const LabelExplanation& label : explanation.labels) {
        text += "\n" + std::to_string(label.label);
        for (const double value : {label.prediction, label.baseline, label.local_prediction, label.residual,
                                   label.fidelity_r2, label.completeness})
            add(value);
        for (const Contribution& contribution : label.contributions) {
            text += "\n  " + std::to_string(contribution.feature) + " " + std::to_string(contribution.code) +
                    (contribution.rank_tied ? " tied" : "") + (contribution.unseen ? " unseen" : "");
            for (const double value :
                 {contribution.coefficient, contribution.contribution, contribution.std_error})
                add(value);
        }
    }
    return text;
}

}  // namespace dlent
