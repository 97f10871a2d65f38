#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"

namespace dlent {

/// Who reads an explanation. A customer gets what the dictionary says to customers, and nothing that would
/// teach how decisions are evaded.
enum class Audience : uint8_t { kAnalyst, kCustomer };
const char* AudienceName(Audience audience);
Expected<Audience> ParseAudience(std::string_view name);

/// What a reason does to the value that the model predicts: the probability of the positive class, the
/// number; with more classes the probability of the explained one.
enum class Direction : uint8_t { kAny, kRaises, kLowers };
const char* DirectionName(Direction direction);
Expected<Direction> ParseDirection(std::string_view name);

/// An entry of a model's dictionary of reasons.
struct ReasonCode {
    std::string feature;  ///< a column, "column[3]", or a group of the explanation's options
    Direction direction = Direction::kAny;
    Audience audience = Audience::kAnalyst;
    std::string locale;  ///< "en", "de-AT"
    std::string code;
    std::string text_template;  ///< with {feature}, {value}, {condition}, {threshold}; empty: our sentence
    bool actionable = true;     ///< whether the person concerned can do something about it

    Json ToJson() const;
    /// kCorrupt.
    static Expected<ReasonCode> FromJson(const Json& json);
    bool operator==(const ReasonCode&) const = default;
};

/// Refuses placeholders that are not known and braces that are not paired; "{{" and "}}" mean the braces
/// themselves.
Status CheckReasonTemplate(std::string_view text_template);

/// What the placeholders stand for.
struct ReasonValues {
    std::string feature;
    std::string value;
    std::string condition;
    std::string threshold;  ///< the bound that the value passed, or the level
};
/// Fills in a template that was checked.
std::string FillReasonTemplate(std::string_view text_template, const ReasonValues& values);

/// The entry for a feature: an analyst's own before what customers may read anyway, the locale before its
/// language before English, a direction before any. "column[3]" falls back on "column". Null when there is
/// none.
const ReasonCode* FindReasonCode(const std::vector<ReasonCode>& codes, std::string_view feature,
                                 Direction direction, Audience audience, std::string_view locale);

}  // namespace dlent
