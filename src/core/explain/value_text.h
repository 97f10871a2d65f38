#pragma once

#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/explain/explained_features.h"

namespace dlent {

/// How numbers are written for people: "1,890.5" in English, "1.890,5" in German.
struct NumberStyle {
    std::string_view group = ",";
    std::string_view point = ".";
};
/// Of a locale by its language ("de", "de-AT", "de_CH"); English for those that are not known.
NumberStyle NumberStyleOf(std::string_view locale);

/// A number as short as it can be while it still means the same float: what a network reads is one. Plain
/// digits where they are not too many, else an exponent.
std::string FloatText(double value);
/// The digits of FloatText() in groups of three.
std::string GroupedText(std::string_view number, const NumberStyle& style);

/// Days since 2000-01-01 in UTC, to the minute, and without the time of day where that is midnight.
std::string TimestampText(double days);
std::string DateText(double days);
/// Seconds since midnight: "14:30".
std::string TimeOfDayText(double seconds);
/// "2 days 03:00:00", "-00:00:30".
std::string IntervalText(double seconds);

/// A value as conditions name it (an edge, a number, true): by the kind of the feature, digits ungrouped.
std::string PlainValueText(const ExplainedFeature& feature, double value);
/// The same for sentences: digits grouped, but not those of names (years, codes of four digits).
std::string ReadableValueText(const ExplainedFeature& feature, double value, const NumberStyle& style);

/// A value as it stood in the row (canonical JSON: number, text, true), for sentences.
std::string OriginalValueText(const ExplainedFeature& feature, const Json& value, const NumberStyle& style);

}  // namespace dlent
