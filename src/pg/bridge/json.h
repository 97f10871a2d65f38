#pragma once

#include <optional>

#include "core/base/json.h"
#include "pg/bridge/error.h"

namespace dlent::pg {

/// A jsonb value as the core's Json. Integers up to 64 bits are kept exactly, other numbers as double; a
/// number beyond double's range is error 22003.
Json JsonFromDatum(Datum jsonb);
/// A new jsonb Datum in the current memory context. NaN and infinities become null.
Datum JsonbDatum(const Json& json);
/// JSON text as read from a table (text columns, GUCs); 22P02 when it is none.
Json ParseJson(std::string_view server_text);

inline Json OrNull(const std::optional<double>& number) {
    return number ? Json(*number) : Json(nullptr);
}

}  // namespace dlent::pg
