#pragma once

#include <cstdio>
#include <string>

namespace dlent {

/// A number as sentences say it: `digits` significant digits, without trailing zeros.
inline std::string ShortNumber(double value, int digits = 4) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.*g", digits, value);
    return text;
}

}  // namespace dlent
