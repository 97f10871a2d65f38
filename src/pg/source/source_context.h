#pragma once

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// While it lives, errors say which source they are about. Positions in a source are not positions in the
/// user's statement: they are shown within the source's own text, as PostgreSQL does for the queries of
/// functions. For C++ frames, around the guard: workers' errors are described by it too, until they are gone.
class SourceContext {
 public:
    /// `query` must outlive it.
    explicit SourceContext(const char* query)
        : callback_{error_context_stack, Describe, const_cast<char*>(query)} {
        error_context_stack = &callback_;
    }
    ~SourceContext() { error_context_stack = callback_.previous; }
    SourceContext(const SourceContext&) = delete;
    SourceContext& operator=(const SourceContext&) = delete;

 private:
    static void Describe(void* argument) {
        const char* const text = static_cast<const char*>(argument);
        const int position = geterrposition();
        if (position > 0) {
            errposition(0);
            internalerrposition(position);
            internalerrquery(text);
        } else {
            errcontext("source \"%s\"", text);
        }
    }

    ErrorContextCallback callback_;
};

}  // namespace dlent::pg
