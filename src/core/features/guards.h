#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/features/finding.h"
#include "core/features/table.h"
#include "core/features/target.h"

namespace dlent {

/// kInsufficientData when so few rows have a target that nothing could be held out.
Status CheckRowCount(const ColumnarTable& table, size_t rows_with_target);

/// How well one feature alone tells the target, on rows (in canonical order) that its bins were not counted
/// on: |2·AUC − 1| of a binary target (0 where too few rows of a class are left to judge by), the share of
/// the majority's errors avoided of classes, R² of a number. 1 means that it gives it away.
double SingleFeatureStrength(std::span<const int32_t> bins, int bin_count, std::span<const uint64_t> hashes,
                             const TargetEncoder& target, std::span<const float> values,
                             std::span<const int32_t> classes);

/// What a careful colleague would say of these rows before training: features (or their NULLs) that give the
/// target away (LEAK_FEATURE), a number that looks like classes, rare classes, few rows. At most 100,000 rows
/// are looked at.
Expected<std::vector<Finding>> FindProblems(const ColumnarTable& table, std::span<const uint32_t> rows,
                                            std::span<const uint64_t> hashes, const TargetEncoder& target,
                                            const CancelToken& cancel);

}  // namespace dlent
