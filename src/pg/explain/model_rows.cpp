#include "pg/bridge/postgres.h"

#include "pg/explain/model_rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/random.h"
#include "core/drift/table_scorer.h"
#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/settings.h"
#include "pg/source/model_columns.h"
#include "pg/source/table_reader.h"

namespace dlent::pg {
namespace {

/// `most` of the rows, in their order (Knuth's selection sampling).
std::vector<uint32_t> Choose(std::vector<uint32_t> rows, size_t most, uint64_t seed) {
    RandomStream random(seed);
    std::vector<uint32_t> chosen;
    for (size_t i = 0; i < rows.size() && chosen.size() < most; ++i) {
        if (random.NextBelow(static_cast<uint32_t>(rows.size() - i)) < most - chosen.size())
            chosen.push_back(rows[i]);
    }
    return chosen;
}

}  // namespace

RowSet ReadModelRows(const std::string& source_text, Scorer* scorer, bool outcomes, int most, uint64_t seed) {
    const Model& model = scorer->model();
    Source source = Source::Open(source_text);
    TrainingColumns columns;
    for (const PipelineInput& input : model.pipeline.inputs())
        AddModelColumn(source, source.Require(FromUtf8(input.name), "feature"),
                       {input.name, input.kind, ColumnRole::kFeature, input.width, input.type_name},
                       &columns);
    if (outcomes) {
        const TargetEncoder& target = model.target;
        AddModelColumn(source, source.Require(FromUtf8(target.column()), "target"),
                       {target.column(), target.column_kind(), ColumnRole::kTarget,
                        CellsOf(target.column_kind()), target.type_name()},
                       &columns);
    }
    const ColumnarTable table = ReadTrainingTable(&source, columns, MaxTrainingMemory(), [](uint64_t) {});
    std::vector<uint32_t> rows;
    if (outcomes) {
        rows = RowsWithTarget(table);
    } else {
        rows.resize(table.rows());
        std::iota(rows.begin(), rows.end(), 0u);
    }
    RowSet result;
    result.cell_count = scorer->cell_count();
    if (outcomes) {
        const TargetEncoder::Binding truth = ValueOrThrow(model.target.Bind(table));
        if (model.target.task() == Task::kRegression) {
            rows = Choose(std::move(rows), static_cast<size_t>(most), seed);
            for (const uint32_t row : rows)
                result.values.push_back(truth.RawValue(row));
        } else {
            std::vector<int32_t> classes(rows.size());
            truth.Classes(rows, classes.data());
            std::vector<uint32_t> known;
            for (size_t i = 0; i < rows.size(); ++i) {
                if (classes[i] >= 0)
                    known.push_back(rows[i]);
            }
            rows = Choose(std::move(known), static_cast<size_t>(most), seed);
            result.classes.resize(rows.size());
            truth.Classes(rows, result.classes.data());
        }
    } else {
        rows = Choose(std::move(rows), static_cast<size_t>(most), seed);
    }
    result.numbers.assign(rows.begin(), rows.end());
    result.cells.resize(rows.size() * static_cast<size_t>(result.cell_count));
    ValueOrThrow(TableScorer::Create(scorer, table)).Gather(rows, result.cells.data());
    return result;
}

}  // namespace dlent::pg
