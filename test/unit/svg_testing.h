#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dlent {

/// The opening tags of elements named `name`.
inline std::vector<std::string> ElementsOf(const std::string& svg, const std::string& name) {
    std::vector<std::string> elements;
    for (size_t at = svg.find("<" + name + " "); at != std::string::npos;
         at = svg.find("<" + name + " ", at + 1))
        elements.push_back(svg.substr(at, svg.find('>', at) - at + 1));
    return elements;
}

inline std::string Attribute(const std::string& element, const std::string& name) {
    const size_t at = element.find(" " + name + "=\"");
    if (at == std::string::npos)
        return {};
    const size_t begin = at + name.size() + 3;
    return element.substr(begin, element.find('"', begin) - begin);
}

/// Whether it is well-formed XML of the elements and attributes that a chart needs, and of no others: a
/// reader's XML parser in small, which takes less than XML does. On failure `why` says what is wrong.
inline bool IsHarmlessSvg(std::string_view svg, std::string* why = nullptr) {
    static const std::set<std::string_view> kElements = {"svg",  "title", "style",  "rect", "text",
                                                         "line", "path",  "circle", "g"};
    static const std::set<std::string_view> kAttributes = {
        "xmlns", "width", "height", "viewBox", "role", "aria-label", "class", "x", "y",
        "rx",    "x1",    "y1",     "x2",      "y2",   "cx",         "cy",    "r", "d"};
    std::string ignored;
    std::string& reason = why != nullptr ? *why : ignored;
    auto fail = [&reason](std::string text) {
        reason = std::move(text);
        return false;
    };
    auto is_text = [](std::string_view text) {
        for (size_t i = 0; i < text.size(); ++i) {
            const auto byte = static_cast<unsigned char>(text[i]);
            if (text[i] == '<' || text[i] == '>' || (byte < 0x20 && text[i] != '\n') || byte > 0x7E)
                return false;
            if (text[i] != '&')
                continue;
            bool known = false;
            for (const std::string_view entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"})
                known = known || text.substr(i).starts_with(entity);
            const size_t digits = text.substr(i, 12).find_first_not_of("0123456789", 2);
            if (text.substr(i).starts_with("&#") && digits != text.npos && digits > 2 &&
                text[i + digits] == ';')
                known = std::stoul(std::string(text.substr(i + 2, digits - 2))) >= 0x80;
            if (!known)
                return false;
        }
        return true;
    };
    std::vector<std::string_view> open;
    while (!svg.empty()) {
        if (svg[0] != '<') {
            const std::string_view text = svg.substr(0, svg.find('<'));
            if (!is_text(text) || (open.empty() && text != "\n"))
                return fail("bad text: " + std::string(text));
            if (!open.empty() && open.back() == "style" &&
                (text.find("url") != text.npos || text.find("@import") != text.npos))
                return fail("a style that fetches");
            svg.remove_prefix(text.size());
            continue;
        }
        const size_t end = svg.find('>');
        if (end == svg.npos)
            return fail("an open tag");
        std::string_view tag = svg.substr(1, end - 1);
        svg.remove_prefix(end + 1);
        if (tag.starts_with('/')) {
            if (open.empty() || open.back() != tag.substr(1))
                return fail("a tag is not closed: " + std::string(tag));
            open.pop_back();
            continue;
        }
        const bool closed = tag.ends_with('/');
        if (closed)
            tag.remove_suffix(1);
        const std::string_view name = tag.substr(0, tag.find(' '));
        if (!kElements.contains(name))
            return fail("an unexpected element: " + std::string(name));
        tag.remove_prefix(name.size());
        while (!tag.empty()) {
            const size_t equals = tag.find("=\"");
            if (tag[0] != ' ' || equals == tag.npos || !kAttributes.contains(tag.substr(1, equals - 1)))
                return fail("an unexpected attribute: " + std::string(tag));
            const size_t quote = tag.find('"', equals + 2);
            if (quote == tag.npos || !is_text(tag.substr(equals + 2, quote - equals - 2)))
                return fail("a bad attribute: " + std::string(tag));
            tag.remove_prefix(quote + 1);
        }
        if (!closed)
            open.push_back(name);
    }
    return open.empty() || fail("an element is not closed");
}

}  // namespace dlent
