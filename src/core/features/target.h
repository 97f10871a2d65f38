#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/features/table.h"
#include "core/features/task.h"

namespace dlent {

/// Rows whose kTarget column is not NULL, in order.
std::vector<uint32_t> RowsWithTarget(const ColumnarTable& table);

/// What a model answers: the standardisation of a regression target, or the labels with their text.
class TargetEncoder {
 public:
    /// Reads the kTarget column over `rows`. kAuto: boolean and categories are classes (two levels: binary),
    /// an integer with exactly two values is binary, any other number is regression. A single class, or no
    /// finite value, is kInsufficientData. The positive class is, unless named: true; the larger number; the
    /// text that sorts last.
    static Expected<TargetEncoder> Fit(const ColumnarTable& table, std::span<const uint32_t> rows, Task task,
                                       const std::optional<std::string>& positive_class);

    Task task() const { return task_; }
    const std::string& column() const { return column_; }
    const std::string& type_name() const { return type_name_; }
    /// Classes in output order; binary: {negative, positive}. Empty for regression.
    const std::vector<std::string>& labels() const { return labels_; }
    const std::vector<uint64_t>& label_counts() const { return label_counts_; }
    int output_count() const { return task_ == Task::kMulticlass ? static_cast<int>(labels_.size()) : 1; }
    /// The class of a label's text, or of a numeric or boolean label's value; −1 when unknown.
    int LabelIndex(std::string_view text) const;
    int LabelOfValue(double value) const;
    ColumnKind column_kind() const { return column_kind_; }

    /// The encoder tied to a table: its dictionary is mapped once. Both must outlive it.
    class Binding {
     public:
        /// Standardised values, or 0/1 of a binary target.
        void Values(std::span<const uint32_t> rows, float* values) const;
        /// Class numbers.
        void Classes(std::span<const uint32_t> rows, int32_t* classes) const;
        /// The regression target as it stands in the table.
        float RawValue(uint32_t row) const { return table_->Float(cell_, row); }

     private:
        friend class TargetEncoder;
        int ClassOf(uint32_t row) const;
        const TargetEncoder* encoder_ = nullptr;
        const ColumnarTable* table_ = nullptr;
        int cell_ = 0;
        std::vector<int32_t> code_to_class_;
    };
    Expected<Binding> Bind(const ColumnarTable& table) const;
    /// From the standardised network output back to the target's units, clamped to the training range.
    float Decode(float standardised) const;

    float mean() const { return mean_; }
    float standard_deviation() const { return standard_deviation_; }
    float minimum() const { return minimum_; }
    float maximum() const { return maximum_; }

    Json ToJson() const;
    static Expected<TargetEncoder> FromJson(const Json& json);

 private:
    Task task_ = Task::kRegression;
    std::string column_;
    std::string type_name_;
    ColumnKind column_kind_ = ColumnKind::kNumeric;
    std::vector<std::string> labels_;
    std::vector<uint64_t> label_counts_;
    std::vector<double> label_values_;  ///< of numeric and boolean targets
    float mean_ = 0.0f;
    float standard_deviation_ = 1.0f;
    float minimum_ = 0.0f;
    float maximum_ = 0.0f;
};

}  // namespace dlent
