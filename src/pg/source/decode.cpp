#include "pg/bridge/postgres.h"

#include "pg/source/decode.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "pg/bridge/compat_rare.h"
#include "pg/source/numeric.h"

extern "C" {
#include "access/transam.h"
#include "access/tupmacs.h"
#include "common/shortest_dec.h"
#include "utils/array.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/numeric.h"
#include "utils/uuid.h"
}

namespace dlent::pg {

namespace {

/// A toastable value in memory, with any header; freed at the end of its use, since a row may hold megabytes.
struct Detoasted {
    explicit Detoasted(Datum value)
        : stored(reinterpret_cast<struct varlena*>(DatumGetPointer(value))),
          plain(pg_detoast_datum_packed(stored)) {}
    const char* data() const { return VARDATA_ANY(plain); }
    size_t size() const { return VARSIZE_ANY_EXHDR(plain); }
    void Free() {
        if (plain != stored)
            pfree(plain);
    }

    struct varlena* stored;
    struct varlena* plain;
};
static_assert(std::is_trivially_destructible_v<Detoasted>);

// ---- values as numbers ----

double OfInt2(Datum value) {
    return DatumGetInt16(value);
}
double OfInt4(Datum value) {
    return DatumGetInt32(value);
}
double OfInt8(Datum value) {
    return static_cast<double>(DatumGetInt64(value));
}
double OfFloat4(Datum value) {
    return DatumGetFloat4(value);
}
double OfFloat8(Datum value) {
    return DatumGetFloat8(value);
}
double OfBool(Datum value) {
    return DatumGetBool(value) ? 1.0 : 0.0;
}
double OfNumberText(Datum text) {
    return DatumGetFloat8(DirectFunctionCall1(float8in, text));
}
double OfBooleanText(Datum text) {
    return OfBool(DirectFunctionCall1(boolin, text));
}

// ---- values as times ----

Timestamp OfTimestamp(Datum value) {
    return DatumGetTimestamp(value);
}
Timestamp OfDateAsTimestamp(Datum value) {
    return TimestampOfDate(DatumGetDateADT(value));
}
DateADT OfDate(Datum value) {
    return DatumGetDateADT(value);
}
DateADT OfTimestampAsDate(Datum value) {
    const Timestamp timestamp = DatumGetTimestamp(value);
    if (TIMESTAMP_IS_NOBEGIN(timestamp))
        return DATEVAL_NOBEGIN;
    if (TIMESTAMP_IS_NOEND(timestamp))
        return DATEVAL_NOEND;
    int64 days = timestamp / USECS_PER_DAY;
    if (timestamp % USECS_PER_DAY < 0)
        --days;
    return static_cast<DateADT>(days);
}
TimeADT OfTime(Datum value) {
    return DatumGetTimeADT(value);
}
TimeADT OfTimeWithZone(Datum value) {
    const TimeTzADT* time = DatumGetTimeTzADTP(value);
    int64 microseconds = (time->time + time->zone * USECS_PER_SEC) % USECS_PER_DAY;
    return microseconds < 0 ? microseconds + USECS_PER_DAY : microseconds;
}
double OfInterval(Datum value) {
    const Interval* interval = DatumGetIntervalP(value);
    if (!IsFinite(interval))
        return std::numeric_limits<double>::quiet_NaN();
    return (static_cast<double>(interval->month) * DAYS_PER_MONTH + interval->day) * SECS_PER_DAY +
           static_cast<double>(interval->time) / USECS_PER_SEC;
}
Datum ParseWithTypmod(PGFunction input, Datum text) {
    return DirectFunctionCall3(input, text, ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

}  // namespace

/// A direct-mapped cache: enum_out() looks the label up in the catalog each time.
struct OidCodes {
    static constexpr Oid kSlots = 64;
    Oid oid[kSlots];
    int32_t code[kSlots];
};

/// What a ValueDecoder can point to. Nothing here has a destructor: an error may leave any of it by longjmp.
struct DecodeFunctions {
    using Self = const ValueDecoder&;
    using Function = ValueDecoder::Function;

    // ---- one float ----
    template <double (*Get)(Datum)>
    static void Number(Self, Datum value, Cell* cells) {
        cells->f = static_cast<float>(Get(value));
    }
    template <double (*Get)(Datum)>
    static void Boolean(Self, Datum value, Cell* cells) {
        const double number = Get(value);
        cells->f = std::isnan(number) ? ColumnarTable::kNull : static_cast<float>(number != 0.0);
    }

    // ---- times ----
    template <Timestamp (*Get)(Datum)>
    static void TimestampKind(Self, Datum value, Cell* cells) {
        TimestampCells(Get(value), &cells->f);
    }
    template <DateADT (*Get)(Datum)>
    static void DateKind(Self, Datum value, Cell* cells) {
        DateCells(Get(value), &cells->f);
    }
    template <TimeADT (*Get)(Datum)>
    static void TimeKind(Self, Datum value, Cell* cells) {
        TimeCells(Get(value), &cells->f);
    }
    static void TimestampText(Self self, Datum text, Cell* cells) {
        TimestampCells(
            DatumGetTimestamp(ParseWithTypmod(self.with_time_zone_ ? timestamptz_in : timestamp_in, text)),
            &cells->f);
    }
    static void DateText(Self, Datum text, Cell* cells) {
        DateCells(DatumGetDateADT(DirectFunctionCall1(date_in, text)), &cells->f);
    }
    static void TimeText(Self, Datum text, Cell* cells) {
        TimeCells(DatumGetTimeADT(ParseWithTypmod(time_in, text)), &cells->f);
    }
    static void IntervalText(Self, Datum text, Cell* cells) {
        cells->f = static_cast<float>(OfInterval(ParseWithTypmod(interval_in, text)));
    }

    // ---- categories ----
    static int32_t Code(Self self, const char* data, size_t size) {
        if (!self.convert_encoding_)
            return self.coder_->Code(self.coder_column_, {data, size});
        char* const utf8 = pg_server_to_any(data, static_cast<int>(size), PG_UTF8);
        if (utf8 == data)
            return self.coder_->Code(self.coder_column_, {data, size});
        const int32_t code = self.coder_->Code(self.coder_column_, utf8);
        pfree(utf8);
        return code;
    }
    static void Category(Self self, const char* data, size_t size, Cell* cells) {
        cells->code = Code(self, data, size);
    }
    static void CategoryText(Self self, Datum value, Cell* cells) {
        Detoasted text(value);
        Category(self, text.data(), text.size(), cells);
        text.Free();
    }
    /// Without the blanks that pad a char(n), as a cast to text gives it.
    static void CategoryPadded(Self self, Datum value, Cell* cells) {
        Detoasted text(value);
        size_t size = text.size();
        while (size > 0 && text.data()[size - 1] == ' ')
            --size;
        Category(self, text.data(), size, cells);
        text.Free();
    }
    static void CategoryName(Self self, Datum value, Cell* cells) {
        const char* name = NameStr(*DatumGetName(value));
        Category(self, name, strlen(name), cells);
    }
    static void CategoryCString(Self self, Datum value, Cell* cells) {
        const char* text = DatumGetCString(value);
        Category(self, text, strlen(text), cells);
    }
    static void CategoryBool(Self self, Datum value, Cell* cells) {
        const std::string_view text = DatumGetBool(value) ? "true" : "false";
        Category(self, text.data(), text.size(), cells);
    }
    template <typename Integer>
    static void CategoryInteger(Self self, Datum value, Cell* cells) {
        char text[24];
        const char* end = std::to_chars(text, text + sizeof(text), static_cast<Integer>(value)).ptr;
        Category(self, text, static_cast<size_t>(end - text), cells);
    }
    // The shortest text that reads back as the same number, whatever extra_float_digits says.
    static void CategoryFloat4(Self self, Datum value, Cell* cells) {
        char text[FLOAT_SHORTEST_DECIMAL_LEN];
        Category(self, text, float_to_shortest_decimal_bufn(DatumGetFloat4(value), text), cells);
    }
    static void CategoryFloat8(Self self, Datum value, Cell* cells) {
        char text[DOUBLE_SHORTEST_DECIMAL_LEN];
        Category(self, text, double_to_shortest_decimal_bufn(DatumGetFloat8(value), text), cells);
    }
    /// 1.50 and 1.5 are one category.
    static void CategoryNumeric(Self self, Datum value, Cell* cells) {
        const Datum trimmed = DirectFunctionCall1(numeric_trim_scale, value);
        char* const text = DatumGetCString(DirectFunctionCall1(numeric_out, trimmed));
        Category(self, text, strlen(text), cells);
        pfree(text);
        pfree(DatumGetPointer(trimmed));
    }
    /// ISO 8601 in UTC, whatever DateStyle and TimeZone say.
    template <Oid Type>
    static void CategoryTime(Self self, Datum value, Cell* cells) {
        char text[MAXDATELEN + 1];
        const int utc = 0;
        JsonEncodeDateTime(text, value, Type, Type == TIMESTAMPTZOID ? &utc : nullptr);
        Category(self, text, strlen(text), cells);
    }
    static void CategoryOutput(Self self, Datum value, Cell* cells) {
        char* const text = OutputFunctionCall(self.output_, value);
        Category(self, text, strlen(text), cells);
        pfree(text);
    }
    static void CategoryEnum(Self self, Datum value, Cell* cells) {
        const Oid label = DatumGetObjectId(value);
        const Oid slot = label % OidCodes::kSlots;
        if (self.oid_codes_->oid[slot] != label) {
            char* const text = OutputFunctionCall(self.output_, value);
            const int32_t code = Code(self, text, strlen(text));
            pfree(text);
            self.oid_codes_->code[slot] = code;
            self.oid_codes_->oid[slot] = label;
        }
        cells->code = self.oid_codes_->code[slot];
    }

    // ---- text that spells a value of another kind ----
    static void NameColumn(void* name) { errcontext("column \"%s\"", static_cast<const char*>(name)); }
    /// Errors of the input functions say what they could not read; this says where it was.
    static void Parse(Self self, Datum text, Cell* cells) {
        ErrorContextCallback context{error_context_stack, NameColumn, const_cast<char*>(self.name_)};
        error_context_stack = &context;
        self.from_text_(self, text, cells);
        error_context_stack = context.previous;
    }
    static void Text(Self self, Datum value, Cell* cells) {
        Detoasted text(value);
        char buffer[128];
        const bool fits = text.size() < sizeof(buffer);
        char* const copy = fits ? buffer : static_cast<char*>(palloc(text.size() + 1));
        memcpy(copy, text.data(), text.size());
        copy[text.size()] = '\0';
        Parse(self, CStringGetDatum(copy), cells);
        if (!fits)
            pfree(copy);
        text.Free();
    }

    // ---- arrays ----
    static void Array(Self self, Datum value, Cell* cells) {
        ArrayType* const array = DatumGetArrayTypeP(value);
        const int count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
        if (count != self.width_)
            ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                            errmsg("column \"%s\" has an array of %d elements where %d are expected",
                                   self.name_, count, self.width_),
                            errhint("All arrays of a feature must have the same length.")));
        const uint8* nulls = ARR_NULLBITMAP(array);
        const char* data = ARR_DATA_PTR(array);
        for (int i = 0; i < count; ++i) {
            if (nulls != nullptr && !(nulls[i / 8] & (1 << (i % 8)))) {
                cells[i].f = ColumnarTable::kNull;
                continue;
            }
            const Datum element = fetch_att(data, self.element_by_value_, self.element_length_);
            self.element_(self, element, &cells[i]);
            data = att_addlength_pointer(data, self.element_length_, data);
            data = reinterpret_cast<const char*>(att_align_nominal(data, self.element_align_));
        }
        if (PointerGetDatum(array) != value)
            pfree(array);
    }

    // ---- the choice ----
    static Function FromText(ColumnKind kind) {
        switch (kind) {
            case ColumnKind::kNumeric:
                return Number<OfNumberText>;
            case ColumnKind::kBoolean:
                return Boolean<OfBooleanText>;
            case ColumnKind::kTimestamp:
                return TimestampText;
            case ColumnKind::kDate:
                return DateText;
            case ColumnKind::kTime:
                return TimeText;
            case ColumnKind::kInterval:
                return IntervalText;
            case ColumnKind::kCategory:
                return CategoryCString;
            case ColumnKind::kVector:
                break;
        }
        return nullptr;
    }
    static Function FromNumber(Oid type) {
        switch (type) {
            case INT2OID:
                return Number<OfInt2>;
            case INT4OID:
                return Number<OfInt4>;
            case INT8OID:
                return Number<OfInt8>;
            case FLOAT4OID:
                return Number<OfFloat4>;
            case FLOAT8OID:
                return Number<OfFloat8>;
            case NUMERICOID:
                return Number<DoubleOfNumeric>;
            case BOOLOID:
                return Number<OfBool>;
        }
        return nullptr;
    }
    static Function FromTruth(Oid type) {
        switch (type) {
            case INT2OID:
                return Boolean<OfInt2>;
            case INT4OID:
                return Boolean<OfInt4>;
            case INT8OID:
                return Boolean<OfInt8>;
            case FLOAT4OID:
                return Boolean<OfFloat4>;
            case FLOAT8OID:
                return Boolean<OfFloat8>;
            case NUMERICOID:
                return Boolean<DoubleOfNumeric>;
            case BOOLOID:
                return Number<OfBool>;
        }
        return nullptr;
    }
    static Function FromCategory(Oid type) {
        switch (type) {
            case TEXTOID:
            case VARCHAROID:
                return CategoryText;
            case BPCHAROID:
                return CategoryPadded;
            case NAMEOID:
                return CategoryName;
            case BOOLOID:
                return CategoryBool;
            case INT2OID:
                return CategoryInteger<int16>;
            case INT4OID:
                return CategoryInteger<int32>;
            case INT8OID:
                return CategoryInteger<int64>;
            case FLOAT4OID:
                return CategoryFloat4;
            case FLOAT8OID:
                return CategoryFloat8;
            case NUMERICOID:
                return CategoryNumeric;
            case DATEOID:
                return CategoryTime<DATEOID>;
            case TIMEOID:
                return CategoryTime<TIMEOID>;
            case TIMETZOID:
                return CategoryTime<TIMETZOID>;
            case TIMESTAMPOID:
                return CategoryTime<TIMESTAMPOID>;
            case TIMESTAMPTZOID:
                return CategoryTime<TIMESTAMPTZOID>;
        }
        return nullptr;
    }
    static Function FromTime(ColumnKind kind, Oid type) {
        const bool timestamp = type == TIMESTAMPOID || type == TIMESTAMPTZOID;
        if (kind == ColumnKind::kTimestamp)
            return timestamp ? TimestampKind<OfTimestamp>
                             : (type == DATEOID ? TimestampKind<OfDateAsTimestamp> : nullptr);
        if (kind == ColumnKind::kDate)
            return timestamp ? DateKind<OfTimestampAsDate> : (type == DATEOID ? DateKind<OfDate> : nullptr);
        if (kind == ColumnKind::kTime)
            return type == TIMEOID ? TimeKind<OfTime>
                                   : (type == TIMETZOID ? TimeKind<OfTimeWithZone> : nullptr);
        return type == INTERVALOID ? Number<OfInterval> : nullptr;
    }

    static ValueDecoder Make(const DecodeTarget& target, Oid declared_type);
};

namespace {

/// What the catalog knows of a type; plain values, to pass the guard.
struct TypeFacts {
    Oid base;
    Oid element;  ///< of a true array
    char type_class;
    char category;
    int16 element_length;
    bool element_by_value;
    char element_align;
};

TypeFacts LookUpType(Oid type) {
    TypeFacts facts{};
    facts.base = getBaseType(type);
    facts.element = get_element_type(facts.base);
    if (OidIsValid(facts.element)) {
        facts.element = getBaseType(facts.element);
        get_typlenbyvalalign(facts.element, &facts.element_length, &facts.element_by_value,
                             &facts.element_align);
    }
    bool preferred;
    facts.type_class = get_typtype(facts.base);
    get_type_category_preferred(facts.base, &facts.category, &preferred);
    return facts;
}

/// A column is mostly of the type of the one before, and of one of PostgreSQL's own, which nobody can change.
TypeFacts DescribeType(Oid type) {
    static Oid last_type = InvalidOid;
    static TypeFacts last;
    if (type != last_type || type >= FirstUnpinnedObjectId) {
        last_type = InvalidOid;
        last = LookUpType(type);
        last_type = type;
    }
    return last;
}

/// As messages name it, in the current memory context.
const char* TypeName(Oid type) {
    return CallPostgres([type] { return format_type_be(type); });
}

bool IsText(const TypeFacts& facts) {
    return facts.base == TEXTOID || facts.base == VARCHAROID || facts.base == BPCHAROID;
}

/// Types that are read as categories by their output text, which no setting changes.
bool IsNamed(const TypeFacts& facts) {
    if (facts.type_class == TYPTYPE_ENUM)
        return true;
    if (facts.type_class != TYPTYPE_BASE || OidIsValid(facts.element))
        return false;
    return facts.category == TYPCATEGORY_STRING || facts.category == TYPCATEGORY_NETWORK ||
           facts.category == TYPCATEGORY_BITSTRING || facts.base == UUIDOID || facts.base == MACADDROID ||
           facts.base == MACADDR8OID || facts.base == CHAROID;
}

const char* RefusalHint(const TypeFacts& facts) {
    switch (facts.base) {
        case JSONOID:
        case JSONBOID:
            return "Select the fields that matter as columns, for example (payload->>'amount')::numeric.";
        case CASHOID:
            return "Cast it to numeric.";
        case BYTEAOID:
            return "Binary values have no meaning to a network; exclude the column.";
        case TSVECTOROID:
        case TSQUERYOID:
            return "Select the text, or columns computed from it.";
        case OIDOID:
            return "Cast it to text to make it a category, or to bigint to make it a number.";
    }
    if (facts.type_class == TYPTYPE_COMPOSITE)
        return "Select its fields as columns.";
    if (facts.type_class == TYPTYPE_RANGE || facts.type_class == TYPTYPE_MULTIRANGE)
        return "Select lower(), upper() or their difference.";
    if (facts.category == TYPCATEGORY_GEOMETRIC)
        return "Select coordinates, areas or distances as columns.";
    if (OidIsValid(facts.element))
        return "Arrays can be features when their elements are numbers.";
    return "Cast it to a number, a time, or text to make it a category.";
}

}  // namespace

Expected<ColumnKind> KindOfType(Oid type, const std::string& column) {
    const TypeFacts facts = CallPostgres([type] { return DescribeType(type); });
    if (OidIsValid(facts.element)) {
        if (facts.element != BOOLOID && DecodeFunctions::FromNumber(facts.element) != nullptr)
            return ColumnKind::kVector;
    } else {
        switch (facts.base) {
            case INT2OID:
            case INT4OID:
            case INT8OID:
            case FLOAT4OID:
            case FLOAT8OID:
            case NUMERICOID:
                return ColumnKind::kNumeric;
            case BOOLOID:
                return ColumnKind::kBoolean;
            case TIMESTAMPOID:
            case TIMESTAMPTZOID:
                return ColumnKind::kTimestamp;
            case DATEOID:
                return ColumnKind::kDate;
            case TIMEOID:
            case TIMETZOID:
                return ColumnKind::kTime;
            case INTERVALOID:
                return ColumnKind::kInterval;
            case UNKNOWNOID:
                return ColumnKind::kCategory;
        }
        if (IsNamed(facts))
            return ColumnKind::kCategory;
    }
    return Status(StatusCode::kUnsupported,
                  "column \"" + column + "\" of type " + TypeName(type) + " cannot be used by a network", {},
                  RefusalHint(facts));
}

ValueDecoder DecodeFunctions::Make(const DecodeTarget& target, Oid declared_type) {
    ValueDecoder decoder;
    const TypeFacts facts = CallPostgres([&] {
        decoder.name_ = pstrdup(target.name.c_str());
        return DescribeType(declared_type);
    });
    const Oid type = facts.base;
    decoder.width_ = target.width;
    decoder.kind_ = target.kind;
    decoder.with_time_zone_ = target.with_time_zone;
    decoder.coder_ = target.coder;
    decoder.coder_column_ = target.coder_column;
    decoder.convert_encoding_ = GetDatabaseEncoding() != PG_UTF8;
    decoder.from_text_ = FromText(target.kind);

    if (type == UNKNOWNOID || type == CSTRINGOID) {
        decoder.decode_ = target.kind == ColumnKind::kCategory ? CategoryCString : Parse;
    } else if (target.kind == ColumnKind::kVector) {
        if (OidIsValid(facts.element) && facts.element != BOOLOID) {
            decoder.element_ = FromNumber(facts.element);
            decoder.element_length_ = facts.element_length;
            decoder.element_by_value_ = facts.element_by_value;
            decoder.element_align_ = facts.element_align;
            if (decoder.element_ != nullptr)
                decoder.decode_ = Array;
        }
    } else if (OidIsValid(facts.element)) {
        decoder.decode_ = nullptr;
    } else if (target.kind == ColumnKind::kCategory) {
        decoder.decode_ = FromCategory(type);
        if (decoder.decode_ == nullptr && IsNamed(facts)) {
            decoder.decode_ = facts.type_class == TYPTYPE_ENUM ? CategoryEnum : CategoryOutput;
            decoder.output_ = CallPostgres([type] {
                Oid function;
                bool is_varlena;
                getTypeOutputInfo(type, &function, &is_varlena);
                auto* info = static_cast<FmgrInfo*>(palloc(sizeof(FmgrInfo)));
                fmgr_info(function, info);
                return info;
            });
            if (facts.type_class == TYPTYPE_ENUM)
                decoder.oid_codes_ =
                    CallPostgres([] { return static_cast<OidCodes*>(palloc0(sizeof(OidCodes))); });
        }
    } else if (IsText(facts)) {
        decoder.decode_ = Text;
    } else if (target.kind == ColumnKind::kNumeric) {
        decoder.decode_ = FromNumber(type);
    } else if (target.kind == ColumnKind::kBoolean) {
        decoder.decode_ = FromTruth(type);
    } else {
        decoder.decode_ = FromTime(target.kind, type);
    }
    if (decoder.decode_ == nullptr) {
        const Expected<ColumnKind> usual = KindOfType(declared_type, target.name);
        throw SqlError(ERRCODE_DATATYPE_MISMATCH,
                       "column \"" + target.name + "\" of type " + TypeName(declared_type) +
                           " cannot be read as " + ColumnKindName(target.kind),
                       {},
                       usual.ok() ? std::string("Its values can be read as ") + ColumnKindName(*usual) + "."
                                  : usual.status().hint());
    }
    return decoder;
}

ValueDecoder ValueDecoder::Create(const DecodeTarget& target, Oid type) {
    return DecodeFunctions::Make(target, type);
}

void ValueDecoder::SetNull(Cell* cells) const {
    if (kind_ == ColumnKind::kCategory) {
        cells->code = coder_->NullCode(coder_column_);
        return;
    }
    for (int i = 0; i < width_; ++i)
        cells[i].f = ColumnarTable::kNull;
}

void ValueDecoder::ForgetCodes() const {
    if (oid_codes_ != nullptr)
        *oid_codes_ = OidCodes{};
}

RowDecoder::RowDecoder(std::vector<Column> columns) : columns_(std::move(columns)) {
    for (const Column& column : columns_) {
        cell_count_ += column.decoder.width();
        if (column.attribute >= attributes_needed_)
            attributes_needed_ = column.attribute + 1;
    }
}

std::optional<FixedTupleDecoder> FixedTupleDecoder::Create(const RowDecoder& rows, TupleDesc tuple) {
    struct Stored {
        Oid type;
        NumberType number;
    };
    static_assert(sizeof(bool) == 1 && USE_FLOAT8_BYVAL);
    constexpr Stored kTypes[] = {{INT2OID, NumberType::kInt16},     {INT4OID, NumberType::kInt32},
                                 {INT8OID, NumberType::kInt64},     {FLOAT4OID, NumberType::kFloat32},
                                 {FLOAT8OID, NumberType::kFloat64}, {BOOLOID, NumberType::kBool}};
    FixedTupleDecoder decoder;
    decoder.attributes_needed_ = rows.attributes_needed();
    std::vector<int> offsets;
    int end = 0;
    for (int i = 0; i < rows.attributes_needed(); ++i) {
        const FormData_pg_attribute* attribute = TupleDescAttr(tuple, i);
        if (attribute->attlen <= 0)
            return std::nullopt;
        offsets.push_back(static_cast<int>(att_align_nominal(end, attribute->attalign)));
        end = offsets.back() + attribute->attlen;
    }
    for (const RowDecoder::Column& column : rows.columns()) {
        const Oid declared = TupleDescAttr(tuple, column.attribute)->atttypid;
        const auto* stored = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const Stored& candidate) {
            return candidate.type == declared &&
                   column.decoder.decode_ == DecodeFunctions::FromNumber(declared);
        });
        if (stored == std::end(kTypes))
            return std::nullopt;
        const int offset = offsets[column.attribute];
        const int width = TupleDescAttr(tuple, column.attribute)->attlen;
        if (!decoder.runs_.empty()) {
            Run& last = decoder.runs_.back();
            if (last.type == stored->number && last.offset + last.count * width == offset) {
                ++last.count;
                continue;
            }
        }
        decoder.runs_.push_back({stored->number, offset, 1});
    }
    return decoder;
}

bool FixedTupleDecoder::Decode(const HeapTupleHeaderData* tuple, Cell* cells) const {
    static_assert(sizeof(Cell) == sizeof(float));
    if ((tuple->t_infomask & HEAP_HASNULL) != 0 || HeapTupleHeaderGetNatts(tuple) < attributes_needed_)
        return false;
    const char* data = reinterpret_cast<const char*>(tuple) + tuple->t_hoff;
    for (const Run& run : runs_) {
        kernels_->floats(run.type, data + run.offset, run.count, &cells->f);
        cells += run.count;
    }
    return true;
}

}  // namespace dlent::pg
