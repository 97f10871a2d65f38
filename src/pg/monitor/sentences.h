#pragma once

#include <cstdio>
#include <string>

namespace dlent::pg {

// How numbers are said in reasons.

inline std::string Number(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.4g", value);
    return text;
}

inline std::string Count(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.0f", value);
    return text;
}

inline std::string Percent(double share) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.3g %%", 100.0 * share);
    return text;
}

}  // namespace dlent::pg
