#include "core/features/pipeline.h"

#include <algorithm>
#include <cmath>

namespace dlent {
namespace {

float EncodeEntry(const FloatEntry& entry, float value) {
    return EncodeFloat(value, entry.center, entry.scale, entry.minimum, entry.maximum, entry.indicator);
}

}  // namespace

int Pipeline::cardinality(int field) const {
    const PipelineInput& input = inputs_[fields_[field]];
    return static_cast<int>(input.levels.size()) + (input.other_count > 0) + (input.null_level_count > 0);
}

const std::vector<float>& Pipeline::edges(int numeric) const {
    const FloatEntry& entry = numeric_cells_[numeric];
    return inputs_[entry.input].cells[entry.cell].edges;
}

void Pipeline::RemoveEdges() {
    for (PipelineInput& input : inputs_) {
        for (PipelineInput::CellStatistics& cell : input.cells)
            cell.edges.clear();
    }
}

int32_t Pipeline::CategoryCode(int input, std::string_view text) const {
    const int32_t code = vocabularies_[input]->Find(text);
    if (code >= 0)
        return code;
    return inputs_[input].other_count > 0 ? static_cast<int32_t>(inputs_[input].levels.size()) : -1;
}

int32_t Pipeline::NullCode(int input) const {
    const PipelineInput& of_input = inputs_[input];
    return of_input.null_level_count > 0
               ? static_cast<int32_t>(of_input.levels.size()) + (of_input.other_count > 0)
               : -1;
}

size_t Pipeline::memory_bytes() const {
    size_t bytes = inputs_.size() * sizeof(PipelineInput) +
                   (numeric_cells_.size() + plain_cells_.size()) * sizeof(FloatEntry);
    for (size_t i = 0; i < inputs_.size(); ++i) {
        for (const PipelineInput::CellStatistics& cell : inputs_[i].cells)
            bytes += sizeof(cell) + (cell.quantiles.size() + cell.edges.size()) * sizeof(float);
        // a level is there twice: listed, and in the vocabulary
        if (vocabularies_[i] != nullptr)
            bytes += 2 * vocabularies_[i]->memory_bytes();
    }
    return bytes;
}

void Pipeline::BuildLayout() {
    first_cell_.clear();
    numeric_cells_.clear();
    plain_cells_.clear();
    fields_.clear();
    vocabularies_.clear();
    cell_count_ = 0;
    for (size_t i = 0; i < inputs_.size(); ++i) {
        const PipelineInput& input = inputs_[i];
        first_cell_.push_back(cell_count_);
        vocabularies_.push_back(nullptr);
        if (input.kind == ColumnKind::kCategory) {
            auto vocabulary = std::make_shared<Dictionary>(static_cast<int32_t>(input.levels.size()));
            for (const std::string& level : input.levels)
                vocabulary->Intern(level);
            vocabularies_.back() = std::move(vocabulary);
            fields_.push_back(static_cast<int>(i));
        }
        for (size_t cell = 0; cell < input.cells.size(); ++cell) {
            const PipelineInput::CellStatistics& statistics = input.cells[cell];
            FloatEntry entry;
            entry.input = static_cast<int>(i);
            entry.cell = static_cast<int>(cell);
            entry.pipeline_cell = cell_count_ + static_cast<int>(cell);
            entry.center = statistics.center;
            entry.scale = statistics.scale;
            entry.minimum = statistics.minimum;
            entry.maximum = statistics.maximum;
            (statistics.plain ? plain_cells_ : numeric_cells_).push_back(entry);
            if (statistics.has_indicator) {
                const double share =
                    static_cast<double>(statistics.null_count) / static_cast<double>(row_count_);
                entry.indicator = true;
                entry.center = static_cast<float>(share);
                entry.scale = static_cast<float>(1.0 / std::sqrt(std::max(share * (1.0 - share), 1e-6)));
                plain_cells_.push_back(entry);
            }
        }
        cell_count_ += input.width;
    }
}

void Pipeline::Encode(int rows, const Cell* cells, float* numeric, float* plain, int32_t* codes) const {
    EncodeCodes(rows, cells, codes);
    for (int row = 0; row < rows; ++row, cells += cell_count_) {
        for (const FloatEntry& entry : numeric_cells_)
            *numeric++ = EncodeEntry(entry, cells[entry.pipeline_cell].f);
        for (const FloatEntry& entry : plain_cells_)
            *plain++ = EncodeEntry(entry, cells[entry.pipeline_cell].f);
    }
}

void Pipeline::EncodeCodes(int rows, const Cell* cells, int32_t* codes) const {
    for (int row = 0; row < rows; ++row, cells += cell_count_) {
        for (const int input : fields_)
            *codes++ = cells[first_cell_[input]].code;
    }
}

Expected<Pipeline::Binding> Pipeline::Bind(const ColumnarTable& table) const {
    Binding binding;
    binding.pipeline_ = this;
    binding.table_ = &table;
    for (const PipelineInput& input : inputs_) {
        int found = -1;
        for (size_t c = 0; c < table.columns().size(); ++c) {
            if (table.columns()[c].name == input.name && table.columns()[c].kind == input.kind &&
                table.columns()[c].width == input.width)
                found = static_cast<int>(c);
        }
        if (found < 0)
            return Status::Internal("the table has no column like input \"" + input.name + "\"");
        for (int cell = 0; cell < input.width; ++cell)
            binding.table_cell_.push_back(table.first_cell(found) + cell);
        if (input.kind == ColumnKind::kCategory) {
            const int input_index = static_cast<int>(&input - inputs_.data());
            const Dictionary& dictionary = table.dictionary(found);
            std::vector<int32_t> remap;
            for (int32_t code = 0; code < dictionary.size(); ++code)
                remap.push_back(CategoryCode(input_index, dictionary.Text(code)));
            binding.code_remap_.push_back(std::move(remap));
        }
    }
    return binding;
}

void Pipeline::Binding::Gather(std::span<const uint32_t> rows, float* numeric, float* plain,
                               int32_t* codes) const {
    auto gather = [&](const std::vector<FloatEntry>& entries, float* out) {
        const size_t stride = entries.size();
        for (size_t e = 0; e < stride; ++e) {
            const FloatEntry entry = entries[e];
            const int cell = table_cell_[entry.pipeline_cell];
            float* column = out + e;
            for (size_t i = 0; i < rows.size(); ++i)
                column[i * stride] = EncodeEntry(entry, table_->Float(cell, rows[i]));
        }
    };
    if (numeric != nullptr)
        gather(pipeline_->numeric_cells_, numeric);
    if (plain != nullptr)
        gather(pipeline_->plain_cells_, plain);
    if (codes == nullptr)
        return;
    const size_t stride = pipeline_->fields_.size();
    for (size_t field = 0; field < stride; ++field) {
        const int input = pipeline_->fields_[field];
        const int cell = table_cell_[pipeline_->first_cell_[input]];
        const int32_t null_code = pipeline_->NullCode(input);
        const int32_t other_code = pipeline_->inputs_[input].other_count > 0
                                       ? static_cast<int32_t>(pipeline_->inputs_[input].levels.size())
                                       : -1;
        const std::vector<int32_t>& remap = code_remap_[field];
        for (size_t i = 0; i < rows.size(); ++i) {
            const int32_t code = table_->Code(cell, rows[i]);
            int32_t mapped = other_code;  // the dictionary had no room for it
            if (code >= 0)
                mapped = remap[code];
            else if (code == ColumnarTable::kNullCode)
                mapped = null_code;
            codes[i * stride + field] = mapped;
        }
    }
}

}  // namespace dlent
