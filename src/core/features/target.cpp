#include "core/features/target.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "core/nn/json_integer.h"

namespace dlent {
namespace {

constexpr size_t kMaxClasses = 1000;
constexpr double kLargestWhole = 16777216.0;  ///< beyond, float32 leaves out whole numbers

int TargetColumn(const ColumnarTable& table) {
    for (size_t c = 0; c < table.columns().size(); ++c) {
        if (table.columns()[c].role == ColumnRole::kTarget)
            return static_cast<int>(c);
    }
    return -1;
}

/// A number as a label: integers without a fraction, else the shortest text that reads back.
std::string NumberText(ColumnKind kind, double value) {
    if (kind == ColumnKind::kBoolean)
        return value != 0.0 ? "true" : "false";
    if (value == std::trunc(value) && std::abs(value) <= kLargestWhole)
        return std::to_string(static_cast<int64_t>(value));
    char text[64];
    const float single = static_cast<float>(value);
    const auto end = std::to_chars(text, text + sizeof(text), single).ptr;
    return {text, end};
}

std::string Quoted(const std::vector<std::string>& labels) {
    std::string text;
    for (size_t i = 0; i < labels.size() && i < 20; ++i)
        text += (i > 0 ? ", \"" : "\"") + labels[i] + "\"";
    return labels.size() > 20 ? text + ", ..." : text;
}

}  // namespace

std::vector<uint32_t> RowsWithTarget(const ColumnarTable& table) {
    std::vector<uint32_t> rows;
    const int column = TargetColumn(table);
    if (column < 0)
        return rows;
    const int cell = table.first_cell(column);
    const bool is_category = table.columns()[column].kind == ColumnKind::kCategory;
    rows.reserve(table.rows());
    for (uint32_t row = 0; row < table.rows(); ++row) {
        if (is_category ? table.Code(cell, row) != ColumnarTable::kNullCode
                        : !std::isnan(table.Float(cell, row)))
            rows.push_back(row);
    }
    return rows;
}

Expected<TargetEncoder> TargetEncoder::Fit(const ColumnarTable& table, std::span<const uint32_t> rows,
                                           Task task, const std::optional<std::string>& positive_class) {
    const int column = TargetColumn(table);
    if (column < 0)
        return Status::Internal("the table has no target column");
    const ColumnDefinition& definition = table.columns()[column];
    const int cell = table.first_cell(column);
    TargetEncoder encoder;
    encoder.column_ = definition.name;
    encoder.type_name_ = definition.type_name;
    encoder.column_kind_ = definition.kind;
    const std::string named = "target \"" + definition.name + "\"";
    const bool is_category = definition.kind == ColumnKind::kCategory;
    const bool is_boolean = definition.kind == ColumnKind::kBoolean;
    if (definition.width != 1)
        return Status::Invalid(named + " is of type " + definition.type_name + ", which cannot be predicted",
                               {}, "Targets are numbers, booleans, texts or enums.");

    // the labels, or what would be them, with their counts
    std::map<double, uint64_t> values;
    std::map<std::string, uint64_t> texts;
    if (is_category) {
        const Dictionary& dictionary = table.dictionary(column);
        std::vector<uint64_t> counts(dictionary.size());
        for (const uint32_t row : rows) {
            const int32_t code = table.Code(cell, row);
            if (code < 0)
                return Status(StatusCode::kInvalidArgument,
                              named + " has too many distinct values to be labels", {},
                              "A text target is a set of classes; predict a number, or group the values.");
            ++counts[code];
        }
        for (int32_t code = 0; code < dictionary.size(); ++code) {
            if (counts[code] > 0)
                texts[std::string(dictionary.Text(code))] = counts[code];
        }
    } else {
        for (const uint32_t row : rows) {
            const float value = table.Float(cell, row);
            if (std::isinf(value))
                return Status::Invalid(named + " has an infinite value", {},
                                       "Leave such rows out of the source.");
            if (values.size() <= kMaxClasses)  // more need no counts
                ++values[value];
        }
    }
    const size_t distinct = is_category ? texts.size() : values.size();

    if (task == Task::kAuto) {
        if (is_category || is_boolean)
            task = distinct <= 2 ? Task::kBinary : Task::kMulticlass;
        else
            task = distinct == 2 && IsIntegerType(definition.type_name) ? Task::kBinary : Task::kRegression;
    }
    encoder.task_ = task;
    if (task == Task::kRegression && (is_category || is_boolean))
        return Status::Invalid(named + " is of type " + definition.type_name + " and cannot be regressed on",
                               {}, "Use task binary or multiclass, or cast the target to a number.");
    if (distinct < 2)
        return Status(StatusCode::kInsufficientData,
                      named + " has the same value in every row" +
                          (is_category && distinct == 1 ? ": \"" + texts.begin()->first + "\"" : ""),
                      {}, "There is nothing to learn from one class or one value.");

    if (task == Task::kRegression) {
        double sum = 0.0;
        encoder.minimum_ = INFINITY;
        encoder.maximum_ = -INFINITY;
        for (const uint32_t row : rows) {
            const float value = table.Float(cell, row);
            sum += value;
            encoder.minimum_ = std::min(encoder.minimum_, value);
            encoder.maximum_ = std::max(encoder.maximum_, value);
        }
        const double mean = sum / static_cast<double>(rows.size());
        double squares = 0.0;
        for (const uint32_t row : rows) {
            const double difference = table.Float(cell, row) - mean;
            squares += difference * difference;
        }
        encoder.mean_ = static_cast<float>(mean);
        encoder.standard_deviation_ =
            static_cast<float>(std::sqrt(squares / static_cast<double>(rows.size())));
        if (!(encoder.standard_deviation_ > 0.0f) || !std::isfinite(encoder.standard_deviation_))
            return Status(StatusCode::kInvalidArgument,
                          named + " has values too close or too large for float32");
        return encoder;
    }

    if (distinct > kMaxClasses)
        return Status::Invalid(named + " has more than " + std::to_string(kMaxClasses) + " classes", {},
                               "Group rare classes, or use task regression for a number.");
    if (task == Task::kBinary && distinct > 2)
        return Status::Invalid(
            named + " has " + std::to_string(distinct) + " values, and task binary takes two", {},
            "Use task multiclass, or a boolean expression as the target.");
    if (is_category) {
        for (const auto& [text, count] : texts) {
            encoder.labels_.push_back(text);
            encoder.label_counts_.push_back(count);
        }
    } else {
        for (const auto& [value, count] : values) {
            if (IsIntegerType(definition.type_name) && std::abs(value) > kLargestWhole)
                return Status::Invalid(named + " has a label beyond 16777216, where numbers lose digits", {},
                                       "Cast the target to text.");
            encoder.labels_.push_back(NumberText(definition.kind, value));
            encoder.label_counts_.push_back(count);
            encoder.label_values_.push_back(value);
        }
    }
    if (positive_class) {
        const int index = encoder.LabelIndex(*positive_class);
        if (index < 0)
            return Status::Invalid("positive_class \"" + *positive_class + "\" is not a label of " + named,
                                   "The labels are " + Quoted(encoder.labels_) + ".");
        if (task == Task::kBinary && index == 0) {
            std::swap(encoder.labels_[0], encoder.labels_[1]);
            std::swap(encoder.label_counts_[0], encoder.label_counts_[1]);
            if (!encoder.label_values_.empty())
                std::swap(encoder.label_values_[0], encoder.label_values_[1]);
        }
    }
    return encoder;
}

int TargetEncoder::LabelIndex(std::string_view text) const {
    for (size_t i = 0; i < labels_.size(); ++i) {
        if (labels_[i] == text)
            return static_cast<int>(i);
    }
    return -1;
}

int TargetEncoder::LabelOfValue(double value) const {
    for (size_t i = 0; i < label_values_.size(); ++i) {
        if (label_values_[i] == value)
            return static_cast<int>(i);
    }
    return -1;
}

float TargetEncoder::Decode(float standardised) const {
    return std::clamp(standardised * standard_deviation_ + mean_, minimum_, maximum_);
}

Expected<TargetEncoder::Binding> TargetEncoder::Bind(const ColumnarTable& table) const {
    const int column = TargetColumn(table);
    if (column < 0)
        return Status::Internal("the table has no target column");
    Binding binding;
    binding.encoder_ = this;
    binding.table_ = &table;
    binding.cell_ = table.first_cell(column);
    if (column_kind_ == ColumnKind::kCategory) {
        const Dictionary& dictionary = table.dictionary(column);
        for (int32_t code = 0; code < dictionary.size(); ++code)
            binding.code_to_class_.push_back(LabelIndex(dictionary.Text(code)));
    }
    return binding;
}

int TargetEncoder::Binding::ClassOf(uint32_t row) const {
    if (encoder_->column_kind_ == ColumnKind::kCategory) {
        const int32_t code = table_->Code(cell_, row);
        return code >= 0 ? code_to_class_[code] : -1;
    }
    return encoder_->LabelOfValue(table_->Float(cell_, row));
}

void TargetEncoder::Binding::Values(std::span<const uint32_t> rows, float* values) const {
    if (encoder_->task_ == Task::kRegression) {
        const float scale = 1.0f / encoder_->standard_deviation_;
        for (size_t i = 0; i < rows.size(); ++i)
            values[i] = (RawValue(rows[i]) - encoder_->mean_) * scale;
        return;
    }
    for (size_t i = 0; i < rows.size(); ++i)
        values[i] = static_cast<float>(ClassOf(rows[i]));
}

void TargetEncoder::Binding::Classes(std::span<const uint32_t> rows, int32_t* classes) const {
    for (size_t i = 0; i < rows.size(); ++i)
        classes[i] = ClassOf(rows[i]);
}

Json TargetEncoder::ToJson() const {
    Json json = {{"column", column_},
                 {"type", type_name_},
                 {"kind", ColumnKindName(column_kind_)},
                 {"task", TaskName(task_)}};
    if (task_ == Task::kRegression) {
        json["mean"] = mean_;
        json["standard_deviation"] = standard_deviation_;
        json["minimum"] = minimum_;
        json["maximum"] = maximum_;
        return json;
    }
    json["labels"] = labels_;
    json["label_counts"] = label_counts_;
    if (!label_values_.empty())
        json["label_values"] = label_values_;
    if (task_ == Task::kBinary)
        json["positive_class"] = labels_[1];
    return json;
}

Expected<TargetEncoder> TargetEncoder::FromJson(const Json& json) {
    const Status bad = Status::Corrupt("the stored target is not valid");
    try {
        TargetEncoder encoder;
        encoder.column_ = json.at("column").get<std::string>();
        encoder.type_name_ = json.at("type").get<std::string>();
        const Expected<ColumnKind> kind = ParseColumnKind(json.at("kind").get<std::string>());
        const Expected<Task> task = ParseTask(json.at("task").get<std::string>());
        if (!kind.ok() || !task.ok() || *task == Task::kAuto || CellsOf(*kind) != 1 ||
            *kind == ColumnKind::kVector)
            return bad;
        encoder.column_kind_ = *kind;
        encoder.task_ = *task;
        const bool is_category = *kind == ColumnKind::kCategory;
        if (encoder.task_ == Task::kRegression) {
            encoder.mean_ = json.at("mean").get<float>();
            encoder.standard_deviation_ = json.at("standard_deviation").get<float>();
            encoder.minimum_ = json.at("minimum").get<float>();
            encoder.maximum_ = json.at("maximum").get<float>();
            if (is_category || !std::isfinite(encoder.mean_) || !(encoder.standard_deviation_ > 0.0f) ||
                !std::isfinite(encoder.standard_deviation_) || !std::isfinite(encoder.minimum_) ||
                !std::isfinite(encoder.maximum_) || encoder.minimum_ > encoder.maximum_)
                return bad;
            return encoder;
        }
        encoder.labels_ = json.at("labels").get<std::vector<std::string>>();
        const Json& counts = json.at("label_counts");
        if (!counts.is_array())
            return bad;
        for (const Json& entry : counts) {
            const std::optional<int64_t> count = IntegerWithin(entry, 0, INT64_MAX);
            if (!count)
                return bad;
            encoder.label_counts_.push_back(static_cast<uint64_t>(*count));
        }
        if (json.contains("label_values"))
            encoder.label_values_ = json.at("label_values").get<std::vector<double>>();
        const std::set<std::string> distinct(encoder.labels_.begin(), encoder.labels_.end());
        const size_t labels = encoder.labels_.size();
        if (labels < 2 || labels > kMaxClasses || distinct.size() != labels ||
            (encoder.task_ == Task::kBinary && labels != 2) || encoder.label_counts_.size() != labels ||
            encoder.label_values_.size() != (is_category ? 0 : labels) ||
            !std::all_of(encoder.label_values_.begin(), encoder.label_values_.end(),
                         [](double value) { return std::isfinite(value); }))
            return bad;
        return encoder;
    } catch (const Json::exception&) {
        return bad;
    }
}

}  // namespace dlent
