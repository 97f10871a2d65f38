#pragma once

#include "pg/bridge/error.h"

namespace dlent::pg {

/// The bytes of a text argument, in the server's encoding. Detoasts; throws PgError.
std::string TextOf(Datum text);
/// A new text Datum in the current memory context.
Datum TextDatum(std::string_view text);

/// The core speaks UTF-8 whatever the database's encoding; these convert, and copy only when they must.
std::string ToUtf8(std::string_view server);
std::string FromUtf8(std::string_view utf8);

/// A time as ISO 8601 in UTC, whatever the session's settings.
std::string UtcText(TimestampTz time);

/// `name` between double quotes where SQL needs them.
std::string QuoteIdentifier(const std::string& name);

}  // namespace dlent::pg
