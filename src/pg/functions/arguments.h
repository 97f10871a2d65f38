#pragma once

#include "pg/bridge/text.h"

namespace dlent::pg {

/// The text of argument `number`; 22004 naming it when it is NULL.
inline std::string RequiredText(FunctionCallInfo fcinfo, int number, const char* name,
                                const char* hint = "") {
    if (PG_ARGISNULL(number))
        throw SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string(name) + " must not be NULL", {}, hint);
    return TextOf(PG_GETARG_DATUM(number));
}

}  // namespace dlent::pg
