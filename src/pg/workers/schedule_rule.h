#pragma once

#include <optional>
#include <string>

#include "core/schedule/cron.h"
#include "pg/bridge/error.h"

extern "C" {
#include "pgtime.h"
}

namespace dlent::pg {

/// When a schedule is due: a cron expression in a time zone, or an interval counted from an anchor (a day is
/// a day of the zone, a month a month). For C++ frames.
class ScheduleRule {
 public:
    /// 22023 for what is neither, or an interval below a second; for an unknown time zone.
    static ScheduleRule Parse(const std::string& text, const std::string& time_zone, TimestampTz anchor);

    /// The first time after `after`; nothing when there is none.
    std::optional<TimestampTz> Next(TimestampTz after) const;

 private:
    std::optional<CronExpression> cron_;
    Interval interval_{};
    TimestampTz anchor_ = 0;
    pg_tz* zone_ = nullptr;
};

}  // namespace dlent::pg
