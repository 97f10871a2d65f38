#include "pg/bridge/postgres.h"

#include "pg/rollout/arm_choice.h"

#include <cstring>

#include "pg/bridge/text.h"

extern "C" {
#include "mb/pg_wchar.h"
}

namespace dlent::pg {

ArmChoice::ArmChoice(const ResolvedModel& resolved)
    : buckets_(ToUtf8(resolved.seed)),
      unit_is_utf8_(GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII) {
    SetStep(resolved);
}

void ArmChoice::SetStep(const ResolvedModel& resolved) {
    ranges_.clear();
    for (const ResolvedArm& arm : resolved.arms)
        ranges_.push_back(arm.range);
    champion_has_all_ = ranges_.front().begin <= 0.0 && ranges_.front().end >= 1.0;
}

int ArmChoice::OfUnit(std::string_view unit) const {
    if (unit.data() == nullptr)
        return -1;
    if (champion_has_all_)
        return 0;
    const char* text = unit.data();
    size_t length = unit.size();
    if (!unit_is_utf8_) {
        text = pg_server_to_any(unit.data(), static_cast<int>(unit.size()), PG_UTF8);
        length = text == unit.data() ? length : std::strlen(text);
    }
    return ArmOfBucket(buckets_.Of({text, length}), ranges_);
}

int ArmChoice::OfCells(std::span<const Cell> cells) const {
    if (champion_has_all_)
        return 0;
    return ArmOfBucket(buckets_.Of({reinterpret_cast<const char*>(cells.data()), cells.size_bytes()}),
                       ranges_);
}

}  // namespace dlent::pg
