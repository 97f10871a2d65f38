#include "pg/bridge/postgres.h"

#include "pg/rollout/value_text.h"

extern "C" {
#include "common/shortest_dec.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/json.h"
}

namespace dlent::pg {
namespace {

constexpr int kWholeNumberLength = 21;

std::string_view WholeNumber(int64_t value) {
    auto* text = static_cast<char*>(palloc(kWholeNumberLength));
    return {text, static_cast<size_t>(pg_lltoa(value, text))};
}

}  // namespace

ValueText ValueText::Create(Oid type) {
    ValueText text;
    text.type_ = getBaseType(type);
    switch (text.type_) {
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case FLOAT4OID:
        case FLOAT8OID:
        case BOOLOID:
        case TEXTOID:
        case VARCHAROID:
        case DATEOID:
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            break;
        default: {
            Oid output = InvalidOid;
            bool is_varlena = false;
            getTypeOutputInfo(text.type_, &output, &is_varlena);
            text.output_ = static_cast<FmgrInfo*>(palloc(sizeof(FmgrInfo)));
            fmgr_info(output, text.output_);
        }
    }
    return text;
}

std::string_view ValueText::Of(Datum value) const {
    switch (type_) {
        case INT2OID:
            return WholeNumber(DatumGetInt16(value));
        case INT4OID:
            return WholeNumber(DatumGetInt32(value));
        case INT8OID:
            return WholeNumber(DatumGetInt64(value));
        case FLOAT4OID: {
            auto* text = static_cast<char*>(palloc(FLOAT_SHORTEST_DECIMAL_LEN));
            return {text, static_cast<size_t>(float_to_shortest_decimal_bufn(DatumGetFloat4(value), text))};
        }
        case FLOAT8OID: {
            auto* text = static_cast<char*>(palloc(DOUBLE_SHORTEST_DECIMAL_LEN));
            return {text, static_cast<size_t>(double_to_shortest_decimal_bufn(DatumGetFloat8(value), text))};
        }
        case BOOLOID:
            return DatumGetBool(value) ? "true" : "false";
        case TEXTOID:
        case VARCHAROID: {
            const struct varlena* text = PG_DETOAST_DATUM_PACKED(value);
            return {VARDATA_ANY(text), static_cast<size_t>(VARSIZE_ANY_EXHDR(text))};
        }
        case DATEOID:
        case TIMESTAMPOID:
        case TIMESTAMPTZOID: {
            const int utc = 0;
            auto* text = static_cast<char*>(palloc(MAXDATELEN + 1));
            return JsonEncodeDateTime(text, value, type_, type_ == TIMESTAMPTZOID ? &utc : nullptr);
        }
        default:
            return OutputFunctionCall(output_, value);
    }
}

}  // namespace dlent::pg
