#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/features/table.h"
#include "core/features/target.h"

namespace dlent {

/// Row numbers that train and that validate, each in canonical order.
struct Split {
    std::vector<uint32_t> train;
    std::vector<uint32_t> validation;
};

/// What splits are made of: rows in canonical order with their hashes, and their targets to stratify by.
struct SplitInputs {
    const ColumnarTable* table = nullptr;
    std::span<const uint32_t> rows;
    std::span<const uint64_t> hashes;  ///< of `rows`
    const TargetEncoder* target = nullptr;
    uint64_t seed = 0;
    const CancelToken* cancel = nullptr;
};

/// One split or several, and the rule that names the rows, so that it can be replayed.
struct SplitPlan {
    std::vector<Split> splits;
    Json rule;
};

/// `count` folds, each the validation part of one split. Within each stratum (class, or tenth of the target)
/// rows are dealt out in an order that follows from their hashes and the seed; equal rows fall by chance.
Expected<SplitPlan> MakeFolds(const SplitInputs& inputs, int count);

/// One part of `fraction` of the rows: as above, or the last ones by the kOrder column (equal values
/// together), or whole groups of the kGroup column.
Expected<SplitPlan> MakeHoldOut(const SplitInputs& inputs, double fraction);
Expected<SplitPlan> MakeTimeHoldOut(const SplitInputs& inputs, double fraction);
Expected<SplitPlan> MakeGroupHoldOut(const SplitInputs& inputs, double fraction);
/// Whole groups in folds.
Expected<SplitPlan> MakeGroupFolds(const SplitInputs& inputs, int count);

/// How much neighbouring rows of the source share their target: the lag-1 correlation of a number, or the
/// agreement of labels beyond chance; 0 when it could be chance. Rows written in the order of time, place or
/// customer have it, and a random split of them judges a network by neighbours of rows that it has seen.
Expected<double> NeighbourDependence(const SplitInputs& inputs);

/// Folds of whole blocks of consecutive rows, for such sources; absent when a class lies in a few blocks only
/// (a source sorted by its label).
Expected<std::optional<SplitPlan>> MakeBlockFolds(const SplitInputs& inputs, int count);

}  // namespace dlent
