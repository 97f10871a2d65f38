#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/base/random.h"
#include "core/model/scorer.h"
#include "core/train/train_model.h"
#include "cpu/cpu_backend.h"
#include "table_testing.h"

namespace dlent {

/// Rows with every kind of input: numbers with NULLs, a boolean, a vector, few levels and, from 300 rows on
/// and unless `small`, so many that they are embedded. The target "y" of the task is a noisy function of
/// them.
inline TableBuilder MixedRows(Task task, size_t rows, uint64_t seed, bool small = false) {
    RandomStream random(seed);
    std::vector<float> amount, age, flag, point, number;
    std::vector<std::string> city, shop, label;
    const std::vector<std::string> cities = {"Lyon", "Oslo", "Rome", "NULL"};
    for (size_t row = 0; row < rows; ++row) {
        const float a = random.Normal();
        const float b = random.Normal();
        const uint32_t c = random.NextBelow(4);
        amount.push_back(random.NextBelow(10) == 0 ? ColumnarTable::kNull : std::exp(a) * 100.0f);
        age.push_back(std::round(40.0f + 12.0f * b));
        flag.push_back(random.NextBelow(2) != 0 ? 1.0f : 0.0f);
        point.insert(point.end(), {random.Normal(), a + random.Normal()});
        city.push_back(cities[c]);
        shop.push_back("shop " + std::to_string(row * 7 % 300));
        const float y = a - 0.7f * b * static_cast<float>(c) + 0.5f * random.Normal();
        number.push_back(1000.0f + 250.0f * y);
        if (task == Task::kBinary)
            label.push_back(y > 0.4f ? "yes" : "no");
        else
            label.push_back(y > 1.0f ? "high" : y < -1.0f ? "low" : "middle");
    }
    TableBuilder table;
    table.Floats("amount", amount)
        .Floats("age", age, ColumnRole::kFeature, ColumnKind::kNumeric, "integer")
        .Floats("flag", flag, ColumnRole::kFeature, ColumnKind::kBoolean, "boolean")
        .Floats("point", point, ColumnRole::kFeature, ColumnKind::kVector, "real[]", 2)
        .Texts("city", city);
    if (!small)
        table.Texts("shop", shop);
    if (task == Task::kRegression)
        table.Floats("y", number, ColumnRole::kTarget);
    else
        table.Texts("y", label, ColumnRole::kTarget);
    return table;
}

inline TrainingOptions ParseOptions(const std::string& json) {
    Expected<TrainingOptions> options = TrainingOptions::Parse(Json::parse(json));
    EXPECT_TRUE(options.ok()) << options.status().message();
    return std::move(*options);
}

inline Expected<TrainedModel> Train(const ColumnarTable& table, const std::string& options) {
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    return TrainModel(table, ParseOptions(options), {*backend, NeverCancelled()});
}

/// What the catalog keeps of a model, JSON as text.
struct Artifact {
    std::string specification;
    std::string pipeline;
    std::string weights;

    static Artifact Of(const Model& model) {
        return {model.SpecificationJson().dump(), model.PipelineJson().dump(), model.WeightsBytes()};
    }
    Expected<Model> Open() const {
        return Model::FromArtifact(Json::parse(specification), Json::parse(pipeline), weights);
    }
    bool operator==(const Artifact&) const = default;
};

/// Rows as a scorer takes them: numbers within and beyond what was seen, NULLs, infinities, levels seen
/// and unseen.
inline std::vector<Cell> RandomCells(const Pipeline& pipeline, int rows, uint64_t seed) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    RandomStream random(seed);
    std::vector<Cell> cells;
    for (int row = 0; row < rows; ++row) {
        for (size_t i = 0; i < pipeline.inputs().size(); ++i) {
            const PipelineInput& input = pipeline.inputs()[i];
            const uint32_t kind = random.NextBelow(10);
            if (input.kind == ColumnKind::kCategory) {
                const int index = static_cast<int>(i);
                const size_t levels = input.levels.size();
                if (kind == 0 || levels == 0)
                    cells.push_back({.code = pipeline.NullCode(index)});
                else if (kind == 1)
                    cells.push_back({.code = pipeline.CategoryCode(index, "never seen")});
                else
                    cells.push_back(
                        {.code = pipeline.CategoryCode(
                             index, input.levels[random.NextBelow(static_cast<uint32_t>(levels))])});
                continue;
            }
            for (const PipelineInput::CellStatistics& cell : input.cells) {
                const float spread = cell.scale > 0.0f ? 1.0f / cell.scale : 1.0f;
                float value = cell.center + spread * random.Normal();
                if (kind == 0)
                    value = ColumnarTable::kNull;
                else if (kind == 1)
                    value = random.NextBelow(2) != 0 ? kInfinity : -kInfinity;
                else if (kind == 2)
                    value *= 50.0f;
                cells.push_back({.f = value});
            }
        }
    }
    return cells;
}

inline std::vector<float> ScoreAll(Scorer& scorer, const std::vector<Cell>& cells) {
    const int rows = static_cast<int>(cells.size()) / scorer.cell_count();
    std::vector<float> outputs(static_cast<size_t>(rows) * scorer.output_count());
    scorer.Score(rows, cells.data(), outputs.data());
    return outputs;
}

}  // namespace dlent
