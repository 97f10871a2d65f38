#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "core/features/row_hash.h"
#include "core/features/table.h"

namespace dlent {

/// A table put together column by column.
class TableBuilder {
 public:
    TableBuilder& Floats(const std::string& name, std::vector<float> values,
                         ColumnRole role = ColumnRole::kFeature, ColumnKind kind = ColumnKind::kNumeric,
                         const std::string& type = "double precision", int width = 1) {
        definitions_.push_back({name, kind, role, width, type});
        floats_.push_back(std::move(values));
        texts_.emplace_back();
        return *this;
    }
    /// Texts; "NULL" is a NULL.
    TableBuilder& Texts(const std::string& name, std::vector<std::string> values,
                        ColumnRole role = ColumnRole::kFeature) {
        definitions_.push_back({name, ColumnKind::kCategory, role, 1, "text"});
        texts_.push_back(std::move(values));
        floats_.emplace_back();
        return *this;
    }

    /// The rows, or those that `order` names.
    ColumnarTable Build(const std::vector<uint32_t>& order) const {
        ColumnarTable table(definitions_);
        for (const uint32_t row : order) {
            EXPECT_TRUE(table.BeginRow());
            for (size_t c = 0; c < definitions_.size(); ++c) {
                const int first = table.first_cell(static_cast<int>(c));
                if (definitions_[c].kind == ColumnKind::kCategory) {
                    const std::string& text = texts_[c][row];
                    table.SetCode(first, text == "NULL" ? ColumnarTable::kNullCode
                                                        : table.dictionary(static_cast<int>(c)).Intern(text));
                } else {
                    for (int i = 0; i < definitions_[c].width; ++i)
                        table.SetFloat(first + i,
                                       floats_[c][static_cast<size_t>(row) * definitions_[c].width + i]);
                }
            }
            table.CommitRow();
        }
        return table;
    }
    ColumnarTable Build() const {
        const size_t rows = definitions_[0].kind == ColumnKind::kCategory
                                ? texts_[0].size()
                                : floats_[0].size() / static_cast<size_t>(definitions_[0].width);
        std::vector<uint32_t> order(rows);
        std::iota(order.begin(), order.end(), 0u);
        return Build(order);
    }

 private:
    std::vector<ColumnDefinition> definitions_;
    std::vector<std::vector<float>> floats_;
    std::vector<std::vector<std::string>> texts_;
};

inline std::vector<uint32_t> AllRows(const ColumnarTable& table) {
    std::vector<uint32_t> rows(table.rows());
    std::iota(rows.begin(), rows.end(), 0u);
    return rows;
}

/// All rows in canonical order, with their hashes.
struct OrderedRows {
    std::vector<uint32_t> rows;
    std::vector<uint64_t> hashes;

    explicit OrderedRows(const ColumnarTable& table) {
        const std::vector<uint64_t> of_table = *HashRows(table, NeverCancelled());
        rows = *CanonicalOrder(of_table, AllRows(table), NeverCancelled());
        for (const uint32_t row : rows)
            hashes.push_back(of_table[row]);
    }
};

}  // namespace dlent
