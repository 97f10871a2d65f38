#include "core/explain/reason_text.h"

#include <algorithm>
#include <cmath>

namespace dlent {
namespace {

bool IsTime(ColumnKind kind) {
    return kind == ColumnKind::kTimestamp || kind == ColumnKind::kDate || kind == ColumnKind::kTime;
}

/// The value of a row that the feature is about.
Json OriginalValue(const ExplainedFeature& feature, const PipelineInput& input, const Json& values) {
    const auto found = values.find(input.name);
    if (found == values.end())
        return nullptr;
    if (feature.kind == ColumnKind::kVector && found->is_array())
        return static_cast<size_t>(feature.element) < found->size() ? (*found)[feature.element] : Json();
    return *found;
}

/// The words for where a value lies.
struct Words {
    const char* above;
    const char* at_most;
};
constexpr Words kNumberWords = {"above", "at most"};
constexpr Words kTimeWords = {"after", "not after"};

void DescribeBin(const ExplainedFeature& feature, const Binning& binning, double value,
                 const NumberStyle& style, FeatureText* text) {
    const size_t bin = static_cast<size_t>(binning.BinOf(value));
    const bool has_low = bin > 0;
    const bool has_high = bin < binning.edges.size();
    const auto plain = [&](size_t edge) { return PlainValueText(feature, binning.edges[edge]); };
    const auto readable = [&](size_t edge) { return ReadableValueText(feature, binning.edges[edge], style); };
    const Words words = IsTime(feature.kind) ? kTimeWords : kNumberWords;
    std::string where;
    if (has_low && has_high) {
        text->condition = plain(bin - 1) + " < " + feature.name + " <= " + plain(bin);
        text->bound = readable(bin - 1) + " to " + readable(bin);
        where = std::string(words.above) + " " + readable(bin - 1) + " and " + words.at_most + " " +
                readable(bin);
    } else if (has_low) {
        text->condition = feature.name + " > " + plain(bin - 1);
        text->bound = readable(bin - 1);
        where = std::string(words.above) + " " + readable(bin - 1);
    } else if (has_high) {
        text->condition = feature.name + " <= " + plain(bin);
        text->bound = readable(bin);
        where = std::string(words.at_most) + " " + readable(bin);
    } else {
        // one bin holds everything: the column hardly varied
        text->condition = feature.name + " = " + PlainValueText(feature, value);
        text->bound = text->readable;
        text->sentence = "The " + ReadableName(feature.name) + " is " + text->readable + ".";
        return;
    }
    text->sentence = "The " + ReadableName(feature.name) + " (" + text->readable + ") is " + where + ".";
}

void DescribeLevel(const ExplainedFeature& feature, const PipelineInput& input, double code,
                   FeatureText* text) {
    const std::string name = text->value.is_string() ? text->value.get<std::string>() : text->value.dump();
    const auto levels = static_cast<double>(input.levels.size());
    text->condition = feature.name + " = " + name;
    text->bound = name;
    text->readable = name;
    text->sentence = "The " + ReadableName(feature.name) + " is " + name + ".";
    if (code < 0.0) {
        text->sentence =
            "The " + ReadableName(feature.name) + " (" + name + ") is one that training did not see.";
        text->warning = "training saw no row whose " + feature.name + " is \"" + name + "\"";
    } else if (code >= levels) {
        text->sentence = "The " + ReadableName(feature.name) + " (" + name + ") is a rare one, or new.";
    }
}

void DescribeMissing(const ExplainedFeature& feature, FeatureText* text) {
    text->condition = feature.name + " is missing";
    text->readable = "missing";
    text->bound = "missing";
    text->sentence = "The " + ReadableName(feature.name) + " is missing.";
    if (!feature.categorical && feature.null_count == 0)
        text->warning = "training saw no row without " + feature.name;
}

}  // namespace

std::string ReadableName(const std::string& name) {
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
    if (!plain)
        return name;
    std::string readable = name;
    std::replace(readable.begin(), readable.end(), '_', ' ');
    return readable;
}

FeatureText DescribeFeature(const ExplainerStatistics& statistics, const Pipeline& pipeline, int f,
                            Discretizer discretizer, const ExplainedRow& row, const NumberStyle& style) {
    const ExplainedFeature& feature = statistics.features()[f];
    const PipelineInput& input = pipeline.inputs()[feature.input];
    const double value = statistics.Value(f, row.cells);
    FeatureText text;
    text.value = OriginalValue(feature, input, *row.values);
    if (std::isnan(value) || text.value.is_null()) {
        DescribeMissing(feature, &text);
        return text;
    }
    if (feature.kind == ColumnKind::kCategory) {
        DescribeLevel(feature, input, value, &text);
        return text;
    }
    text.readable = OriginalValueText(feature, text.value, style);
    if (feature.kind == ColumnKind::kBoolean) {
        text.bound = text.readable;
        text.condition = feature.name + " = " + text.readable;
        text.sentence = feature.name + " is " + text.readable + ".";
        return text;
    }
    if (value < feature.minimum || value > feature.maximum)
        text.warning =
            "training saw no row whose " + feature.name + " is " +
            (value < feature.minimum ? "below " : "above ") +
            ReadableValueText(feature, value < feature.minimum ? feature.minimum : feature.maximum, style);
    if (discretizer == Discretizer::kNone) {
        text.condition = feature.name + " = " + PlainValueText(feature, value);
        text.bound = text.readable;
        text.sentence = "The " + ReadableName(feature.name) + " is " + text.readable + ".";
    } else {
        DescribeBin(feature, feature.binning(discretizer), value, style, &text);
    }
    return text;
}

bool IsUnfamiliar(const ExplainerStatistics& statistics, int f, const Cell* cells) {
    const ExplainedFeature& feature = statistics.features()[f];
    const double value = statistics.Value(f, cells);
    if (std::isnan(value))
        return !feature.categorical && feature.null_count == 0;
    if (feature.kind == ColumnKind::kCategory)
        return value < 0.0;
    return feature.kind != ColumnKind::kBoolean && (value < feature.minimum || value > feature.maximum);
}

Json ExplainedValueJson(const ExplainedFeature& feature, const Pipeline& pipeline, double value) {
    if (std::isnan(value))
        return nullptr;
    if (feature.kind == ColumnKind::kCategory) {
        const PipelineInput& input = pipeline.inputs()[feature.input];
        const auto code = static_cast<int64_t>(value);
        const auto levels = static_cast<int64_t>(input.levels.size());
        if (code < 0 || code >= levels)
            return nullptr;
        return input.levels[static_cast<size_t>(code)];
    }
    if (feature.kind == ColumnKind::kBoolean)
        return value != 0.0;
    if (feature.kind == ColumnKind::kNumeric || feature.kind == ColumnKind::kVector) {
        // the shortest digits that mean the float: 0.1, not 0.10000000149
        return Json::parse(FloatText(value), nullptr, false);
    }
    return PlainValueText(feature, value);
}

}  // namespace dlent
