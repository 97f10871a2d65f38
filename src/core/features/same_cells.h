#pragma once

#include "core/features/pipeline.h"

namespace dlent {

/// Whether rows are the same cells to both: the same inputs in the same order, and the same codes of
/// categories. What was learnt of numbers plays no part.
bool HaveSameCells(const Pipeline& one, const Pipeline& other);

}  // namespace dlent
