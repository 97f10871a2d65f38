// dlent_profile and dlent_suggest: what the columns of a source hold, and what could be expected of them. One
// pass, nothing written.

#include "pg/bridge/postgres.h"

#include <cmath>

#include "core/profile/column_profile.h"
#include "core/profile/suggest.h"
#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/option_reader.h"
#include "pg/catalog/writer.h"
#include "pg/functions/arguments.h"
#include "pg/source/source.h"

extern "C" {
#include "commands/defrem.h"
#include "utils/date.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
}

namespace dlent::pg {
namespace {

struct ProfileOptions {
    std::vector<std::string> columns;  ///< server encoding; empty: all

    static ProfileOptions Parse(const Json& json);
};

ProfileOptions ProfileOptions::Parse(const Json& json) {
    const OptionReader reader(json, {"columns"});
    return {reader.Names("columns", "an array of column names")};
}

/// A value on its way from PostgreSQL, without a destructor.
struct Value {
    double number;
    int64_t time;
    const char* text;
    size_t size;
};

/// How values of a type are read.
struct Reader {
    ProfileKind kind;
    Oid type;
    FmgrInfo* output;  ///< of types that are read by their text
};

Reader MakeReader(Oid type) {
    switch (type) {
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case FLOAT4OID:
        case FLOAT8OID:
        case NUMERICOID:
            return {ProfileKind::kNumeric, type, nullptr};
        case BOOLOID:
            return {ProfileKind::kBoolean, type, nullptr};
        case DATEOID:
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            return {ProfileKind::kTime, type, nullptr};
        case TEXTOID:
        case VARCHAROID:
            return {ProfileKind::kText, type, nullptr};
        default:
            break;
    }
    Oid function;
    bool is_varlena;
    getTypeOutputInfo(type, &function, &is_varlena);
    auto* const output = static_cast<FmgrInfo*>(palloc(sizeof(FmgrInfo)));
    fmgr_info(function, output);
    return {ProfileKind::kText, type, output};
}

/// May raise errors and leave garbage in the current memory context.
Value ReadValue(const Reader& reader, Datum datum) {
    Value value{};
    switch (reader.type) {
        case INT2OID:
            value.number = DatumGetInt16(datum);
            break;
        case INT4OID:
            value.number = DatumGetInt32(datum);
            break;
        case INT8OID:
            value.number = static_cast<double>(DatumGetInt64(datum));
            break;
        case FLOAT4OID:
            value.number = DatumGetFloat4(datum);
            break;
        case FLOAT8OID:
            value.number = DatumGetFloat8(datum);
            break;
        case NUMERICOID:
            value.number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, datum));
            break;
        case BOOLOID:
            value.text = DatumGetBool(datum) ? "true" : "false";
            value.size = std::strlen(value.text);
            break;
        case DATEOID: {
            const DateADT date = DatumGetDateADT(datum);
            value.time = DATE_NOT_FINITE(date) ? (DATE_IS_NOBEGIN(date) ? DT_NOBEGIN : DT_NOEND)
                                               : static_cast<int64_t>(date) * USECS_PER_DAY;
            break;
        }
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            value.time = DatumGetTimestamp(datum);
            break;
        case TEXTOID:
        case VARCHAROID: {
            const struct varlena* const text = PG_DETOAST_DATUM_PACKED(datum);
            value.text = VARDATA_ANY(text);
            value.size = static_cast<size_t>(VARSIZE_ANY_EXHDR(text));
            break;
        }
        default:
            value.text = OutputFunctionCall(reader.output, datum);
            value.size = std::strlen(value.text);
    }
    return value;
}

class ProfileSink final : public RowSink {
 public:
    ProfileSink(const Source& source, const ProfileOptions& options) {
        std::vector<int> attributes;
        for (const std::string& name : options.columns)
            attributes.push_back(source.Require(name, "option columns"));
        if (attributes.empty()) {
            for (int i = 0; i < static_cast<int>(source.columns().size()); ++i)
                attributes.push_back(i);
        }
        scratch_ = CallPostgres([] {
            return AllocSetContextCreate(CurrentMemoryContext, "dlent profile", ALLOCSET_DEFAULT_SIZES);
        });
        for (const int attribute : attributes) {
            const Oid type = source.columns()[attribute].type;
            const Reader reader = CallPostgres([type] { return MakeReader(type); });
            columns_.push_back({attribute, reader, ColumnProfile(reader.kind)});
            attributes_ = std::max(attributes_, attribute + 1);
        }
    }

    void Receive(TupleTableSlot* slot) override {
        slot_getsomeattrs(slot, attributes_);
        const MemoryContext previous = MemoryContextSwitchTo(scratch_);
        for (Column& column : columns_) {
            if (slot->tts_isnull[column.attribute])
                column.profile.AddNull();
            else
                Add(column, ReadValue(column.reader, slot->tts_values[column.attribute]));
        }
        MemoryContextSwitchTo(previous);
        if (++rows_ % 256 == 0)
            MemoryContextReset(scratch_);
    }

    struct Column {
        int attribute;
        Reader reader;
        ColumnProfile profile;
    };
    const std::vector<Column>& columns() const { return columns_; }

 private:
    static void Add(Column& column, const Value& value) {
        switch (column.reader.kind) {
            case ProfileKind::kNumeric:
                column.profile.AddNumber(value.number);
                break;
            case ProfileKind::kTime:
                column.profile.AddTime(value.time);
                break;
            default:
                column.profile.AddText({value.text, value.size});
        }
    }

    MemoryContext scratch_ = nullptr;
    std::vector<Column> columns_;
    int attributes_ = 0;
    uint64_t rows_ = 0;
};

std::string TimeText(Oid type, int64_t microseconds) {
    return CallPostgres([=]() -> const char* {
        if (type == DATEOID)
            return DatumGetCString(DirectFunctionCall1(
                date_out, DateADTGetDatum(static_cast<DateADT>(microseconds / USECS_PER_DAY))));
        return DatumGetCString(DirectFunctionCall1(type == TIMESTAMPOID ? timestamp_out : timestamptz_out,
                                                   TimestampGetDatum(microseconds)));
    });
}

/// jsonb has no byte sequences that are no text.
Json StatsOf(const ProfileSink::Column& column) {
    Json stats = column.profile.ToJson();
    if (stats.contains("top")) {
        for (Json& entry : stats["top"]) {
            const std::string text = entry["value"].get<std::string>();
            // a key may have been cut within a character
            const int length = CallPostgres([&text] {
                return pg_mbcliplen(text.data(), static_cast<int>(text.size()),
                                    static_cast<int>(text.size()));
            });
            entry["value"] = ToUtf8(text.substr(0, static_cast<size_t>(length)));
        }
    }
    if (column.reader.kind == ProfileKind::kTime && column.profile.present() > 0) {
        stats["first"] = TimeText(column.reader.type, column.profile.first_time());
        stats["last"] = TimeText(column.reader.type, column.profile.last_time());
    }
    return stats;
}

template <int kColumns>
struct Row {
    Datum values[kColumns] = {};
    bool nulls[kColumns] = {};

    void Put(FunctionCallInfo fcinfo) {
        CallPostgres([&] {
            auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
            tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        });
    }
};

struct Profiled {
    Source source;
    ProfileSink sink;
};

Profiled ReadProfile(FunctionCallInfo fcinfo) {
    const std::string text = RequiredText(fcinfo, 0, "source");
    const ProfileOptions options =
        ProfileOptions::Parse(PG_ARGISNULL(1) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(1)));
    Source source = Source::Open(text);
    ProfileSink sink(source, options);
    source.Read(&sink);
    return {std::move(source), std::move(sink)};
}

void Profile(FunctionCallInfo fcinfo) {
    const Profiled profiled = ReadProfile(fcinfo);
    for (const ProfileSink::Column& column : profiled.sink.columns()) {
        Row<6> row;
        row.values[0] = TextDatum(profiled.source.columns()[column.attribute].name);
        row.values[1] = TextDatum(ProfileKindName(column.reader.kind));
        row.values[2] =
            CallPostgres([&] { return Int64GetDatum(static_cast<int64>(column.profile.rows())); });
        row.values[3] =
            CallPostgres([&] { return Int64GetDatum(static_cast<int64>(column.profile.nulls())); });
        row.values[4] =
            CallPostgres([&] { return Int64GetDatum(static_cast<int64>(column.profile.distinct())); });
        row.values[5] = JsonbDatum(StatsOf(column));
        row.Put(fcinfo);
    }
}

/// Whether no value comes twice, asked of the source itself, as the caller.
bool IsUnique(const Source& source, const std::string& quoted) {
    const std::string from = OidIsValid(source.relation()) ? source.text() : "(" + source.text() + "\n)";
    const std::string statement = "SELECT pg_catalog.count(DISTINCT s." + quoted +
                                  ") OPERATOR(pg_catalog.=) pg_catalog.count(s." + quoted + ") FROM " + from +
                                  " AS s";
    return CallPostgres([&statement] {
        if (SPI_connect() != SPI_OK_CONNECT)
            elog(ERROR, "SPI_connect failed");
        const int outcome = SPI_execute(statement.c_str(), true, 0);
        if (outcome != SPI_OK_SELECT || SPI_processed != 1)
            elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(outcome));
        const bool unique = DatumGetBool(Result(0, 1));
        SPI_finish();
        return unique;
    });
}

/// What would make PostgreSQL itself hold the rule; empty where nothing would.
std::string Ddl(const Source& source, const std::string& column, const std::string& quoted,
                const Suggestion& suggestion) {
    if (!OidIsValid(source.relation()) || suggestion.tolerance > 0.0)
        return {};
    const std::string table = CallPostgres([&source]() -> const char* {
        if (get_rel_relkind(source.relation()) != RELKIND_RELATION &&
            get_rel_relkind(source.relation()) != RELKIND_PARTITIONED_TABLE)
            return "";
        return quote_qualified_identifier(get_namespace_name(get_rel_namespace(source.relation())),
                                          get_rel_name(source.relation()));
    });
    if (table.empty())
        return {};
    if (suggestion.rule == "unique")
        return "ALTER TABLE " + table + " ADD UNIQUE (" + quoted + ")";
    const std::string name = QuoteIdentifier(CallPostgres(
        [&]() -> const char* { return makeObjectName(column.c_str(), suggestion.rule.c_str(), "check"); }));
    return "ALTER TABLE " + table + " ADD CONSTRAINT " + name + " CHECK (" + suggestion.predicate +
           ") NOT VALID";
}

void Suggest(FunctionCallInfo fcinfo) {
    const Profiled profiled = ReadProfile(fcinfo);
    const Source& source = profiled.source;
    for (const ProfileSink::Column& column : profiled.sink.columns()) {
        const std::string& name = source.columns()[column.attribute].name;
        const std::string quoted = QuoteIdentifier(name);
        for (const Suggestion& suggestion : SuggestExpectations(column.profile, quoted)) {
            if (suggestion.rule == "unique" && !IsUnique(source, quoted))
                continue;
            Json options = Json::object();
            if (suggestion.tolerance > 0.0)
                options["tolerance"] = std::round(suggestion.tolerance * 1e4) / 1e4;
            if (suggestion.rule != "complete" && suggestion.rule != "mostly_complete" &&
                suggestion.rule != "unique" && column.profile.nulls() > 0)
                options["nulls"] = "pass";  // a rule of its own says how many there may be
            const Json expectation = {{"name", ToUtf8(name + "_" + suggestion.rule)},
                                      {"predicate", ToUtf8(suggestion.predicate)},
                                      {"options", std::move(options)}};
            Row<6> row;
            row.values[0] = TextDatum(name);
            row.values[1] = TextDatum(suggestion.rule);
            row.values[2] = JsonbDatum(expectation);
            row.values[3] = TextDatum(suggestion.observed.dump());
            row.values[4] = TextDatum(suggestion.bound.dump());
            const std::string ddl = Ddl(source, name, quoted, suggestion);
            row.nulls[5] = ddl.empty();
            row.values[5] = TextDatum(ddl);
            row.Put(fcinfo);
        }
    }
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_profile) {
    return Entry(fcinfo, [fcinfo] {
        InitMaterializedSRF(fcinfo, 0);
        Profile(fcinfo);
        return Datum{0};
    });
}

DLENT_FUNCTION(dlent_suggest) {
    return Entry(fcinfo, [fcinfo] {
        InitMaterializedSRF(fcinfo, 0);
        Suggest(fcinfo);
        return Datum{0};
    });
}
