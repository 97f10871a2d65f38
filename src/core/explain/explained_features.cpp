#include "core/explain/explained_features.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "core/base/random.h"
#include "core/features/quantile_sample.h"

namespace dlent {
namespace {

constexpr double kMicrosecondsADay = 86400e6;

/// How many features a pipeline's inputs make.
size_t FeatureCount(const Pipeline& pipeline) {
    size_t count = 0;
    for (const PipelineInput& input : pipeline.inputs())
        count += input.kind == ColumnKind::kVector ? static_cast<size_t>(input.width) : 1;
    return count;
}

/// The rows that the statistics are of, in rising order, so that gathering walks the table once, with their
/// labels, where there are any.
struct RowSample {
    std::vector<uint32_t> rows;
    std::vector<int32_t> labels;
};

RowSample SampleRows(std::span<const uint32_t> rows, std::span<const int32_t> labels, uint64_t seed) {
    const size_t count = std::min(rows.size(), ExplainerStatistics::kMaxRows);
    const double offset = static_cast<double>(Mix64(seed) >> 11) * 0x1.0p-53;
    const double stride = static_cast<double>(rows.size()) / static_cast<double>(std::max<size_t>(count, 1));
    std::vector<std::pair<uint32_t, int32_t>> chosen(count);
    for (size_t i = 0; i < count; ++i) {
        const double position = (static_cast<double>(i) + (stride > 1.0 ? offset : 0.0)) * stride;
        const size_t at = std::min(static_cast<size_t>(position), rows.size() - 1);
        chosen[i] = {rows[at], labels.empty() ? 0 : labels[at]};
    }
    std::sort(chosen.begin(), chosen.end());
    RowSample sample;
    for (const auto& [row, label] : chosen) {
        sample.rows.push_back(row);
        if (!labels.empty())
            sample.labels.push_back(label);
    }
    return sample;
}

/// One column's finite values in rising order, with their labels.
struct SortedColumn {
    std::vector<double> values;
    std::vector<int32_t> labels;
    uint64_t nulls = 0;
};

/// Values and labels are sorted as 64-bit keys: the value's order, then the label.
SortedColumn SortColumn(const ColumnarTable& table, int cell, const RowSample& sample, float minimum,
                        float maximum) {
    const std::vector<int32_t>& labels = sample.labels;
    SortedColumn column;
    struct Entry {
        float value;
        int32_t label;
    };
    std::vector<float> values;
    std::vector<Entry> entries;
    for (size_t i = 0; i < sample.rows.size(); ++i) {
        const float value = table.Float(cell, sample.rows[i]);
        if (std::isnan(value)) {
            ++column.nulls;
            continue;
        }
        const float finite = std::isinf(value) ? (value < 0.0f ? minimum : maximum) : value;
        if (labels.empty())
            values.push_back(finite);
        else
            entries.push_back({finite, labels[i]});
    }
    if (labels.empty()) {
        std::vector<float> scratch;
        SortFloats(&values, &scratch);
        column.values.assign(values.begin(), values.end());
        return column;
    }
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return a.value != b.value ? a.value < b.value : a.label < b.label;
    });
    column.values.reserve(entries.size());
    column.labels.reserve(entries.size());
    for (const Entry& entry : entries) {
        column.values.push_back(entry.value);
        column.labels.push_back(entry.label);
    }
    return column;
}

void FitNumbers(const SortedColumn& column, ExplainedFeature* feature) {
    feature->null_count = column.nulls;
    const std::span<const double> sorted = column.values;
    feature->quartile = Binning::FitSorted(Discretizer::kQuartile, sorted, {});
    feature->decile = Binning::FitSorted(Discretizer::kDecile, sorted, {});
    if (!column.labels.empty())
        feature->entropy = Binning::FitSorted(Discretizer::kEntropy, sorted, column.labels);
    if (sorted.empty())
        return;
    const Binning::Bin whole = Binning::FitSorted(Discretizer::kNone, sorted, {}).bins[0];
    feature->mean = whole.mean;
    feature->standard_deviation = whole.standard_deviation;
    feature->minimum = sorted.front();
    feature->maximum = sorted.back();
    feature->median = SortedPercentile(sorted, 0.5);
}

void CountBooleans(const ColumnarTable& table, int cell, std::span<const uint32_t> rows,
                   ExplainedFeature* feature) {
    feature->level_counts.assign(2, 0);
    for (const uint32_t row : rows) {
        const float value = table.Float(cell, row);
        if (std::isnan(value))
            ++feature->null_count;
        else
            ++feature->level_counts[value > 0.5f ? 1 : 0];
    }
}

}  // namespace

const Binning& ExplainedFeature::binning(Discretizer discretizer) const {
    static const Binning whole{{}, {Binning::Bin{}}};
    switch (discretizer) {
        case Discretizer::kQuartile:
            return quartile;
        case Discretizer::kDecile:
            return decile;
        case Discretizer::kEntropy:
            return entropy;
        case Discretizer::kNone:
            break;
    }
    return whole;
}

int ExplainedFeature::NullCode(Discretizer discretizer) const {
    if (kind == ColumnKind::kCategory)
        return null_level;
    return categorical ? 2 : static_cast<int>(binning(discretizer).bins.size());
}

std::vector<uint64_t> ExplainedFeature::CodeCounts(Discretizer discretizer) const {
    std::vector<uint64_t> counts;
    if (categorical) {
        counts = level_counts;
    } else {
        uint64_t present = 0;
        for (const Binning::Bin& bin : quartile.bins)
            present += bin.count;
        if (discretizer == Discretizer::kNone) {
            counts.push_back(present);
        } else {
            for (const Binning::Bin& bin : binning(discretizer).bins)
                counts.push_back(bin.count);
        }
    }
    if (kind != ColumnKind::kCategory)
        counts.push_back(null_count);
    return counts;
}

int ExplainedFeature::CodeOf(Discretizer discretizer, double value) const {
    if (std::isnan(value))
        return NullCode(discretizer);
    if (kind == ColumnKind::kCategory)
        return value >= 0.0 && value < static_cast<double>(level_counts.size()) ? static_cast<int>(value)
                                                                                : -1;
    if (categorical)
        return value > 0.5 ? 1 : 0;
    return binning(discretizer).BinOf(value);
}

uint64_t ExplainedFeature::CountOf(Discretizer discretizer, int code) const {
    if (code < 0)
        return 0;
    const size_t index = static_cast<size_t>(code);
    if (kind == ColumnKind::kCategory)
        return index < level_counts.size() ? level_counts[index] : 0;
    if (code == NullCode(discretizer))
        return null_count;
    if (categorical)
        return index < level_counts.size() ? level_counts[index] : 0;
    if (discretizer == Discretizer::kNone)
        return CodeCounts(discretizer)[0];
    const std::vector<Binning::Bin>& bins = binning(discretizer).bins;
    return index < bins.size() ? bins[index].count : 0;
}

int ExplainedFeature::InstanceCode(Discretizer discretizer, double value, bool compat) const {
    if (compat && !categorical && std::isnan(value))
        return NullCode(discretizer) - 1;
    const int code = CodeOf(discretizer, value);
    return code >= 0 ? code : static_cast<int>(level_counts.size());
}

void ExplainerStatistics::AddFeatures(const Pipeline& pipeline) {
    cell_count_ = pipeline.cell_count();
    if (FeatureCount(pipeline) > kMaxFeatures)
        return;
    for (size_t i = 0; i < pipeline.inputs().size(); ++i) {
        const PipelineInput& input = pipeline.inputs()[i];
        const bool vector = input.kind == ColumnKind::kVector;
        for (int element = 0; element < (vector ? input.width : 1); ++element) {
            ExplainedFeature& feature = features_.emplace_back();
            feature.name = vector ? input.name + "[" + std::to_string(element + 1) + "]" : input.name;
            feature.input = static_cast<int>(i);
            feature.element = element;
            feature.first_cell = pipeline.first_cell(feature.input) + element;
            feature.kind = input.kind;
            feature.categorical = input.kind == ColumnKind::kCategory || input.kind == ColumnKind::kBoolean;
            feature.integral = IsIntegerType(input.type_name);
            if (input.kind != ColumnKind::kCategory)
                continue;
            feature.null_count = input.null_level_count;
            feature.level_counts = input.level_counts;
            if (input.other_count > 0)
                feature.level_counts.push_back(input.other_count);
            if (input.null_level_count > 0) {
                feature.null_level = static_cast<int>(feature.level_counts.size());
                feature.level_counts.push_back(input.null_level_count);
            }
        }
    }
}

Expected<ExplainerStatistics> ExplainerStatistics::Fit(const ColumnarTable& table,
                                                       std::span<const uint32_t> rows,
                                                       const Pipeline& pipeline,
                                                       std::span<const int32_t> labels, uint64_t seed,
                                                       const CancelToken& cancel) {
    try {
        ExplainerStatistics statistics;
        statistics.AddFeatures(pipeline);
        statistics.has_labels_ = !labels.empty();
        const RowSample sample = SampleRows(rows, labels, seed);
        statistics.row_count_ = sample.rows.size();
        for (ExplainedFeature& feature : statistics.features_) {
            if (cancel.IsCancelled())
                return Status::Cancelled();
            if (feature.kind == ColumnKind::kCategory)
                continue;
            const PipelineInput& input = pipeline.inputs()[feature.input];
            int column = 0;
            while (table.columns()[column].name != input.name)
                ++column;
            const int cell = table.first_cell(column) + feature.element;
            if (feature.kind == ColumnKind::kBoolean) {
                CountBooleans(table, cell, sample.rows, &feature);
                continue;
            }
            const PipelineInput::CellStatistics& of_cell = input.cells[feature.element];
            FitNumbers(SortColumn(table, cell, sample, of_cell.minimum, of_cell.maximum), &feature);
        }
        return statistics;
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory for the explainer's statistics");
    }
}

double ExplainerStatistics::Value(int f, const Cell* cells) const {
    const ExplainedFeature& feature = features_[f];
    const Cell cell = cells[feature.first_cell];
    if (feature.kind == ColumnKind::kCategory)
        return cell.code >= 0 && cell.code == feature.null_level ? std::numeric_limits<double>::quiet_NaN()
                                                                 : cell.code;
    if (std::isinf(cell.f))
        return cell.f < 0.0f ? feature.minimum : feature.maximum;
    return cell.f;
}

void ExplainerStatistics::SetValue(int f, double value, Cell* cells) const {
    const ExplainedFeature& feature = features_[f];
    Cell* cell = cells + feature.first_cell;
    if (feature.kind == ColumnKind::kCategory) {
        cell->code = std::isnan(value) ? feature.null_level : static_cast<int32_t>(value);
        return;
    }
    if (std::isnan(value)) {
        const int count = feature.kind == ColumnKind::kVector ? 1 : CellsOf(feature.kind);
        for (int i = 0; i < count; ++i)
            cell[i].f = ColumnarTable::kNull;
        return;
    }
    // the cells of a time in range: 2^23 days, beyond PostgreSQL's last date
    float floats[7];
    const double days = std::clamp(value, -8388608.0, 8388608.0);
    switch (feature.kind) {
        case ColumnKind::kTimestamp:
            TimestampCells(std::llround(days * kMicrosecondsADay), floats);
            break;
        case ColumnKind::kDate:
            DateCells(static_cast<int32_t>(std::lround(days)), floats);
            break;
        case ColumnKind::kTime:
            TimeCells(std::llround(std::clamp(value, 0.0, 86400.0) * 1e6), floats);
            break;
        default:
            cell->f = static_cast<float>(value);
            return;
    }
    for (int i = 0; i < CellsOf(feature.kind); ++i)
        cell[i].f = floats[i];
}

}  // namespace dlent
