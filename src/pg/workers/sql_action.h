#pragma once

#include "pg/workers/job_action.h"

namespace dlent::pg {

/// An argument of an action that calls one of our SQL functions.
struct SqlArgument {
    const char* name;
    enum class Type { kText, kJson } type;
    bool required;
};

/// Checks `arguments` against a list; 22023 for what is missing, unknown or of a wrong type.
Json CheckSqlArguments(const Json& arguments, const SqlArgument* known, int count);

/// Calls function(model, arguments in the order of the list) of the extension's schema and returns its first
/// value as JSON. Arguments that are not given are left to their defaults by name.
Json CallSqlFunction(JobContext& context, const char* function, const SqlArgument* known, int count);

}  // namespace dlent::pg
