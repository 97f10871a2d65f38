#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/features/table.h"
#include "core/rollout/bucket.h"
#include "pg/rollout/resolved_model.h"

namespace dlent::pg {

/// Which arm of a rollout answers a row: an index into ResolvedModel::arms, −1 when the row takes no part and
/// the champion answers it.
class ArmChoice {
 public:
    explicit ArmChoice(const ResolvedModel& resolved);

    /// Another step of the same rollout.
    void SetStep(const ResolvedModel& resolved);

    /// By the row's unit, in the server's encoding; without data: there is none. Raises PostgreSQL errors:
    /// below a guard.
    int OfUnit(std::string_view unit) const;
    /// Where a rollout has no unit: by what is in the row.
    int OfCells(std::span<const Cell> cells) const;

 private:
    const UnitBuckets buckets_;
    std::vector<BucketRange> ranges_;
    bool champion_has_all_ = false;  ///< whatever the unit
    const bool unit_is_utf8_;
};

}  // namespace dlent::pg
