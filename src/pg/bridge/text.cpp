#include "pg/bridge/postgres.h"

#include "pg/bridge/text.h"

#include <algorithm>

extern "C" {
#include "utils/datetime.h"
#include "utils/json.h"
}

namespace dlent::pg {
namespace {

using Convert = char*(const char*, int, int);

/// Means the same in every encoding that a server can have.
bool IsAscii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char byte) { return byte > 0 && byte < 0x7f; });
}

/// `convert` returns its argument when there is nothing to do.
std::string Converted(std::string_view text, Convert* convert) {
    if (IsAscii(text))
        return std::string(text);
    const char* result = CallPostgres([&] {
        const char* converted = convert(text.data(), static_cast<int>(text.size()), PG_UTF8);
        return converted == text.data() ? nullptr : converted;
    });
    return result == nullptr ? std::string(text) : std::string(result);
}

}  // namespace

std::string TextOf(Datum text) {
    struct View {
        const char* data;
        size_t size;
    };
    const View view = CallPostgres([text] {
        const struct varlena* value = PG_DETOAST_DATUM_PACKED(text);
        return View{VARDATA_ANY(value), static_cast<size_t>(VARSIZE_ANY_EXHDR(value))};
    });
    return std::string(view.data, view.size);
}

Datum TextDatum(std::string_view text) {
    return CallPostgres([text] {
        return PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size())));
    });
}

std::string ToUtf8(std::string_view server) {
    return Converted(server, pg_server_to_any);
}

std::string FromUtf8(std::string_view utf8) {
    return Converted(utf8, pg_any_to_server);
}

std::string UtcText(TimestampTz time) {
    char text[MAXDATELEN + 1] = {};
    CallPostgres([&text, time] {
        const int utc = 0;
        (void)JsonEncodeDateTime(text, TimestampTzGetDatum(time), TIMESTAMPTZOID, &utc);
    });
    return text;
}

std::string QuoteIdentifier(const std::string& name) {
    return CallPostgres([&] { return quote_identifier(name.c_str()); });
}

}  // namespace dlent::pg
