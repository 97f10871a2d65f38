#pragma once

#include <string_view>

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// Values of one type as text, that of its output function; but numbers, times and booleans in one form,
/// whatever a session's settings: the same customer is the same text everywhere. Trivially copyable.
class ValueText {
 public:
    ValueText() = default;
    /// Of a type; a domain as its base type. Keeps what it needs in the current memory context. Raises
    /// PostgreSQL errors.
    static ValueText Create(Oid type);

    /// Lies in the value, or in the current memory context. Raises PostgreSQL errors.
    std::string_view Of(Datum value) const;

 private:
    Oid type_ = InvalidOid;
    FmgrInfo* output_ = nullptr;  ///< of types that have no form of ours
};

}  // namespace dlent::pg
