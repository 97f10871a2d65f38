#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/features/table.h"
#include "core/model/model.h"
#include "pg/functions/drift_options.h"

namespace dlent::pg {

/// Rows of a source, as far as a report needs them.
struct DriftRows {
    ColumnarTable table{{}};
    std::vector<uint32_t> rows;  ///< that are looked at: all, or a million spread over them
    bool complete = false;       ///< all inputs of the model are there
    bool has_target = false;
};

/// Reads the model's inputs, its target and, with `windows`, the column that windows are of. 42703 for what
/// the request cannot do without, 42804 for a type that cannot be read as the input's.
DriftRows ReadDriftRows(const Model& model, const DriftRequest& request, const std::string& source,
                        bool windows);

/// Rows of a stretch of time.
struct DriftWindow {
    std::string start;  ///< ISO 8601, in UTC
    std::vector<uint32_t> rows;
};
/// In the order of time; rows without a time are left out. Windows without rows are not there.
std::vector<DriftWindow> SplitByWindow(const DriftRows& rows, int64_t window);

}  // namespace dlent::pg
