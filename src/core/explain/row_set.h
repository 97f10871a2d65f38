#pragma once

#include <cstdint>
#include <vector>

#include "core/features/table.h"

namespace dlent {

/// Decoded rows in memory, as a scorer takes them, with their outcomes where they are known.
struct RowSet {
    int cell_count = 0;
    std::vector<Cell> cells;        ///< [rows × cell_count]
    std::vector<int32_t> classes;   ///< of classification, or empty
    std::vector<double> values;     ///< of regression, or empty
    std::vector<uint64_t> numbers;  ///< which rows of the source they are, from 0

    size_t rows() const { return numbers.size(); }
    const Cell* row(size_t i) const { return &cells[i * static_cast<size_t>(cell_count)]; }
};

}  // namespace dlent
