#include "core/explain/reason_code.h"

#include <algorithm>
#include <array>

namespace dlent {
namespace {

constexpr std::array<std::string_view, 4> kPlaceholders = {"feature", "value", "condition", "threshold"};

Status BadTemplate(std::string message, std::string_view text_template) {
    return Status::Invalid(
        std::move(message), "The template is \"" + std::string(text_template) + "\".",
        "Placeholders are {feature}, {value}, {condition} and {threshold}; a brace itself is written twice.");
}

/// Calls `literal` and `placeholder` for the parts in order.
template <typename Literal, typename Placeholder>
Status Walk(std::string_view text, Literal literal, Placeholder placeholder) {
    for (size_t at = 0; at < text.size();) {
        const size_t brace = std::min(text.find_first_of("{}", at), text.size());
        literal(text.substr(at, brace - at));
        if (brace == text.size())
            break;
        const std::string_view pair = text.substr(brace, 2);
        if (pair == "{{" || pair == "}}") {
            literal(text.substr(brace, 1));
            at = brace + 2;
            continue;
        }
        const size_t end = text[brace] == '{' ? text.find('}', brace) : std::string_view::npos;
        if (end == std::string_view::npos)
            return BadTemplate("a brace of the template has no counterpart", text);
        const std::string_view name = text.substr(brace + 1, end - brace - 1);
        if (std::find(kPlaceholders.begin(), kPlaceholders.end(), name) == kPlaceholders.end())
            return BadTemplate("unknown placeholder \"{" + std::string(name) + "}\" in the template", text);
        placeholder(name);
        at = end + 1;
    }
    return Status::Ok();
}

std::string_view LanguageOf(std::string_view locale) {
    return locale.substr(0, locale.find_first_of("-_."));
}

/// The better, the smaller; negative: does not fit.
int LocaleRank(std::string_view entry, std::string_view wanted) {
    if (entry == wanted)
        return 0;
    if (entry == LanguageOf(wanted))
        return 1;
    return LanguageOf(entry) == "en" ? 2 : -1;
}

}  // namespace

const char* AudienceName(Audience audience) {
    return audience == Audience::kCustomer ? "customer" : "analyst";
}

Expected<Audience> ParseAudience(std::string_view name) {
    if (name == "customer")
        return Audience::kCustomer;
    if (name == "analyst")
        return Audience::kAnalyst;
    return Status::Invalid("unknown audience \"" + std::string(name) + "\"", {}, "Use customer or analyst.");
}

const char* DirectionName(Direction direction) {
    switch (direction) {
        case Direction::kRaises:
            return "raises";
        case Direction::kLowers:
            return "lowers";
        case Direction::kAny:
            break;
    }
    return "any";
}

Expected<Direction> ParseDirection(std::string_view name) {
    for (const Direction direction : {Direction::kAny, Direction::kRaises, Direction::kLowers}) {
        if (name == DirectionName(direction))
            return direction;
    }
    return Status::Invalid("unknown direction \"" + std::string(name) + "\"", {},
                           "Use raises, lowers or any.");
}

Json ReasonCode::ToJson() const {
    return {{"feature", feature},
            {"direction", DirectionName(direction)},
            {"audience", AudienceName(audience)},
            {"locale", locale},
            {"code", code},
            {"template", text_template},
            {"actionable", actionable}};
}

Expected<ReasonCode> ReasonCode::FromJson(const Json& json) {
    const Status corrupt = Status::Corrupt("a stored reason code is damaged");
    if (!json.is_object())
        return corrupt;
    for (const char* key : {"feature", "direction", "audience", "locale", "code", "template"}) {
        if (!json.contains(key) || !json[key].is_string())
            return corrupt;
    }
    if (!json.contains("actionable") || !json["actionable"].is_boolean())
        return corrupt;
    const Expected<Direction> direction = ParseDirection(json["direction"].get<std::string>());
    const Expected<Audience> audience = ParseAudience(json["audience"].get<std::string>());
    if (!direction.ok() || !audience.ok())
        return corrupt;
    ReasonCode entry;
    entry.feature = json["feature"].get<std::string>();
    entry.direction = *direction;
    entry.audience = *audience;
    entry.locale = json["locale"].get<std::string>();
    entry.code = json["code"].get<std::string>();
    entry.text_template = json["template"].get<std::string>();
    entry.actionable = json["actionable"].get<bool>();
    if (!CheckReasonTemplate(entry.text_template).ok())
        return corrupt;
    return entry;
}

Status CheckReasonTemplate(std::string_view text_template) {
    const auto ignore = [](std::string_view) {};
    return Walk(text_template, ignore, ignore);
}

std::string FillReasonTemplate(std::string_view text_template, const ReasonValues& values) {
    std::string text;
    (void)Walk(
        text_template, [&](std::string_view part) { text += part; },
        [&](std::string_view name) {
            text += name == "feature"     ? values.feature
                    : name == "value"     ? values.value
                    : name == "condition" ? values.condition
                                          : values.threshold;
        });
    return text;
}

const ReasonCode* FindReasonCode(const std::vector<ReasonCode>& codes, std::string_view feature,
                                 Direction direction, Audience audience, std::string_view locale) {
    const ReasonCode* best = nullptr;
    int best_rank = 0;
    for (const ReasonCode& entry : codes) {
        if (entry.feature != feature ||
            (entry.direction != Direction::kAny && entry.direction != direction) ||
            (audience == Audience::kCustomer && entry.audience != Audience::kCustomer))
            continue;
        const int locale_rank = LocaleRank(entry.locale, locale);
        if (locale_rank < 0)
            continue;
        const int rank = (entry.audience == audience ? 0 : 100) + 10 * locale_rank +
                         (entry.direction == Direction::kAny ? 1 : 0);
        if (best == nullptr || rank < best_rank) {
            best = &entry;
            best_rank = rank;
        }
    }
    if (best == nullptr && feature.ends_with(']')) {
        const size_t bracket = feature.rfind('[');
        if (bracket != std::string_view::npos && bracket > 0)
            return FindReasonCode(codes, feature.substr(0, bracket), direction, audience, locale);
    }
    return best;
}

}  // namespace dlent
