#include "pg/bridge/postgres.h"

#include "pg/source/canonical_inputs.h"

#include <charconv>
#include <cmath>

#include "pg/bridge/compat_rare.h"
#include "pg/bridge/memory.h"
#include "pg/bridge/text.h"
#include "pg/source/numeric.h"

extern "C" {
#include "common/shortest_dec.h"
#include "utils/array.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/json.h"
}

namespace dlent::pg {
namespace {

/// Labels of one column that are remembered; enums have fewer.
constexpr size_t kMostLabels = 65536;
/// Whole numbers up to here are exact as double.
constexpr double kLargestExact = 9007199254740992.0;

/// A value in C's terms, to pass the guard.
struct Plain {
    enum class Form { kNull, kInteger, kNumber, kNumbers, kText } form = Form::kNull;
    int64_t integer = 0;
    double number = 0.0;
    const double* numbers = nullptr;
    int count = 0;
    const char* text = nullptr;  ///< ASCII
};

Plain OfInteger(int64_t value) {
    return {.form = Plain::Form::kInteger, .integer = value};
}

Plain OfNumber(double value) {
    if (std::isnan(value))
        return {};
    if (value == std::trunc(value) && std::fabs(value) <= kLargestExact)
        return OfInteger(static_cast<int64_t>(value));
    return {.form = Plain::Form::kNumber, .number = value};
}

/// The double that the shortest digits of a float mean: 0.1, not 0.10000000149.
double OfFloat4(float value) {
    if (!std::isfinite(value))
        return value;
    char text[FLOAT_SHORTEST_DECIMAL_LEN];
    const int length = float_to_shortest_decimal_bufn(value, text);
    double number = value;
    std::from_chars(text, text + length, number);
    return number;
}

Plain ReadNumber(Datum value, Oid type) {
    switch (type) {
        case INT2OID:
            return OfInteger(DatumGetInt16(value));
        case INT4OID:
            return OfInteger(DatumGetInt32(value));
        case INT8OID:
            return OfInteger(DatumGetInt64(value));
        case FLOAT4OID:
            return OfNumber(OfFloat4(DatumGetFloat4(value)));
        case FLOAT8OID:
            return OfNumber(DatumGetFloat8(value));
        case NUMERICOID:
            return OfNumber(DoubleOfNumeric(value));
        case BOOLOID:
            return OfInteger(DatumGetBool(value) ? 1 : 0);
        default:
            return OfNumber(
                DatumGetFloat8(DirectFunctionCall1(float8in, CStringGetDatum(TextDatumGetCString(value)))));
    }
}

Plain ReadNumbers(Datum value) {
    ArrayType* array = DatumGetArrayTypeP(value);
    const Oid type = ARR_ELEMTYPE(array);
    int16 length = 0;
    bool by_value = false;
    char align = 'i';
    Datum* elements = nullptr;
    bool* nulls = nullptr;
    int count = 0;
    get_typlenbyvalalign(type, &length, &by_value, &align);
    deconstruct_array(array, type, length, by_value, align, &elements, &nulls, &count);
    auto* numbers = static_cast<double*>(palloc(sizeof(double) * (count + 1)));
    for (int i = 0; i < count; ++i) {
        const Plain element = nulls[i] ? Plain{} : ReadNumber(elements[i], getBaseType(type));
        numbers[i] = element.form == Plain::Form::kInteger  ? static_cast<double>(element.integer)
                     : element.form == Plain::Form::kNumber ? element.number
                                                            : std::numeric_limits<double>::quiet_NaN();
    }
    return {.form = Plain::Form::kNumbers, .numbers = numbers, .count = count};
}

/// As JSON of PostgreSQL spells it, with a blank between date and time.
Plain OfTime(Datum value, Oid type) {
    char text[MAXDATELEN + 1];
    const int utc = 0;
    JsonEncodeDateTime(text, value, type, type == TIMESTAMPTZOID ? &utc : nullptr);
    if (char* separator = std::strchr(text, 'T'); separator != nullptr)
        *separator = ' ';
    if (type == TIMESTAMPTZOID) {
        char* zone = std::strstr(text, "+00:00");
        if (zone != nullptr)
            memmove(zone + 3, zone + 6, std::strlen(zone + 6) + 1);
    }
    return {.form = Plain::Form::kText, .text = pstrdup(text)};
}

Plain ReadTimestamp(Datum value, Oid type, bool with_time_zone) {
    Timestamp timestamp = 0;
    if (type == DATEOID) {
        timestamp = TimestampOfDate(DatumGetDateADT(value));
    } else if (type == TIMESTAMPOID || type == TIMESTAMPTZOID) {
        timestamp = DatumGetTimestamp(value);
    } else {
        timestamp = DatumGetTimestamp(DirectFunctionCall3(with_time_zone ? timestamptz_in : timestamp_in,
                                                          CStringGetDatum(TextDatumGetCString(value)),
                                                          ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    }
    if (TIMESTAMP_NOT_FINITE(timestamp))
        return {};
    return OfTime(TimestampGetDatum(timestamp), with_time_zone ? TIMESTAMPTZOID : TIMESTAMPOID);
}

Plain ReadDate(Datum value, Oid type) {
    DateADT date = 0;
    if (type == DATEOID) {
        date = DatumGetDateADT(value);
    } else if (type == TIMESTAMPOID || type == TIMESTAMPTZOID) {
        const Timestamp timestamp = DatumGetTimestamp(value);
        if (TIMESTAMP_NOT_FINITE(timestamp))
            return {};
        date = static_cast<DateADT>(timestamp / USECS_PER_DAY - (timestamp % USECS_PER_DAY < 0 ? 1 : 0));
    } else {
        date = DatumGetDateADT(DirectFunctionCall1(date_in, CStringGetDatum(TextDatumGetCString(value))));
    }
    return DATE_NOT_FINITE(date) ? Plain{} : OfTime(DateADTGetDatum(date), DATEOID);
}

Plain ReadTime(Datum value, Oid type) {
    TimeADT time = 0;
    if (type == TIMEOID) {
        time = DatumGetTimeADT(value);
    } else if (type == TIMETZOID) {
        const TimeTzADT* zoned = DatumGetTimeTzADTP(value);
        time = (zoned->time + zoned->zone * USECS_PER_SEC) % USECS_PER_DAY;
        time += time < 0 ? USECS_PER_DAY : 0;
    } else {
        time = DatumGetTimeADT(DirectFunctionCall3(time_in, CStringGetDatum(TextDatumGetCString(value)),
                                                   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    }
    return OfTime(TimeADTGetDatum(time), TIMEOID);
}

Plain ReadInterval(Datum value, Oid type) {
    const Interval* interval = DatumGetIntervalP(
        type == INTERVALOID ? value
                            : DirectFunctionCall3(interval_in, CStringGetDatum(TextDatumGetCString(value)),
                                                  ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    if (!IsFinite(interval))
        return {};
    const int64 size = interval->time < 0 ? -interval->time : interval->time;
    return {.form = Plain::Form::kText,
            .text = psprintf("P%dM%dDT%s%lld.%06lldS", interval->month, interval->day,
                             interval->time < 0 ? "-" : "", static_cast<long long>(size / USECS_PER_SEC),
                             static_cast<long long>(size % USECS_PER_SEC))};
}

Plain ReadValue(const PipelineInput& input, const CanonicalInputs::Value& given, const Cell* cells) {
    if (given.is_null)
        return {};
    switch (input.kind) {
        case ColumnKind::kNumeric:
            return ReadNumber(given.value, given.type);
        case ColumnKind::kBoolean:
            return std::isnan(cells->f) ? Plain{} : OfInteger(cells->f != 0.0f ? 1 : 0);
        case ColumnKind::kTimestamp:
            return ReadTimestamp(given.value, given.type, input.type_name == "timestamp with time zone");
        case ColumnKind::kDate:
            return ReadDate(given.value, given.type);
        case ColumnKind::kTime:
            return ReadTime(given.value, given.type);
        case ColumnKind::kInterval:
            return ReadInterval(given.value, given.type);
        case ColumnKind::kVector:
            return ReadNumbers(given.value);
        case ColumnKind::kCategory:
            break;
    }
    return {};
}

/// Infinities have no number in JSON.
Json NumberJson(double value) {
    if (std::isnan(value))
        return nullptr;
    if (std::isinf(value))
        return value > 0 ? "Infinity" : "-Infinity";
    // as a parser of JSON would take the digits: the object reads the same when it comes back
    if (value == std::trunc(value)) {
        if (value >= -0x1p63 && value < 0x1p63)
            return static_cast<int64_t>(value);
        if (value > 0.0 && value < 0x1p64)
            return static_cast<uint64_t>(value);
    }
    return value;
}

Json PlainJson(const Plain& plain, ColumnKind kind) {
    switch (plain.form) {
        case Plain::Form::kNull:
            return nullptr;
        case Plain::Form::kInteger:
            return kind == ColumnKind::kBoolean ? Json(plain.integer != 0) : Json(plain.integer);
        case Plain::Form::kNumber:
            return NumberJson(plain.number);
        case Plain::Form::kText:
            return plain.text;
        case Plain::Form::kNumbers:
            break;
    }
    Json numbers = Json::array();
    for (int i = 0; i < plain.count; ++i) {
        // elements of JSON arrays are numbers, so the largest stands for infinity, as the network reads it
        const double number = plain.numbers[i];
        numbers.push_back(std::isinf(number) ? Json(std::copysign(std::numeric_limits<double>::max(), number))
                                             : NumberJson(number));
    }
    return numbers;
}

}  // namespace

int32_t CanonicalInputs::TextListener::Code(int, std::string_view text) {
    last_ = text;
    const auto known = codes_.find(last_);
    if (known != codes_.end())
        return known->second;
    if (texts_.size() >= kMostLabels)
        return -1;
    texts_.push_back(last_);
    const auto code = static_cast<int32_t>(texts_.size()) - 1;
    codes_.emplace(last_, code);
    return code;
}

const std::string& CanonicalInputs::TextListener::Text(int32_t code) const {
    return code < 0 ? last_ : texts_[static_cast<size_t>(code)];
}

CanonicalInputs::CanonicalInputs(const Pipeline& pipeline, MemoryContext context)
    : pipeline_(pipeline), context_(context), categories_(pipeline.inputs().size()) {
    for (const PipelineInput& input : pipeline.inputs())
        names_.push_back(FromUtf8(input.name));
}

void CanonicalInputs::PlanCategory(int input, Oid type) {
    const ContextScope scope(context_);
    auto category = std::make_unique<Category>();
    DecodeTarget target;
    target.name = names_[input];
    target.kind = ColumnKind::kCategory;
    target.coder = &category->listener;
    target.coder_column = input;
    category->type = type;
    category->decoder = ValueDecoder::Create(target, type);
    categories_[input] = std::move(category);
}

Json CanonicalInputs::Read(const Value* values, const Cell* cells) {
    const std::vector<PipelineInput>& inputs = pipeline_.inputs();
    const auto count = static_cast<int>(inputs.size());
    for (int i = 0; i < count; ++i) {
        if (inputs[i].kind == ColumnKind::kCategory && !values[i].is_null &&
            (categories_[i] == nullptr || categories_[i]->type != values[i].type))
            PlanCategory(i, values[i].type);
    }
    std::vector<Plain> plain(inputs.size());
    std::vector<Cell> codes(inputs.size());
    CallPostgres([&] {
        for (int i = 0; i < count; ++i) {
            if (inputs[i].kind != ColumnKind::kCategory)
                plain[i] = ReadValue(inputs[i], values[i], cells + pipeline_.first_cell(i));
            else if (!values[i].is_null)
                categories_[i]->decoder.Decode(values[i].value, false, &codes[i]);
        }
    });
    Json object = Json::object();
    for (int i = 0; i < count; ++i) {
        if (inputs[i].kind != ColumnKind::kCategory)
            object[inputs[i].name] = PlainJson(plain[i], inputs[i].kind);
        else if (values[i].is_null)
            object[inputs[i].name] = nullptr;
        else
            object[inputs[i].name] = categories_[i]->listener.Text(codes[i].code);
    }
    return object;
}

}  // namespace dlent::pg
