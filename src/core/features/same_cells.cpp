#include "core/features/same_cells.h"

#include <algorithm>

namespace dlent {

bool HaveSameCells(const Pipeline& one, const Pipeline& other) {
    const std::vector<PipelineInput>& a = one.inputs();
    const std::vector<PipelineInput>& b = other.inputs();
    return std::equal(
        a.begin(), a.end(), b.begin(), b.end(), [](const PipelineInput& x, const PipelineInput& y) {
            return x.name == y.name && x.kind == y.kind && x.width == y.width && x.type_name == y.type_name &&
                   x.levels == y.levels && (x.other_count > 0) == (y.other_count > 0) &&
                   (x.null_level_count > 0) == (y.null_level_count > 0);
        });
}

}  // namespace dlent
