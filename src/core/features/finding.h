#pragma once

#include <string>

namespace dlent {

/// What a user should be told and what is kept with the version.
struct Finding {
    enum class Severity { kNotice, kWarning };
    Severity severity = Severity::kNotice;
    std::string code;    ///< stable: "EXCLUDED_CONSTANT", "LEAK_FEATURE", ...
    std::string column;  ///< empty when it is about the whole
    std::string message;
    std::string hint;
};

}  // namespace dlent
