#include "pg/bridge/postgres.h"

#include "pg/functions/drift_rows.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/settings.h"
#include "pg/source/model_columns.h"
#include "pg/source/table_reader.h"

extern "C" {
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/timestamp.h"
}

namespace dlent::pg {
namespace {

/// More say nothing more.
constexpr size_t kMostRows = 1000000;
/// A mistyped width should not make a report of millions of lines.
constexpr size_t kMostWindows = 10000;

void AddTime(const Source& source, const std::string& name, TrainingColumns* columns) {
    const int attribute = source.Require(name, "option time_column");
    const SourceColumn& column = source.columns()[attribute];
    const bool date = column.type == DATEOID;
    if (!date && column.type != TIMESTAMPOID && column.type != TIMESTAMPTZOID)
        throw SqlError(ERRCODE_DATATYPE_MISMATCH,
                       "column \"" + name + "\" of type " + column.type_name + " has no times", {},
                       "Option time_column needs a timestamp or a date.");
    const ColumnKind kind = date ? ColumnKind::kDate : ColumnKind::kTimestamp;
    AddModelColumn(source, attribute,
                   {ToUtf8(name), kind, ColumnRole::kOrder, CellsOf(kind), ToUtf8(column.type_name)},
                   columns);
}

}  // namespace

DriftRows ReadDriftRows(const Model& model, const DriftRequest& request, const std::string& text,
                        bool windows) {
    Source source = Source::Open(text);
    TrainingColumns columns;
    DriftRows result;
    result.complete = true;
    for (const PipelineInput& input : model.pipeline.inputs()) {
        const std::string name = FromUtf8(input.name);
        // what only the prediction needs may be absent
        const bool needed = request.Wants(input.name) || request.prediction.value_or(false);
        const int attribute = needed ? source.Require(name, "feature") : source.Find(name);
        if (attribute < 0) {
            result.complete = false;
            continue;
        }
        AddModelColumn(source, attribute,
                       {input.name, input.kind, ColumnRole::kFeature, input.width, input.type_name},
                       &columns);
    }
    const TargetEncoder& target = model.target;
    if (request.target.value_or(true)) {
        const std::string name = FromUtf8(target.column());
        const int attribute = request.target ? source.Require(name, "target") : source.Find(name);
        if (attribute >= 0) {
            result.has_target = true;
            AddModelColumn(source, attribute,
                           {target.column(), target.column_kind(), ColumnRole::kTarget,
                            CellsOf(target.column_kind()), target.type_name()},
                           &columns);
        }
    }
    if (windows && request.window > 0)
        AddTime(source, request.time_column, &columns);
    result.table = ReadTrainingTable(&source, columns, MaxTrainingMemory(), [](uint64_t) {});
    const size_t count = std::min(result.table.rows(), kMostRows);
    result.rows.reserve(count);
    for (size_t i = 0; i < count; ++i)
        result.rows.push_back(static_cast<uint32_t>(i * result.table.rows() / count));
    return result;
}

std::vector<DriftWindow> SplitByWindow(const DriftRows& rows, int64_t window) {
    int cell = -1;
    for (size_t i = 0; i < rows.table.columns().size(); ++i) {
        if (rows.table.columns()[i].role == ColumnRole::kOrder)
            cell = rows.table.first_cell(static_cast<int>(i));
    }
    const double days = static_cast<double>(window) / static_cast<double>(USECS_PER_DAY);
    std::map<int64_t, std::vector<uint32_t>> by_number;
    for (const uint32_t row : rows.rows) {
        const float time = rows.table.Float(cell, row);  // days since 2000
        if (std::isfinite(time))
            by_number[static_cast<int64_t>(std::floor(static_cast<double>(time) / days + 1e-6))].push_back(
                row);
    }
    if (by_number.size() > kMostWindows)
        throw SqlError(
            ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            "the rows lie in " + std::to_string(by_number.size()) + " windows", {},
            "Choose a wider one in option window; " + std::to_string(kMostWindows) + " are allowed.");
    std::vector<DriftWindow> windows;
    for (auto& [number, members] : by_number) {
        const Timestamp start = number * window;
        const char* const text = CallPostgres([start] {
            return static_cast<const char*>(JsonEncodeDateTime(
                static_cast<char*>(palloc(MAXDATELEN + 1)), TimestampGetDatum(start), TIMESTAMPOID, nullptr));
        });
        windows.push_back({std::string(text) + "Z", std::move(members)});
    }
    return windows;
}

}  // namespace dlent::pg
