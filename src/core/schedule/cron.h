#pragma once

#include <bitset>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "core/base/status.h"

namespace dlent {

/// Seconds that local time is ahead of UTC at an instant (seconds since 1970, UTC). A time zone, as far as a
/// schedule needs one: pure, and constant but for a few instants a year.
using UtcOffset = std::function<int(int64_t instant)>;

/// When a job is to run: the five fields of cron(5) (minute, hour, day of month, month, day of week), with
/// names of months and days, lists, ranges and steps, `L` for the last day of a month, and @hourly, @daily
/// (@midnight), @weekly, @monthly, @yearly (@annually). As in Vixie's cron, a day matches when either of day
/// of month and day of week does, if neither of the two fields begins with an asterisk.
class CronExpression {
 public:
    /// kInvalidArgument names the field and what is wrong with it; so for an expression that never matches
    /// (30 February).
    static Expected<CronExpression> Parse(std::string_view text);

    /// The first instant after `after` that the expression names, a whole minute, in seconds since 1970.
    /// Where local time jumps ahead, what was due in the gap is due when the gap ends, once; where it is set
    /// back, what names an hour is due the first time only. Expressions whose minute or hour is an asterisk
    /// or a step of one run by the clock on the wall: every matching minute, also the second time (Vixie's
    /// rules). Nothing when there is none within 41 years.
    std::optional<int64_t> Next(int64_t after, const UtcOffset& offset) const;

 private:
    struct LocalMinute {
        int minute, hour, day, month, weekday, last_day;
    };
    static LocalMinute Split(int64_t local);
    bool DayMatches(const LocalMinute& local) const;
    bool Matches(const LocalMinute& local) const;
    /// Whether a minute in [begin, end) of local time matches.
    bool AnyMatches(int64_t begin, int64_t end) const;

    std::bitset<60> minutes_;
    std::bitset<24> hours_;
    std::bitset<32> days_;      ///< from 1
    std::bitset<13> months_;    ///< from 1
    std::bitset<7> weekdays_;   ///< from Sunday
    bool last_day_ = false;     ///< of the month
    bool any_day_ = false;      ///< the field begins with an asterisk
    bool any_weekday_ = false;  ///< likewise
    bool by_the_wall_ = false;  ///< minute or hour begins with an asterisk
};

}  // namespace dlent
