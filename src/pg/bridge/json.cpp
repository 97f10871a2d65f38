#include "pg/bridge/postgres.h"

#include "core/base/json_text.h"
#include "pg/bridge/json.h"
#include "pg/bridge/text.h"

namespace dlent::pg {

Json ParseJson(std::string_view server_text) {
    try {
        return Json::parse(ToUtf8(server_text));
    } catch (const Json::out_of_range&) {
        throw SqlError(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "a number in the JSON value is out of range");
    } catch (const Json::exception& error) {
        throw SqlError(ERRCODE_INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json",
                       error.what());
    }
}

Json JsonFromDatum(Datum jsonb) {
    const char* text = CallPostgres([jsonb] {
        Jsonb* value = DatumGetJsonbP(jsonb);
        return static_cast<const char*>(JsonbToCString(nullptr, &value->root, VARSIZE(value)));
    });
    return ParseJson(text);
}

Datum JsonbDatum(const Json& json) {
    const std::string text = FromUtf8(JsonText(json));
    return CallPostgres([&text] { return DirectFunctionCall1(jsonb_in, CStringGetDatum(text.c_str())); });
}

}  // namespace dlent::pg
