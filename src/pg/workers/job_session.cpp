#include "pg/bridge/postgres.h"

#include "pg/workers/job_session.h"

#include <array>

#include "pg/bridge/text.h"

extern "C" {
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "utils/acl.h"
#include "utils/syscache.h"
}

namespace dlent::pg {
namespace {

constexpr std::array<const char*, 7> kSettings = {
    "search_path", "TimeZone", "DateStyle", "IntervalStyle", "row_security", "dlent.max_training_memory",
    "dlent.gpu"};

}  // namespace

Json CapturedSettings() {
    Json settings = Json::object();
    for (const char* name : kSettings) {
        const char* value = CallPostgres([name] { return GetConfigOption(name, false, false); });
        settings[name] = ToUtf8(value);
    }
    return settings;
}

void ApplySettings(const Json& settings) {
    for (const char* name : kSettings) {
        const auto found = settings.find(name);
        if (found == settings.end() || !found->is_string())
            continue;
        const std::string value = FromUtf8(found->get<std::string>());
        CallPostgres([&] { SetConfigOption(name, value.c_str(), PGC_USERSET, PGC_S_SESSION); });
    }
}

void PrepareJobSession(const char* application_name) {
    SetConfigOption("application_name", application_name, PGC_USERSET, PGC_S_SESSION);
    MakeSessionWritable();
}

void MakeSessionWritable() {
    SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_SESSION);
    SetConfigOption("default_transaction_deferrable", "off", PGC_USERSET, PGC_S_SESSION);
    SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION);
}

const char* WhyNotConnect(Oid role) {
    HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
    if (!HeapTupleIsValid(tuple))
        return "The role does not exist any more.";
    const bool can_log_in = reinterpret_cast<Form_pg_authid>(GETSTRUCT(tuple))->rolcanlogin;
    ReleaseSysCache(tuple);
    if (!can_log_in)
        return "The role has no LOGIN.";
    if (!MayConnect(MyDatabaseId, role))
        return "The role may not connect to the database.";
    return nullptr;
}

}  // namespace dlent::pg
