#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/features/pipeline.h"
#include "core/features/quantile_sample.h"

namespace dlent {
namespace {

/// Quantiles are exact up to so many rows; beyond, they are those of rows spread evenly over the canonical
/// order, which is random.
constexpr size_t kSampleRows = 200000;
constexpr float kSqrt2 = 1.41421356f;  ///< gives the sine and cosine of an angle unit variance
constexpr double kReportedQuantiles[] = {0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99};
/// A category with more distinct values than this share of the rows names the row.
constexpr double kUniqueShare = 0.95;
constexpr size_t kUniqueRows = 100;

/// Whether a cell holds a point on a circle, which needs no scaling or embedding.
bool IsAngle(ColumnKind kind, int cell) {
    return cell > 0 &&
           (kind == ColumnKind::kTimestamp || kind == ColumnKind::kDate || kind == ColumnKind::kTime);
}

/// What one pass over a cell of all rows finds, independent of their order.
struct CellScan {
    uint64_t nulls = 0;
    uint64_t infinities = 0;
    float minimum = INFINITY;
    float maximum = -INFINITY;
};

CellScan Scan(const ColumnarTable& table, int cell, std::span<const uint32_t> rows) {
    CellScan scan;
    auto add = [&scan](float value) {
        if (std::isnan(value)) {
            ++scan.nulls;
        } else if (std::isinf(value)) {
            ++scan.infinities;
        } else {
            scan.minimum = std::min(scan.minimum, value);
            scan.maximum = std::max(scan.maximum, value);
        }
    };
    if (rows.size() == table.rows()) {
        // all rows: in the order in which they lie
        for (size_t chunk = 0; chunk < table.chunk_count(); ++chunk) {
            const size_t begin = chunk * ColumnarTable::kChunkRows;
            const size_t count =
                begin < table.rows() ? std::min(ColumnarTable::kChunkRows, table.rows() - begin) : 0;
            const float* values = table.FloatChunk(cell, chunk);
            for (size_t i = 0; i < count; ++i)
                add(values[i]);
        }
    } else {
        for (const uint32_t row : rows)
            add(table.Float(cell, row));
    }
    return scan;
}

/// The finite values of a cell on the sampled rows.
void Sample(const ColumnarTable& table, int cell, std::span<const uint32_t> rows,
            std::vector<float>* values) {
    values->clear();
    for (const uint32_t row : rows) {
        const float value = table.Float(cell, row);
        if (std::isfinite(value))
            values->push_back(value);
    }
}

std::vector<uint32_t> SampleRows(std::span<const uint32_t> rows) {
    const size_t count = std::min(rows.size(), kSampleRows);
    std::vector<uint32_t> sample(count);
    for (size_t i = 0; i < count; ++i)
        sample[i] = rows[i * rows.size() / count];
    // ascending, so that gathering walks the table once
    std::sort(sample.begin(), sample.end());
    return sample;
}

/// Learns the scale and edges of one float cell from its sorted sample.
void FitCell(ColumnKind kind, int cell, const CellScan& scan, const std::vector<float>& sorted, bool embed,
             PipelineInput::CellStatistics* statistics) {
    statistics->null_count = scan.nulls;
    statistics->minimum = scan.minimum;
    statistics->maximum = scan.maximum;
    statistics->has_indicator = scan.nulls > 0 && cell == 0 && kind != ColumnKind::kVector;
    double sum = 0.0;
    for (const float value : sorted)
        sum += value;
    const double mean = sum / static_cast<double>(sorted.size());
    double squares = 0.0;
    for (const float value : sorted)
        squares += (value - mean) * (value - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(sorted.size()));
    statistics->mean = static_cast<float>(mean);
    statistics->standard_deviation = static_cast<float>(deviation);
    for (const double quantile : kReportedQuantiles)
        statistics->quantiles.push_back(SortedQuantile(sorted, quantile));

    if (IsAngle(kind, cell)) {
        statistics->plain = true;
        statistics->scale = kSqrt2;
        return;
    }
    const float second = *std::upper_bound(sorted.begin(), sorted.end() - 1, sorted.front());
    const bool two_valued =
        second == sorted.back() && sorted.front() == scan.minimum && second == scan.maximum;
    if (kind == ColumnKind::kBoolean || kind == ColumnKind::kVector || two_valued ||
        scan.minimum == scan.maximum) {
        statistics->plain = true;
        statistics->center = statistics->mean;
        statistics->scale = deviation > 0.0 ? static_cast<float>(1.0 / deviation) : 0.0f;
        return;
    }
    statistics->center = SortedQuantile(sorted, 0.5);
    double spread = static_cast<double>(SortedQuantile(sorted, 0.75)) - SortedQuantile(sorted, 0.25);
    if (!(spread > 0.0))
        spread = (static_cast<double>(scan.maximum) - scan.minimum) / 2.0;
    // a spread below float's resolution of the centre would only amplify rounding
    spread = std::max(spread, std::abs(static_cast<double>(statistics->center)) * 1e-6);
    statistics->scale = static_cast<float>(std::clamp(1.0 / spread, 1e-30, 1e30));
    if (!embed)
        return;
    for (const float edge : EmbeddingEdges(sorted)) {
        const float u = (edge - statistics->center) * statistics->scale;
        if (std::isfinite(u) && (statistics->edges.empty() || u > statistics->edges.back()))
            statistics->edges.push_back(u);
    }
    if (statistics->edges.size() < 2)
        statistics->edges = {-1.0f, 1.0f};
}

}  // namespace

Expected<Pipeline> Pipeline::Fit(const ColumnarTable& table, std::span<const uint32_t> rows,
                                 const PipelineOptions& options, std::vector<Exclusion>* excluded,
                                 const CancelToken& cancel) {
    Pipeline pipeline;
    pipeline.row_count_ = rows.size();
    const std::vector<uint32_t> sample_rows = SampleRows(rows);
    std::vector<float> values;
    std::vector<float> scratch;
    for (size_t c = 0; c < table.columns().size(); ++c) {
        const ColumnDefinition& column = table.columns()[c];
        if (column.role != ColumnRole::kFeature)
            continue;
        if (cancel.IsCancelled())
            return Status::Cancelled();
        PipelineInput input;
        input.name = column.name;
        input.kind = column.kind;
        input.width = column.width;
        input.type_name = column.type_name;
        const int first = table.first_cell(static_cast<int>(c));
        auto exclude = [&](const char* code, const std::string& reason) {
            excluded->push_back({column.name, code, reason});
        };

        if (column.kind == ColumnKind::kCategory) {
            const Dictionary& dictionary = table.dictionary(static_cast<int>(c));
            std::vector<uint64_t> counts(dictionary.size());
            for (const uint32_t row : rows) {
                const int32_t code = table.Code(first, row);
                if (code >= 0)
                    ++counts[code];
                else if (code == ColumnarTable::kNullCode)
                    ++input.null_level_count;
                else
                    ++input.other_count;
            }
            std::vector<int32_t> order;
            for (int32_t code = 0; code < dictionary.size(); ++code) {
                if (counts[code] > 0)
                    order.push_back(code);
            }
            if (input.other_count > 0) {
                exclude("EXCLUDED_OVERFLOW", "it has more distinct values than categories can have");
                continue;
            }
            if (input.null_level_count == rows.size()) {
                exclude("EXCLUDED_ALL_NULL", "it is NULL in every row");
                continue;
            }
            if (order.size() + (input.null_level_count > 0) < 2) {
                exclude("EXCLUDED_CONSTANT", "it has the same value in every row");
                continue;
            }
            const uint64_t present = rows.size() - input.null_level_count;
            if (present > kUniqueRows &&
                static_cast<double>(order.size()) > kUniqueShare * static_cast<double>(present)) {
                exclude("EXCLUDED_UNIQUE", "nearly every row has a value of its own, so it names the row");
                continue;
            }
            std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
                return counts[a] != counts[b] ? counts[a] > counts[b]
                                              : dictionary.Text(a) < dictionary.Text(b);
            });
            for (const int32_t code : order) {
                if (static_cast<int>(input.levels.size()) >= options.max_levels ||
                    counts[code] < static_cast<uint64_t>(options.min_level_count)) {
                    input.other_count += counts[code];
                    continue;
                }
                input.levels.emplace_back(dictionary.Text(code));
                input.level_counts.push_back(counts[code]);
            }
            input.one_hot = static_cast<int>(input.levels.size()) <= options.max_one_hot_levels;
            pipeline.inputs_.push_back(std::move(input));
            continue;
        }

        uint64_t constant_cells = 0;
        bool all_null = true;
        bool row_key = false;
        for (int cell = 0; cell < column.width; ++cell) {
            if (cancel.IsCancelled())
                return Status::Cancelled();
            const CellScan scan = Scan(table, first + cell, rows);
            if (scan.nulls + scan.infinities == rows.size()) {
                // a vector's element may be absent everywhere while others are not
                input.cells.emplace_back();
                input.cells.back().plain = true;
                input.cells.back().scale = 0.0f;
                input.cells.back().null_count = scan.nulls;
                ++constant_cells;
                continue;
            }
            all_null = false;
            const bool constant = scan.minimum == scan.maximum;
            constant_cells += constant && scan.nulls == 0;
            Sample(table, first + cell, sample_rows, &values);
            if (values.empty())
                values.push_back(scan.minimum);
            SortFloats(&values, &scratch);
            input.cells.emplace_back();
            FitCell(column.kind, cell, scan, values, options.embed_numeric, &input.cells.back());
            if (column.kind == ColumnKind::kNumeric && IsIntegerType(column.type_name) &&
                rows.size() > kUniqueRows) {
                const bool distinct = std::adjacent_find(values.begin(), values.end()) == values.end();
                const double range = static_cast<double>(scan.maximum) - scan.minimum;
                row_key = distinct && scan.nulls == 0 && range <= 1.5 * static_cast<double>(rows.size());
            }
        }
        if (all_null)
            exclude("EXCLUDED_ALL_NULL", "it is NULL in every row");
        else if (constant_cells == static_cast<uint64_t>(column.width))
            exclude("EXCLUDED_CONSTANT", "it has the same value in every row");
        else if (row_key)
            exclude("EXCLUDED_UNIQUE", "it numbers the rows");
        else
            pipeline.inputs_.push_back(std::move(input));
    }
    if (pipeline.inputs_.empty())
        return Status(StatusCode::kInsufficientData, "no column is left to learn from",
                      "Every column of the source is the target, excluded, constant or a key.",
                      "Give the source more columns.");
    pipeline.BuildLayout();
    return pipeline;
}

}  // namespace dlent
