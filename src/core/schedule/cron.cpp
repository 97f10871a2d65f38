#include "core/schedule/cron.h"

#include <array>
#include <charconv>
#include <span>
#include <string>
#include <vector>

namespace dlent {
namespace {

constexpr int64_t kMinute = 60;
constexpr int64_t kHour = 3600;
constexpr int64_t kDay = 86400;
/// The longest that a day of the calendar can be away: 29 February on one weekday, across 2100.
constexpr int64_t kHorizon = int64_t{41} * 366 * kDay;
/// No zone sets its clocks back by more.
constexpr int64_t kLongestRepeat = 3 * kHour;

constexpr std::array<std::string_view, 12> kMonthNames = {"jan", "feb", "mar", "apr", "may", "jun",
                                                          "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdayNames = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct Macro {
    std::string_view name;
    std::string_view fields;
};
constexpr std::array<Macro, 7> kMacros = {{{"@hourly", "0 * * * *"},
                                           {"@daily", "0 0 * * *"},
                                           {"@midnight", "0 0 * * *"},
                                           {"@weekly", "0 0 * * 0"},
                                           {"@monthly", "0 0 1 * *"},
                                           {"@yearly", "0 0 1 1 *"},
                                           {"@annually", "0 0 1 1 *"}}};

struct FieldRule {
    const char* name;
    int minimum;
    int maximum;
    std::span<const std::string_view> names;
    int first_name;  ///< value of the first name
};
constexpr FieldRule kMinuteRule{"minute", 0, 59, {}, 0};
constexpr FieldRule kHourRule{"hour", 0, 23, {}, 0};
constexpr FieldRule kDayRule{"day of month", 1, 31, {}, 0};
constexpr FieldRule kMonthRule{"month", 1, 12, kMonthNames, 1};
constexpr FieldRule kWeekdayRule{"day of week", 0, 7, kWeekdayNames, 0};

constexpr const char* kHint =
    "A schedule has five fields (minute, hour, day of month, month, day of week), as in \"30 2 * * 1-5\", or "
    "is "
    "one of @hourly, @daily, @weekly, @monthly and @yearly.";

std::string Lower(std::string_view text) {
    std::string lower(text);
    for (char& c : lower)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return lower;
}

std::vector<std::string_view> SplitAt(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    size_t begin = 0;
    for (;;) {
        const size_t end = text.find(separator, begin);
        parts.push_back(text.substr(begin, end - begin));
        if (end == std::string_view::npos)
            return parts;
        begin = end + 1;
    }
}

std::vector<std::string_view> Words(std::string_view text) {
    std::vector<std::string_view> words;
    size_t at = 0;
    while ((at = text.find_first_not_of(" \t", at)) != std::string_view::npos) {
        const size_t end = std::min(text.find_first_of(" \t", at), text.size());
        words.push_back(text.substr(at, end - at));
        at = end;
    }
    return words;
}

Status FieldError(const FieldRule& rule, std::string_view field, const std::string& why) {
    return Status::Invalid(
        std::string("invalid ") + rule.name + " \"" + std::string(field) + "\" in a schedule", why, kHint);
}

/// A number or name of the field; −1 when it is neither.
int ParseValue(const FieldRule& rule, std::string_view text) {
    for (size_t i = 0; i < rule.names.size(); ++i) {
        if (text == rule.names[i])
            return rule.first_name + static_cast<int>(i);
    }
    int value = -1;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && rest == text.data() + text.size() ? value : -1;
}

/// Calls `set` for every value of a field without `L`.
template <typename Set>
Status ParseField(const FieldRule& rule, std::string_view field, Set set) {
    const std::string range_text =
        "It must lie from " + std::to_string(rule.minimum) + " to " + std::to_string(rule.maximum) + ".";
    for (const std::string_view part : SplitAt(field, ',')) {
        const std::vector<std::string_view> range_and_step = SplitAt(part, '/');
        const std::vector<std::string_view> ends = SplitAt(range_and_step[0], '-');
        if (range_and_step.size() > 2 || ends.size() > 2)
            return FieldError(rule, field, "\"" + std::string(part) + "\" is no value, range or step.");
        const bool stepped = range_and_step.size() == 2;
        int low = rule.minimum;
        int high = rule.maximum == 7 ? 6 : rule.maximum;
        if (range_and_step[0] != "*") {
            low = ParseValue(rule, ends[0]);
            if (ends.size() == 2)
                high = ParseValue(rule, ends[1]);
            else if (!stepped)
                high = low;
            if (low < rule.minimum || low > rule.maximum || high < rule.minimum || high > rule.maximum)
                return FieldError(rule, field, range_text);
            if (low > high)
                return FieldError(rule, field, "A range goes from the lower to the higher value.");
        }
        int step = 1;
        if (stepped) {
            const auto [rest, error] = std::from_chars(
                range_and_step[1].data(), range_and_step[1].data() + range_and_step[1].size(), step);
            if (error != std::errc() || rest != range_and_step[1].data() + range_and_step[1].size() ||
                step < 1 || step > rule.maximum)
                return FieldError(rule, field,
                                  "A step is a number from 1 to " + std::to_string(rule.maximum) + ".");
        }
        for (int value = low; value <= high; value += step)
            set(value);
    }
    return Status::Ok();
}

/// The day of the civil calendar that is `days` after 1970-01-01 (Howard Hinnant, "chrono-compatible
/// low-level date algorithms").
struct Civil {
    int64_t year;
    int month;
    int day;
};
Civil CivilFromDays(int64_t days) {
    days += 719468;
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const auto day_of_era = static_cast<int>(days - era * 146097);
    const int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int shifted_month = (5 * day_of_year + 2) / 153;
    const int day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    const int month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    return {era * 400 + year_of_era + (month <= 2 ? 1 : 0), month, day};
}

int64_t FloorDivide(int64_t value, int64_t divisor) {
    return value / divisor - (value % divisor < 0 ? 1 : 0);
}

int DaysOfMonth(const Civil& date) {
    static constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
    return kDays[date.month - 1] + (leap && date.month == 2 ? 1 : 0);
}

}  // namespace

Expected<CronExpression> CronExpression::Parse(std::string_view text) {
    const std::string lower = Lower(text);
    std::vector<std::string_view> fields = Words(lower);
    if (fields.size() == 1 && fields[0].starts_with('@')) {
        for (const Macro& macro : kMacros) {
            if (macro.name == fields[0])
                return Parse(macro.fields);
        }
        return Status::Invalid("unknown schedule \"" + std::string(text) + "\"", {}, kHint);
    }
    if (fields.size() != 5)
        return Status::Invalid("schedule \"" + std::string(text) + "\" has " + std::to_string(fields.size()) +
                                   " fields instead of 5",
                               {}, kHint);
    CronExpression cron;
    DLENT_RETURN_IF_ERROR(ParseField(kMinuteRule, fields[0], [&](int value) { cron.minutes_.set(value); }));
    DLENT_RETURN_IF_ERROR(ParseField(kHourRule, fields[1], [&](int value) { cron.hours_.set(value); }));
    cron.last_day_ = fields[2] == "l";
    if (!cron.last_day_)
        DLENT_RETURN_IF_ERROR(ParseField(kDayRule, fields[2], [&](int value) { cron.days_.set(value); }));
    DLENT_RETURN_IF_ERROR(ParseField(kMonthRule, fields[3], [&](int value) { cron.months_.set(value); }));
    DLENT_RETURN_IF_ERROR(
        ParseField(kWeekdayRule, fields[4], [&](int value) { cron.weekdays_.set(value % 7); }));
    cron.any_day_ = fields[2].starts_with('*');
    cron.any_weekday_ = fields[4].starts_with('*');
    cron.by_the_wall_ = fields[0].starts_with('*') || fields[1].starts_with('*');
    // any 41 years have every day that there is, on every weekday
    if (!cron.Next(0, [](int64_t) { return 0; }))
        return Status::Invalid("schedule \"" + std::string(text) + "\" names a day that never comes", {},
                               kHint);
    return cron;
}

CronExpression::LocalMinute CronExpression::Split(int64_t local) {
    const int64_t days = FloorDivide(local, kDay);
    const auto second = static_cast<int>(local - days * kDay);
    const Civil date = CivilFromDays(days);
    // 1970-01-01 was a Thursday
    const auto weekday = static_cast<int>((days % 7 + 11) % 7);
    return {second / 60 % 60, second / 3600, date.day, date.month, weekday, DaysOfMonth(date)};
}

bool CronExpression::DayMatches(const LocalMinute& local) const {
    if (!months_[local.month])
        return false;
    const bool day = last_day_ ? local.day == local.last_day : days_[local.day];
    const bool weekday = weekdays_[local.weekday];
    return any_day_ || any_weekday_ ? day && weekday : day || weekday;
}

bool CronExpression::Matches(const LocalMinute& local) const {
    return minutes_[local.minute] && hours_[local.hour] && DayMatches(local);
}

bool CronExpression::AnyMatches(int64_t begin, int64_t end) const {
    for (int64_t local = begin; local < end; local += kMinute) {
        if (Matches(Split(local)))
            return true;
    }
    return false;
}

std::optional<int64_t> CronExpression::Next(int64_t after, const UtcOffset& offset) const {
    // What is skipped in one go lies within one offset; minutes around a change are looked at one by one.
    int64_t instant = FloorDivide(after, kMinute) * kMinute + kMinute;
    int64_t previous_local = instant - kMinute + offset(instant - kMinute);
    while (instant <= after + kHorizon) {
        const int64_t ahead = offset(instant);
        const int64_t local = instant + ahead;
        const LocalMinute split = Split(local);
        if (!by_the_wall_ && local > previous_local + kMinute && AnyMatches(previous_local + kMinute, local))
            return instant;
        if (Matches(split)) {
            const int64_t earlier = local - offset(instant - kLongestRepeat);
            const bool repeated = earlier < instant && earlier + offset(earlier) == local;
            if (by_the_wall_ || !repeated)
                return instant;
        }
        int64_t step = kMinute;
        if (!DayMatches(split))
            step = kDay - (local - FloorDivide(local, kDay) * kDay);
        else if (!hours_[split.hour])
            step = kHour - (local - FloorDivide(local, kHour) * kHour);
        if (offset(instant + step) != ahead)
            step = kMinute;
        previous_local = local + step - kMinute;
        instant += step;
    }
    return std::nullopt;
}

}  // namespace dlent
