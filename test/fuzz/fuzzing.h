#pragma once

#include <algorithm>
#include <cstdlib>
#include <string_view>

/// What must hold whatever the input: anything else is a finding.
inline void Require(bool holds) {
    if (!holds)
        std::abort();
}

/// Takes a line off `bytes`, without its end.
inline std::string_view TakeLine(std::string_view* bytes) {
    const std::string_view line = bytes->substr(0, bytes->find('\n'));
    bytes->remove_prefix(std::min(line.size() + 1, bytes->size()));
    return line;
}
