#include "core/drift/sample.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/drift/watched_number.h"
#include "core/features/quantile_sample.h"

namespace dlent {
namespace {

constexpr size_t kPollEvery = 1 << 16;

/// The watched number of a row of a column that is not categorical.
float NumberOf(const ColumnarTable& table, ColumnKind kind, int cell, int width, size_t row) {
    return WatchedNumber(kind, width, [&](int i) { return table.Float(cell + i, row); });
}

/// Turns counts by code into levels; fills `position` with each code's place.
void FillLevels(const std::vector<double>& counts, const std::vector<std::string_view>& texts,
                DriftSample* sample, std::vector<float>* position) {
    std::vector<int32_t> order;
    for (size_t code = 0; code < counts.size(); ++code) {
        if (counts[code] > 0.0)
            order.push_back(static_cast<int32_t>(code));
    }
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
        return counts[a] != counts[b] ? counts[a] > counts[b] : texts[a] < texts[b];
    });
    position->assign(counts.size(), -1.0f);
    for (const int32_t code : order) {
        (*position)[code] = static_cast<float>(sample->levels.size());
        sample->levels.push_back({std::string(texts[code]), counts[code]});
    }
}

DriftSample FromFloats(std::vector<float> values, bool keep_order) {
    DriftSample sample;
    sample.rows = values.size();
    std::erase_if(values, [](float value) { return !std::isfinite(value); });
    sample.missing = sample.rows - values.size();
    if (keep_order)
        sample.in_order = values;
    std::vector<float> scratch;
    SortFloats(&values, &scratch);
    sample.sorted.assign(values.begin(), values.end());
    sample.sketch = QuantileSketch::Of(sample.sorted);
    return sample;
}

}  // namespace

const char* DriftVariable::aspect() const {
    switch (kind) {
        case ColumnKind::kCategory:
        case ColumnKind::kBoolean:
            return "levels";
        case ColumnKind::kTimestamp:
            return "hour of day";
        case ColumnKind::kDate:
            return "day of week";
        case ColumnKind::kVector:
            return "norm";
        default:
            return "value";
    }
}

QuantileSketch QuantileSketch::Of(std::span<const double> sorted) {
    QuantileSketch sketch;
    if (sorted.empty())
        return sketch;
    size_t distinct = 1;
    for (size_t i = 1; i < sorted.size() && distinct <= kBins; ++i)
        distinct += sorted[i] != sorted[i - 1];
    sketch.exact = distinct <= kBins;
    if (sketch.exact) {
        std::unique_copy(sorted.begin(), sorted.end(), std::back_inserter(sketch.edges));
    } else {
        sketch.edges.push_back(sorted.front());
        for (int i = 1; i < kBins; ++i) {
            const double edge = sorted[(sorted.size() * static_cast<size_t>(i) - 1) / (kBins - 1)];
            if (edge > sketch.edges.back())
                sketch.edges.push_back(edge);
        }
    }
    sketch.counts = sketch.Count(sorted);
    return sketch;
}

std::vector<double> QuantileSketch::Count(std::span<const double> sorted) const {
    std::vector<double> result(edges.size());
    auto begin = sorted.begin();
    for (size_t i = 0; i < edges.size(); ++i) {
        const auto end =
            i + 1 == edges.size() ? sorted.end() : std::upper_bound(begin, sorted.end(), edges[i]);
        result[i] = static_cast<double>(end - begin);
        begin = end;
    }
    return result;
}

double QuantileSketch::total() const {
    return std::accumulate(counts.begin(), counts.end(), 0.0);
}

std::vector<double> QuantileSketch::Expand(size_t most) const {
    std::vector<double> values;
    const double all = total();
    const double scale = all > static_cast<double>(most) ? static_cast<double>(most) / all : 1.0;
    double cumulative = 0.0;
    for (size_t i = 0; i < edges.size(); ++i) {
        cumulative += counts[i] * scale;
        const size_t target = static_cast<size_t>(std::llround(cumulative));
        const size_t here = target > values.size() ? target - values.size() : 0;
        for (size_t k = 1; k <= here; ++k)
            values.push_back(i == 0 || exact
                                 ? edges[i]
                                 : edges[i - 1] + (edges[i] - edges[i - 1]) * static_cast<double>(k) /
                                                      static_cast<double>(here));
    }
    return values;
}

double QuantileSketch::Quantile(double share) const {
    const double wanted = share * total();
    double cumulative = 0.0;
    for (size_t i = 0; i < edges.size(); ++i) {
        if (cumulative + counts[i] >= wanted && counts[i] > 0.0) {
            if (i == 0 || exact)
                return edges[i];
            return edges[i - 1] + (edges[i] - edges[i - 1]) * (wanted - cumulative) / counts[i];
        }
        cumulative += counts[i];
    }
    return edges.empty() ? 0.0 : edges.back();
}

DriftSample DriftSample::OfNumbers(std::span<const float> values, bool keep_order) {
    return FromFloats(std::vector<float>(values.begin(), values.end()), keep_order);
}

DriftSample DriftSample::OfClasses(std::span<const int32_t> classes, const std::vector<std::string>& labels,
                                   bool keep_order) {
    DriftSample sample;
    sample.categorical = true;
    sample.rows = classes.size();
    std::vector<double> counts(labels.size());
    for (const int32_t label : classes) {
        if (label >= 0)
            counts[label] += 1.0;
        else
            ++sample.missing;
    }
    std::vector<float> position;
    FillLevels(counts, std::vector<std::string_view>(labels.begin(), labels.end()), &sample, &position);
    if (keep_order) {
        for (const int32_t label : classes) {
            if (label >= 0)
                sample.in_order.push_back(position[label]);
        }
    }
    return sample;
}

Expected<DriftSample> SampleColumn(const ColumnarTable& table, int column, std::span<const uint32_t> rows,
                                   bool keep_order, const CancelToken& cancel) {
    const ColumnDefinition& definition = table.columns()[column];
    const int cell = table.first_cell(column);
    if (definition.kind == ColumnKind::kBoolean) {
        std::vector<int32_t> classes;
        classes.reserve(rows.size());
        for (const uint32_t row : rows) {
            const float value = table.Float(cell, row);
            classes.push_back(std::isnan(value) ? -1 : value != 0.0f);
        }
        return DriftSample::OfClasses(classes, {"false", "true"}, keep_order);
    }
    if (definition.kind == ColumnKind::kCategory) {
        const Dictionary& dictionary = table.dictionary(column);
        DriftSample sample;
        sample.categorical = true;
        sample.rows = rows.size();
        std::vector<double> counts(static_cast<size_t>(dictionary.size()));
        for (size_t i = 0; i < rows.size(); ++i) {
            if (i % kPollEvery == 0 && cancel.IsCancelled())
                return Status::Cancelled();
            const int32_t code = table.Code(cell, rows[i]);
            if (code >= 0)
                counts[code] += 1.0;
            else if (code == ColumnarTable::kNullCode)
                ++sample.missing;
            else
                sample.other_count += 1.0;
        }
        std::vector<std::string_view> texts;
        texts.reserve(counts.size());
        for (int32_t code = 0; code < dictionary.size(); ++code)
            texts.push_back(dictionary.Text(code));
        std::vector<float> position;
        FillLevels(counts, texts, &sample, &position);
        if (keep_order) {
            for (const uint32_t row : rows) {
                const int32_t code = table.Code(cell, row);
                if (code != ColumnarTable::kNullCode)
                    sample.in_order.push_back(code >= 0 ? position[code] : -1.0f);
            }
        }
        return sample;
    }
    std::vector<float> values(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
        if (i % kPollEvery == 0 && cancel.IsCancelled())
            return Status::Cancelled();
        values[i] = NumberOf(table, definition.kind, cell, definition.width, rows[i]);
    }
    return FromFloats(std::move(values), keep_order);
}

Json DriftSample::ToJson() const {
    Json json = {{"kind", categorical ? "category" : "numeric"}, {"rows", rows}, {"missing", missing}};
    const auto whole = [](double count) { return static_cast<uint64_t>(count); };
    if (categorical) {
        Json list = Json::array();
        double other = other_count;
        for (size_t i = 0; i < levels.size(); ++i) {
            if (i < kReferenceLevels)
                list.push_back({levels[i].text, whole(levels[i].count)});
            else
                other += levels[i].count;
        }
        json["levels"] = std::move(list);
        json["other"] = whole(other);
    } else {
        Json edges = Json::array();
        for (const double edge : sketch.edges)
            edges.push_back(edge);
        Json counts = Json::array();
        for (const double count : sketch.counts)
            counts.push_back(whole(count));
        json["edges"] = std::move(edges);
        json["counts"] = std::move(counts);
        json["exact"] = sketch.exact;
    }
    return json;
}

Expected<DriftSample> DriftSample::FromJson(const Json& json) {
    const auto corrupt = [] { return Status::Corrupt("the stored reference is damaged"); };
    const auto count_of = [](const Json& value, double* count) {
        if (!value.is_number())
            return false;
        *count = value.get<double>();
        return *count >= 0.0 && *count < 1e15 && *count == std::floor(*count);
    };
    double rows = 0.0;
    double missing = 0.0;
    if (!json.is_object() || !json.contains("kind") || !json.contains("rows") || !json.contains("missing") ||
        !count_of(json["rows"], &rows) || !count_of(json["missing"], &missing) || missing > rows)
        return corrupt();
    DriftSample sample;
    sample.rows = static_cast<uint64_t>(rows);
    sample.missing = static_cast<uint64_t>(missing);
    sample.categorical = json["kind"] == "category";
    if (sample.categorical) {
        if (!json.contains("levels") || !json["levels"].is_array() || !json.contains("other") ||
            !count_of(json["other"], &sample.other_count))
            return corrupt();
        for (const Json& entry : json["levels"]) {
            Level level;
            if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() ||
                !count_of(entry[1], &level.count))
                return corrupt();
            level.text = entry[0].get<std::string>();
            sample.levels.push_back(std::move(level));
        }
        double total = sample.other_count;
        for (const Level& level : sample.levels)
            total += level.count;
        if (total != static_cast<double>(sample.present()))
            return corrupt();
        return sample;
    }
    if (!json.contains("edges") || !json["edges"].is_array() || !json.contains("counts") ||
        !json["counts"].is_array() || json["edges"].size() != json["counts"].size())
        return corrupt();
    for (size_t i = 0; i < json["edges"].size(); ++i) {
        double count = 0.0;
        const Json& edge = json["edges"][i];
        if (!edge.is_number() || !count_of(json["counts"][i], &count) ||
            (i > 0 && !(edge.get<double>() > sample.sketch.edges.back())))
            return corrupt();
        sample.sketch.edges.push_back(edge.get<double>());
        sample.sketch.counts.push_back(count);
    }
    sample.sketch.exact = json.contains("exact") && json["exact"] == true;
    if (sample.sketch.total() != static_cast<double>(sample.present()))
        return corrupt();
    return sample;
}

}  // namespace dlent
