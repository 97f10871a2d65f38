#include "core/explain/value_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace dlent {
namespace {

constexpr double kSecondsOfDay = 86400.0;
/// Beyond these, digits are not read but counted.
constexpr double kLargestPlain = 1e15;
constexpr double kSmallestPlain = 1e-5;
/// Days from 1970-01-01 to 2000-01-01.
constexpr int64_t kEpochDays = 10957;

struct CivilDate {
    int64_t year;
    int month;
    int day;
};

/// Of a day since 2000-01-01, in the proleptic Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
CivilDate CivilOfDays(int64_t days) {
    const int64_t z = days + kEpochDays + 719468;
    const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    const auto day_of_era = static_cast<int>(z - era * 146097);
    const int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int shifted_month = (5 * day_of_year + 2) / 153;
    const int day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    const int month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month, day};
}

template <typename... Arguments>
std::string Format(const char* format, Arguments... arguments) {
    std::array<char, 64> text;
    const int length = std::snprintf(text.data(), text.size(), format, arguments...);
    return {text.data(), static_cast<size_t>(std::clamp(length, 0, static_cast<int>(text.size()) - 1))};
}

std::string DayText(int64_t days) {
    const CivilDate date = CivilOfDays(days);
    if (date.year <= 0)
        return Format("%04lld-%02d-%02d BC", static_cast<long long>(1 - date.year), date.month, date.day);
    return Format("%04lld-%02d-%02d", static_cast<long long>(date.year), date.month, date.day);
}

/// A whole number of four digits in a column that has no other is a year or a code.
bool NamesSomething(const ExplainedFeature& feature) {
    return feature.integral && feature.minimum >= 1000.0 && feature.maximum <= 9999.0;
}

}  // namespace

NumberStyle NumberStyleOf(std::string_view locale) {
    const std::string_view language = locale.substr(0, locale.find_first_of("-_."));
    for (const std::string_view known :
         {"de", "nl", "es", "it", "pt", "da", "tr", "id", "el", "ro", "hr", "sl"}) {
        if (language == known)
            return {".", ","};
    }
    // a narrow space that does not break the line
    for (const std::string_view known :
         {"fr", "pl", "cs", "sk", "sv", "nb", "no", "fi", "ru", "uk", "hu", "bg"}) {
        if (language == known)
            return {"\u202f", ","};
    }
    return {};
}

std::string FloatText(double value) {
    const auto number = static_cast<float>(value);
    const double size = std::fabs(value);
    // a double that no float comes near (a large integer) keeps its own digits
    const bool whole = value == std::trunc(value) && size < kLargestPlain;
    const bool plain = value == 0.0 || (size < kLargestPlain && size >= kSmallestPlain);
    const std::chars_format format = plain ? std::chars_format::fixed : std::chars_format::scientific;
    std::array<char, 64> text;
    const auto result = whole || !std::isfinite(number)
                            ? std::to_chars(text.data(), text.data() + text.size(), value, format)
                            : std::to_chars(text.data(), text.data() + text.size(), number, format);
    return {text.data(), result.ptr};
}

std::string GroupedText(std::string_view number, const NumberStyle& style) {
    if (number.find_first_of("eEinIN") != std::string_view::npos)
        return std::string(number);
    const size_t sign = !number.empty() && number.front() == '-' ? 1 : 0;
    const size_t point = std::min(number.find('.'), number.size());
    std::string text(number.substr(0, sign));
    for (size_t i = sign; i < point; ++i) {
        if (i > sign && (point - i) % 3 == 0)
            text += style.group;
        text += number[i];
    }
    if (point < number.size()) {
        text += style.point;
        text += number.substr(point + 1);
    }
    return text;
}

std::string TimestampText(double days) {
    const auto minutes = static_cast<int64_t>(std::llround(days * 1440.0));
    const int64_t day = (minutes >= 0 ? minutes : minutes - 1439) / 1440;
    const auto minute = static_cast<int>(minutes - day * 1440);
    const std::string time = minute == 0 ? std::string() : Format(" %02d:%02d", minute / 60, minute % 60);
    return DayText(day) + time + " UTC";
}

std::string DateText(double days) {
    return DayText(static_cast<int64_t>(std::floor(days)));
}

std::string TimeOfDayText(double seconds) {
    const auto total = static_cast<long long>(std::llround(std::clamp(seconds, 0.0, kSecondsOfDay)));
    const std::string text = Format("%02lld:%02lld", total / 3600, total / 60 % 60);
    return total % 60 == 0 ? text : text + Format(":%02lld", total % 60);
}

std::string IntervalText(double seconds) {
    const double size = std::fabs(seconds);
    if (!(size < kLargestPlain))
        return FloatText(seconds) + " s";
    const auto total = static_cast<long long>(size);
    const long long days = total / 86400;
    std::string text = seconds < 0 ? "-" : "";
    if (days > 0)
        text += std::to_string(days) + (days == 1 ? " day" : " days");
    if (days == 0 || total % 86400 != 0)
        text += (days > 0 ? " " : "") +
                Format("%02lld:%02lld:%02lld", total / 3600 % 24, total / 60 % 60, total % 60);
    return text;
}

std::string PlainValueText(const ExplainedFeature& feature, double value) {
    switch (feature.kind) {
        case ColumnKind::kTimestamp:
            return TimestampText(value);
        case ColumnKind::kDate:
            return DateText(value);
        case ColumnKind::kTime:
            return TimeOfDayText(value);
        case ColumnKind::kInterval:
            return IntervalText(value);
        case ColumnKind::kBoolean:
            return value != 0.0 ? "true" : "false";
        default:
            return FloatText(value);
    }
}

std::string ReadableValueText(const ExplainedFeature& feature, double value, const NumberStyle& style) {
    const std::string text = PlainValueText(feature, value);
    const bool number = feature.kind == ColumnKind::kNumeric || feature.kind == ColumnKind::kVector;
    return number && !NamesSomething(feature) ? GroupedText(text, style) : text;
}

std::string OriginalValueText(const ExplainedFeature& feature, const Json& value, const NumberStyle& style) {
    if (value.is_string()) {
        std::string text = value.get<std::string>();
        if (feature.kind == ColumnKind::kTimestamp) {
            if (text.ends_with("+00"))
                text.resize(text.size() - 3);
            text += " UTC";
        }
        return text;
    }
    if (value.is_boolean())
        return value.get<bool>() ? "true" : "false";
    if (value.is_number()) {
        const std::string digits = value.is_number_integer() ? value.dump() : FloatText(value.get<double>());
        return NamesSomething(feature) ? digits : GroupedText(digits, style);
    }
    return value.dump();
}

}  // namespace dlent
