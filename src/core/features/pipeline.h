#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/features/float_encoding.h"
#include "core/features/table.h"

namespace dlent {

/// A column that the network reads, as the pipeline learnt it. One of the two parts is filled, by kind.
struct PipelineInput {
    std::string name;
    ColumnKind kind = ColumnKind::kNumeric;
    int width = 1;
    std::string type_name;

    /// Floats, one entry a cell: u = (x − center) · scale; NULL becomes 0 (the center) and sets the cell's
    /// indicator where NULLs were seen in training.
    struct CellStatistics {
        float center = 0.0f;
        float scale = 1.0f;
        float minimum = 0.0f;  ///< finite, of the training rows; ±infinity is read as these
        float maximum = 0.0f;
        float mean = 0.0f;
        float standard_deviation = 0.0f;
        std::vector<float> quantiles;  ///< 1, 5, 25, 50, 75, 95, 99 %
        bool plain = false;            ///< goes to the `plain` block instead of `numeric`
        std::vector<float> edges;      ///< of the piecewise-linear embedding, in u; empty = not embedded
        bool has_indicator = false;
        uint64_t null_count = 0;
    };
    std::vector<CellStatistics> cells;

    /// Categories: levels by falling frequency, then text; rare and unseen levels share `other`; NULL is a
    /// level of its own when seen.
    std::vector<std::string> levels;
    std::vector<uint64_t> level_counts;
    uint64_t other_count = 0;
    uint64_t null_level_count = 0;
    bool one_hot = true;  ///< else an embedding of its own
};

/// What to do with the columns; the recipe fills it.
struct PipelineOptions {
    bool embed_numeric = true;     ///< compute edges for numeric cells
    int max_one_hot_levels = 254;  ///< more levels: embedding
    int max_levels = 65536;        ///< rarer ones share `other`
    int min_level_count = 1;
};

/// How rows become network inputs, learnt from training rows and applied by every entry point. The network
/// reads three blocks: `numeric` [rows × numeric_count] (cells to embed, u before the smooth clip), `plain`
/// [rows × plain_count] (booleans ±, indicators, cyclic and vector cells, ready to use) and `codes`
/// [rows × field_count] (one code per category column; −1 contributes nothing).
class Pipeline {
 public:
    /// Statistics over `rows` of the table's kFeature columns. Columns that cannot help are left out and
    /// reported in `excluded` (name, stable code, reason).
    struct Exclusion {
        std::string column;
        std::string code;
        std::string reason;
    };
    static Expected<Pipeline> Fit(const ColumnarTable& table, std::span<const uint32_t> rows,
                                  const PipelineOptions& options, std::vector<Exclusion>* excluded,
                                  const CancelToken& cancel);

    const std::vector<PipelineInput>& inputs() const { return inputs_; }
    /// Cells of one row over all inputs, and the first of each input.
    int cell_count() const { return cell_count_; }
    int first_cell(int input) const { return first_cell_[input]; }
    int numeric_count() const { return static_cast<int>(numeric_cells_.size()); }
    int plain_count() const { return static_cast<int>(plain_cells_.size()); }
    int field_count() const { return static_cast<int>(fields_.size()); }
    /// Codes of a field: levels, then `other` when it was seen, then NULL when it was seen.
    int cardinality(int field) const;
    /// Forgets them, for networks that do not embed numbers.
    void RemoveEdges();
    /// The input a field, numeric or plain entry comes from, for explanations and reports.
    int field_input(int field) const { return fields_[field]; }
    /// Edges of numeric entry i (u units), at least 2.
    const std::vector<float>& edges(int numeric) const;

    /// The code of a category's text for input `input`; unseen levels give the `other` code or −1.
    int32_t CategoryCode(int input, std::string_view text) const;
    int32_t NullCode(int input) const;
    /// Of what it has learnt, nearly.
    size_t memory_bytes() const;

    /// Encodes rows of a training table. Prepare() maps the table's dictionaries once; it must outlive
    /// nothing.
    class Binding {
     public:
        /// `rows` entries are row numbers of the bound table.
        void Gather(std::span<const uint32_t> rows, float* numeric, float* plain, int32_t* codes) const;

     private:
        friend class Pipeline;
        const Pipeline* pipeline_ = nullptr;
        const ColumnarTable* table_ = nullptr;
        std::vector<int> table_cell_;                   ///< of each pipeline cell
        std::vector<std::vector<int32_t>> code_remap_;  ///< of each field: dictionary code → network code
    };
    Expected<Binding> Bind(const ColumnarTable& table) const;

    /// What the two blocks of floats are made of, by EncodeFloat().
    const std::vector<FloatEntry>& numeric_entries() const { return numeric_cells_; }
    const std::vector<FloatEntry>& plain_entries() const { return plain_cells_; }

    /// Encodes decoded cells [rows × cell_count]; category cells hold CategoryCode()/NullCode().
    void Encode(int rows, const Cell* cells, float* numeric, float* plain, int32_t* codes) const;
    /// Its last part alone.
    void EncodeCodes(int rows, const Cell* cells, int32_t* codes) const;

    Json ToJson() const;
    static Expected<Pipeline> FromJson(const Json& json);

 private:
    /// Fills everything below from inputs_ and row_count_.
    void BuildLayout();

    uint64_t row_count_ = 0;

    std::vector<PipelineInput> inputs_;
    std::vector<int> first_cell_;
    int cell_count_ = 0;
    std::vector<FloatEntry> numeric_cells_;
    std::vector<FloatEntry> plain_cells_;
    std::vector<int> fields_;
    std::vector<std::shared_ptr<const Dictionary>> vocabularies_;  ///< of each input; null unless a category
};

}  // namespace dlent
