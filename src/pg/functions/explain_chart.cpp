// dlent_explain_svg, dlent_explain_text: pictures of an explanation document.

#include "pg/bridge/postgres.h"

#include "core/explain/chart.h"
#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/text.h"

extern "C" {
#include "mb/pg_wchar.h"
}

using namespace dlent::pg;

DLENT_FUNCTION(dlent_explain_svg) {
    return Entry(fcinfo, [fcinfo] {
        return TextDatum(ValueOrThrow(dlent::ExplanationSvg(JsonFromDatum(PG_GETARG_DATUM(0)))));
    });
}

DLENT_FUNCTION(dlent_explain_text) {
    return Entry(fcinfo, [fcinfo] {
        // what cannot hold every character may lack those of the bars
        const bool unicode = GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII;
        return TextDatum(
            FromUtf8(ValueOrThrow(dlent::ExplanationText(JsonFromDatum(PG_GETARG_DATUM(0)), unicode))));
    });
}
