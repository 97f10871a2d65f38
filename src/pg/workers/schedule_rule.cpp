#include "pg/bridge/postgres.h"

#include "pg/workers/schedule_rule.h"

#include <algorithm>

#include "pg/bridge/text.h"

extern "C" {
#include "utils/datetime.h"
}

namespace dlent::pg {
namespace {

constexpr int64_t kUnixToPostgres = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * int64_t{SECS_PER_DAY};
/// Days and months differ in length by less than that share of them.
constexpr int64_t kIntervalsBack = 4;

int64_t ToUnix(TimestampTz time) {
    // rounded down, also before 2000
    const int64_t seconds = time / USECS_PER_SEC - (time % USECS_PER_SEC < 0 ? 1 : 0);
    return seconds + kUnixToPostgres;
}

/// Whether a text is meant as a cron expression: a macro, or five fields.
bool LooksLikeCron(const std::string& text) {
    if (text.starts_with('@'))
        return true;
    int words = 0;
    bool inside = false;
    for (const char c : text) {
        const bool blank = c == ' ' || c == '\t';
        words += !blank && !inside ? 1 : 0;
        inside = !blank;
    }
    return words == 5 || text.find('*') != std::string::npos;
}

int64_t Microseconds(const Interval& interval) {
    return interval.time + (interval.day + int64_t{DAYS_PER_MONTH} * interval.month) * USECS_PER_DAY;
}

/// anchor + count × interval, days and months being those of `zone`.
TimestampTz Advance(TimestampTz anchor, int64_t count, const Interval& interval, pg_tz* zone) {
    Interval step = interval;
    step.time *= count;
    step.day = static_cast<int32>(step.day * count);
    step.month = static_cast<int32>(step.month * count);
    pg_tz* const saved = session_timezone;
    session_timezone = zone;
    try {
        const TimestampTz result = CallPostgres([&] {
            return DatumGetTimestampTz(DirectFunctionCall2(
                timestamptz_pl_interval, TimestampTzGetDatum(anchor), IntervalPGetDatum(&step)));
        });
        session_timezone = saved;
        return result;
    } catch (...) {
        session_timezone = saved;
        throw;
    }
}

}  // namespace

ScheduleRule ScheduleRule::Parse(const std::string& text, const std::string& time_zone, TimestampTz anchor) {
    ScheduleRule rule;
    rule.anchor_ = anchor;
    rule.zone_ = CallPostgres([&time_zone] { return pg_tzset(time_zone.c_str()); });
    if (rule.zone_ == nullptr || !pg_tz_acceptable(rule.zone_))
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "unknown time zone \"" + time_zone + "\"", {},
                       "View pg_timezone_names lists them.");
    if (LooksLikeCron(text)) {
        rule.cron_ = ValueOrThrow(CronExpression::Parse(ToUtf8(text)));
        return rule;
    }
    const std::string interval = text.starts_with("every ") ? text.substr(strlen("every ")) : text;
    try {
        rule.interval_ = CallPostgres([&interval] {
            return *DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(interval.c_str()),
                                                          ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
        });
    } catch (const PgError&) {
        // Raised by the parser of intervals, which leaves nothing behind.
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "invalid schedule \"" + text + "\"", {},
                       "A schedule is a cron expression (\"30 2 * * 1-5\", \"@hourly\") or an interval (\"15 "
                       "minutes\").");
    }
    if (rule.interval_.month < 0 || rule.interval_.day < 0 || Microseconds(rule.interval_) < USECS_PER_SEC)
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       "the interval of schedule \"" + text + "\" is too short", {},
                       "It must be at least a second.");
    return rule;
}

std::optional<TimestampTz> ScheduleRule::Next(TimestampTz after) const {
    if (cron_) {
        const UtcOffset offset = [this](int64_t instant) {
            const auto time = static_cast<pg_time_t>(instant);
            const pg_tm* const local = pg_localtime(&time, zone_);
            return local == nullptr ? 0 : static_cast<int>(local->tm_gmtoff);
        };
        const std::optional<int64_t> next = cron_->Next(ToUnix(after), offset);
        if (!next)
            return std::nullopt;
        return (*next - kUnixToPostgres) * USECS_PER_SEC;
    }
    int64_t count = std::max<int64_t>((after - anchor_) / Microseconds(interval_), 0);
    if (interval_.day == 0 && interval_.month == 0)
        return anchor_ + (count + 1) * interval_.time;
    // a long row of short months may lie behind, or long ones
    count = std::max<int64_t>(count - count / 20 - kIntervalsBack, 0);
    TimestampTz next = anchor_;
    while (next <= after)
        next = Advance(anchor_, ++count, interval_, zone_);
    return next;
}

}  // namespace dlent::pg
