#include "core/base/json_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

namespace dlent {
namespace {

void AppendNumber(double value, std::string* text) {
    if (!std::isfinite(value)) {
        *text += "null";
        return;
    }
    std::array<char, 32> digits;
    const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    const std::string_view number(digits.data(), static_cast<size_t>(result.ptr - digits.data()));
    *text += number;
    // as Json::dump(): what was a double is read as one
    if (number.find_first_of(".e") == std::string_view::npos)
        *text += ".0";
}

void AppendString(const std::string& value, std::string* text) {
    for (const char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\') {
            *text += Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
            return;
        }
    }
    *text += '"';
    *text += value;
    *text += '"';
}

// NOLINTNEXTLINE(misc-no-recursion)
void Append(const Json& json, std::string* text) {
    const char* separator = "";
    switch (json.type()) {
        case Json::value_t::object:
            *text += '{';
            for (const auto& [key, value] : json.items()) {
                *text += separator;
                AppendString(key, text);
                *text += ':';
                Append(value, text);
                separator = ",";
            }
            *text += '}';
            break;
        case Json::value_t::array:
            *text += '[';
            for (const Json& value : json) {
                *text += separator;
                Append(value, text);
                separator = ",";
            }
            *text += ']';
            break;
        case Json::value_t::string:
            AppendString(json.get_ref<const std::string&>(), text);
            break;
        case Json::value_t::number_float:
            AppendNumber(json.get<double>(), text);
            break;
        default:
            *text += json.dump();
            break;
    }
}

}  // namespace

std::string JsonText(const Json& json) {
    std::string text;
    Append(json, &text);
    return text;
}

}  // namespace dlent
