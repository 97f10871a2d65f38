#include "core/explain/number_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace dlent {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::string_view kMinus = "\xE2\x88\x92";
constexpr std::string_view kEllipsis = "\xE2\x80\xA6";

std::string ToChars(double value, std::chars_format format, int precision) {
    std::array<char, 400> buffer;
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format, precision);
    return {buffer.data(), end.ptr};
}

/// Commas between the thousands of a decimal without exponent.
std::string Grouped(const std::string& digits) {
    const size_t start = digits[0] == '-' ? 1 : 0;
    const size_t point = std::min(digits.find('.'), digits.size());
    std::string grouped;
    for (size_t i = 0; i < digits.size(); ++i) {
        if (i > start && i < point && (point - i) % 3 == 0)
            grouped += ',';
        grouped += digits[i];
    }
    return grouped;
}

struct Character {
    uint32_t code = 0;
    size_t bytes = 1;
    bool valid = false;
};

/// The first character of a text that is not empty.
Character Decode(std::string_view text) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
    const uint8_t lead = byte(0);
    if (lead < 0x80)
        return {lead, 1, true};
    const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes)
        return {};
    uint32_t code = lead & (0x7Fu >> bytes);
    for (size_t i = 1; i < bytes; ++i) {
        if ((byte(i) & 0xC0) != 0x80)
            return {};
        code = code << 6 | (byte(i) & 0x3F);
    }
    const uint32_t least = bytes == 4 ? 0x10000 : bytes == 3 ? 0x800 : 0x80;
    if (code < least || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return {};
    return {code, bytes, true};
}

bool In(uint32_t code, uint32_t first, uint32_t last) {
    return code >= first && code <= last;
}

/// The blocks of UAX #11 that matter for names.
int WidthOf(uint32_t code) {
    if (In(code, 0x300, 0x36F) || In(code, 0x1AB0, 0x1AFF) || In(code, 0x20D0, 0x20FF) ||
        In(code, 0x200B, 0x200F) || In(code, 0xFE00, 0xFE0F) || code == 0xFEFF)
        return 0;
    if (In(code, 0x1100, 0x115F) || In(code, 0x2E80, 0x303E) || In(code, 0x3041, 0xA4CF) ||
        In(code, 0xAC00, 0xD7A3) || In(code, 0xF900, 0xFAFF) || In(code, 0xFE30, 0xFE6F) ||
        In(code, 0xFF00, 0xFF60) || In(code, 0xFFE0, 0xFFE6) || In(code, 0x1F300, 0x1FAFF) ||
        In(code, 0x20000, 0x3FFFD))
        return 2;
    return 1;
}

/// Controls, reversals of direction, what XML forbids.
bool IsUnprintable(uint32_t code) {
    return code < 0x20 || In(code, 0x7F, 0x9F) || In(code, 0x202A, 0x202E) || In(code, 0x2066, 0x2069) ||
           In(code, 0x2028, 0x2029) || (code & 0xFFFE) == 0xFFFE;
}

}  // namespace

std::string NumberText(double value, int digits) {
    if (std::isnan(value))
        return "NaN";
    if (std::isinf(value))
        return value > 0.0 ? "Infinity" : "-Infinity";
    if (value == 0.0)
        return "0";
    const double size = std::abs(value);
    const bool scientific = size < 1e-4 || size >= 1e15;
    std::string text = scientific ? ToChars(value, std::chars_format::scientific, digits - 1)
                                  : ToChars(value, std::chars_format::fixed, DecimalsFor(value, digits));
    const size_t exponent = std::min(text.find('e'), text.size());
    size_t end = exponent;
    if (text.find('.') < exponent) {
        while (text[end - 1] == '0')
            --end;
        if (text[end - 1] == '.')
            --end;
    }
    text.erase(end, exponent - end);
    return scientific ? text : Grouped(text);
}

int DecimalsFor(double value, int digits) {
    if (value == 0.0 || !std::isfinite(value))
        return 0;
    const int magnitude = static_cast<int>(std::floor(std::log10(std::abs(value))));
    return std::clamp(digits - 1 - magnitude, 0, 17);
}

std::string FixedText(double value, int decimals, bool with_sign) {
    if (!std::isfinite(value))
        return NumberText(value, 3);
    const std::string digits = Grouped(ToChars(std::abs(value), std::chars_format::fixed, decimals));
    if (digits.find_first_not_of("0.,") == std::string::npos)
        return digits;
    if (value < 0.0)
        return std::string(kMinus) + digits;
    return (with_sign ? "+" : "") + digits;
}

int DisplayWidth(std::string_view utf8) {
    int width = 0;
    while (!utf8.empty()) {
        const Character character = Decode(utf8);
        width += character.valid ? WidthOf(character.code) : 1;
        utf8.remove_prefix(character.bytes);
    }
    return width;
}

std::string Shortened(std::string_view utf8, int width) {
    if (DisplayWidth(utf8) <= width)
        return std::string(utf8);
    std::string text;
    int used = 0;
    while (!utf8.empty()) {
        const Character character = Decode(utf8);
        const int wide = character.valid ? WidthOf(character.code) : 1;
        if (used + wide > width - 1)
            break;
        text += utf8.substr(0, character.bytes);
        used += wide;
        utf8.remove_prefix(character.bytes);
    }
    return text + std::string(kEllipsis);
}

std::vector<std::string> Wrapped(std::string_view utf8, int width) {
    std::vector<std::string> lines = {""};
    while (!utf8.empty()) {
        const size_t space = std::min(utf8.find(' '), utf8.size());
        const std::string word = Shortened(utf8.substr(0, space), width);
        utf8.remove_prefix(std::min(space + 1, utf8.size()));
        if (lines.back().empty())
            lines.back() = word;
        else if (DisplayWidth(lines.back()) + 1 + DisplayWidth(word) <= width)
            lines.back() += " " + word;
        else
            lines.push_back(word);
    }
    return lines;
}

std::string Printable(std::string_view text) {
    std::string printable;
    while (!text.empty()) {
        const Character character = Decode(text);
        if (character.valid && (character.code == '\t' || character.code == '\n' || character.code == '\r'))
            printable += ' ';
        else if (!character.valid || IsUnprintable(character.code))
            printable += kReplacement;
        else
            printable += text.substr(0, character.bytes);
        text.remove_prefix(character.bytes);
    }
    return printable;
}

}  // namespace dlent
