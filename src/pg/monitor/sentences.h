#pragma once

#include <cstdio>
#include <string>

#include "core/base/short_number.h"

namespace dlent::pg {

// How numbers are said in reasons.

inline std::string Number(double value) {
    return ShortNumber(value);
}

inline std::string Count(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.0f", value);
    return text;
}

inline std::string Percent(double share) {
    return ShortNumber(100.0 * share, 3) + " %";
}

}  // namespace dlent::pg
