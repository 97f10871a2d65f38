// The dictionary of a model's reasons: reading it, dlent_set_reason_code, dlent_remove_reason_code.

#include "pg/bridge/postgres.h"

#include "pg/explain/reason_codes.h"

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/model_change.h"
#include "pg/catalog/models.h"
#include "pg/functions/arguments.h"

namespace dlent::pg {
namespace {

/// What stands in dlent.reason_code, in the server's encoding; null pointers mean any.
struct EntryArguments {
    const char* model;
    const char* feature;
    const char* direction;
    const char* audience;
    const char* locale;
    const char* code;
    const char* text_template;
    bool actionable;
};

const char* Dictionary(int64_t model_id) {
    MemoryContext context = CurrentMemoryContext;
    CatalogWrite read;
    BeginCatalogRead(&read);
    const Parameter parameters[] = {Int8(model_id)};
    ExecuteReadOnly(
        "SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(r) ORDER BY r.feature, r.direction, r.audience, "
        "r.locale)::pg_catalog.text FROM dlent.reason_code AS r WHERE r.model_id = $1",
        parameters);
    bool is_null = true;
    const Datum entries = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    const char* json = is_null ? nullptr : MemoryContextStrdup(context, TextDatumGetCString(entries));
    EndCatalogRead(read);
    return json;
}

/// Opens a write and checks the right to manage the model.
void Begin(const char* command, const char* name, CatalogWrite* write, FoundModel* model) {
    BeginCatalogWrite(command, write);
    FindManagedModel(name, *write, RowLock::kUpdate, model);
}

void Record(const char* action, const FoundModel& model, const EntryArguments& entry, Oid caller) {
    const Parameter parameters[] = {Text(entry.feature), Text(entry.direction), Text(entry.audience),
                                    Text(entry.locale), Text(entry.code)};
    Execute(
        "SELECT pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('feature', $1, 'direction', $2, "
        "'audience', $3, 'locale', $4, 'code', $5))",
        parameters);
    RecordEvent({.action = action,
                 .model_id = model.id,
                 .model = entry.model,
                 .role = GetUserNameFromId(caller, false),
                 .details = Result(0, 1)});
}

void SetEntry(const EntryArguments& entry) {
    CatalogWrite write;
    FoundModel model;
    Begin("dlent_set_reason_code()", entry.model, &write, &model);
    const Parameter parameters[] = {Int8(model.id),
                                    Text(entry.feature),
                                    Text(entry.direction),
                                    Text(entry.audience),
                                    Text(entry.locale),
                                    Text(entry.code),
                                    Text(entry.text_template),
                                    Of(BOOLOID, BoolGetDatum(entry.actionable)),
                                    Text(GetUserNameFromId(write.caller, false))};
    Execute(
        "INSERT INTO dlent.reason_code (model_id, feature, direction, audience, locale, code, template, "
        "actionable, set_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::pg_catalog.name) "
        "ON CONFLICT (model_id, feature, direction, audience, locale) DO UPDATE SET code = EXCLUDED.code, "
        "template = EXCLUDED.template, actionable = EXCLUDED.actionable, set_by = EXCLUDED.set_by, "
        "set_at = pg_catalog.now()",
        parameters);
    Record("set_reason_code", model, entry, write.caller);
    EndCatalogWrite(write);
}

int RemoveEntries(const EntryArguments& entry) {
    CatalogWrite write;
    FoundModel model;
    Begin("dlent_remove_reason_code()", entry.model, &write, &model);
    const Parameter parameters[] = {Int8(model.id), Text(entry.feature), Text(entry.direction),
                                    Text(entry.audience), Text(entry.locale)};
    const uint64_t removed = Execute(
        "DELETE FROM dlent.reason_code WHERE model_id = $1 AND feature = $2 AND ($3 IS NULL OR direction = "
        "$3) "
        "AND ($4 IS NULL OR audience = $4) AND ($5 IS NULL OR locale = $5)",
        parameters);
    if (removed > 0)
        Record("remove_reason_code", model, entry, write.caller);
    EndCatalogWrite(write);
    return static_cast<int>(removed);
}

/// A feature that the champion does not have may be another version's, or a group; most often it is a slip.
void NoticeUnknownFeature(const std::string& model, const std::string& feature) {
    FoundVersion version;
    const bool found =
        CallPostgres([&] { return FindVersionIfAllowed(model.c_str(), 0, Privilege::kManage, &version); });
    if (!found)
        return;
    const VersionIdentity identity = ResolveVersion({model, 0}, Privilege::kManage);
    const std::string column = ToUtf8(feature.substr(0, feature.find('[')));
    for (const PipelineInput& input : AcquireScorer(identity)->model().pipeline.inputs()) {
        if (input.name == ToUtf8(feature) || (input.kind == ColumnKind::kVector && input.name == column))
            return;
    }
    CallPostgres([&] {
        ereport(NOTICE, (errmsg("\"%s\" is no feature of the champion of model \"%s\"", feature.c_str(),
                                model.c_str()),
                         errhint("It names a group of option groups, or a feature of another version.")));
    });
}

std::string OptionalText(FunctionCallInfo fcinfo, int number) {
    return fcinfo->args[number].isnull ? std::string() : TextOf(fcinfo->args[number].value);
}

}  // namespace

std::vector<ReasonCode> ReasonCodesOf(const Json& stored) {
    std::vector<ReasonCode> codes;
    for (const Json& entry : stored)
        codes.push_back(ValueOrThrow(ReasonCode::FromJson(entry)));
    return codes;
}

std::vector<ReasonCode> ReadReasonCodes(int64_t model_id) {
    const char* text = CallPostgres([model_id] { return Dictionary(model_id); });
    return text == nullptr ? std::vector<ReasonCode>() : ReasonCodesOf(ParseJson(text));
}

}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_set_reason_code) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        const std::string feature = RequiredText(fcinfo, 1, "feature");
        const std::string code = RequiredText(fcinfo, 2, "code");
        const std::string text_template = OptionalText(fcinfo, 3);
        const std::string direction = RequiredText(fcinfo, 4, "direction");
        const std::string audience = RequiredText(fcinfo, 5, "audience");
        const std::string locale = RequiredText(fcinfo, 6, "locale");
        if (PG_ARGISNULL(7))
            throw SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "actionable must not be NULL");
        if (feature.empty() || code.empty() || locale.empty())
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "feature, code and locale must not be empty");
        (void)ValueOrThrow(dlent::ParseDirection(ToUtf8(direction)));
        const dlent::Audience reader = ValueOrThrow(dlent::ParseAudience(ToUtf8(audience)));
        ThrowIfError(dlent::CheckReasonTemplate(ToUtf8(text_template)));
        if (reader == dlent::Audience::kCustomer && text_template.empty())
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                           "a reason for customers needs a template: what they are told is written by you",
                           {}, "As in template => 'The amount is unusual for this account.'.");
        const EntryArguments entry = {model.c_str(),         feature.c_str(),  direction.c_str(),
                                      audience.c_str(),      locale.c_str(),   code.c_str(),
                                      text_template.c_str(), PG_GETARG_BOOL(7)};
        CallPostgres([&entry] { SetEntry(entry); });
        NoticeUnknownFeature(model, feature);
        return Datum{0};
    });
}

DLENT_FUNCTION(dlent_remove_reason_code) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        const std::string feature = RequiredText(fcinfo, 1, "feature");
        const std::string direction = OptionalText(fcinfo, 2);
        const std::string audience = OptionalText(fcinfo, 3);
        const std::string locale = OptionalText(fcinfo, 4);
        if (!PG_ARGISNULL(2))
            (void)ValueOrThrow(dlent::ParseDirection(ToUtf8(direction)));
        if (!PG_ARGISNULL(3))
            (void)ValueOrThrow(dlent::ParseAudience(ToUtf8(audience)));
        const EntryArguments entry = {.model = model.c_str(),
                                      .feature = feature.c_str(),
                                      .direction = PG_ARGISNULL(2) ? nullptr : direction.c_str(),
                                      .audience = PG_ARGISNULL(3) ? nullptr : audience.c_str(),
                                      .locale = PG_ARGISNULL(4) ? nullptr : locale.c_str()};
        return Int32GetDatum(CallPostgres([&entry] { return RemoveEntries(entry); }));
    });
}
