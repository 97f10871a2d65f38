// dlent_promote, dlent_rollback, dlent_drop_model, dlent_grant, dlent_revoke: what is done with versions once
// they exist.
//
// The bodies below the guards hold nothing with a destructor.

#include "pg/bridge/postgres.h"

#include <array>

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/cache/version_file.h"
#include "pg/catalog/contract.h"
#include "pg/catalog/dependents.h"
#include "pg/catalog/model_change.h"
#include "pg/catalog/models.h"

extern "C" {
#include "commands/trigger.h"
#include "utils/syscache.h"
}

namespace dlent::pg {
namespace {

int Promote(const char* name, int version, const char* reason) {
    CatalogWrite write;
    FoundModel model;
    LockModel("dlent_promote()", name, Who::kManager, &write, &model);
    if (!VersionExists(model.id, version))
        RaiseNoVersion(name, version);
    if (version == model.champion)
        ereport(NOTICE, (errmsg("version %d of model \"%s\" is the champion already", version, name)));
    else
        PromoteVersion(write, model, name, version, reason);
    EndCatalogWrite(write);
    return model.champion;
}

/// The champion before the current one, or 0. The history is replayed: a promotion is pushed, a rollback pops
/// down to where it went, so that one rollback after another walks back through the promotions that still
/// stand.
int PreviousChampion(const FoundModel& model) {
    const Parameter parameters[] = {Int8(model.id)};
    const uint64_t count = Execute(
        "SELECT e.champion, e.action = 'rollback', "
        "EXISTS (SELECT FROM dlent.version AS v WHERE v.model_id = e.model_id "
        "    AND v.number = e.champion) "
        "FROM dlent.event AS e WHERE e.model_id = $1 AND e.champion IS NOT NULL "
        "ORDER BY e.id",
        parameters);
    struct Champion {
        int version;
        bool exists;
    };
    auto* stack = static_cast<Champion*>(palloc(sizeof(Champion) * (count + 1)));
    uint64_t depth = 0;
    for (uint64_t i = 0; i < count; ++i) {
        const Champion next = {DatumGetInt32(Result(i, 1)), DatumGetBool(Result(i, 3))};
        if (DatumGetBool(Result(i, 2))) {
            // the top was taken back, and what is no more below it was passed over
            do {
                depth -= depth > 0 ? 1 : 0;
            } while (depth > 0 && stack[depth - 1].version != next.version);
            if (depth > 0)
                continue;
        }
        stack[depth++] = next;
    }
    while (depth > 0) {
        --depth;
        if (stack[depth].exists && stack[depth].version != model.champion)
            return stack[depth].version;
    }
    return 0;
}

int Rollback(const char* name, const char* reason) {
    CatalogWrite write;
    FoundModel model;
    LockModel("dlent_rollback()", name, Who::kManager, &write, &model);
    const int previous = PreviousChampion(model);
    if (previous == 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("model \"%s\" has no earlier champion to go back to", name),
                        errhint("View dlent.deployments shows which version was champion when.")));
    const int64_t ended = SetChampion(model, previous, reason);
    RecordEvent({.action = "rollback",
                 .model_id = model.id,
                 .model = name,
                 .version = model.champion,
                 .champion = previous,
                 .replaced = model.champion,
                 .role = CallerName(write),
                 .reason = reason,
                 .details = NumberDetail("rollout", ended)});
    EndCatalogWrite(write);
    return previous;
}

/// The versions that are to go: `version`, or with 0 all.
DroppedVersion* VersionsToDrop(int64_t model_id, int version, int* count) {
    const Parameter parameters[] = {Int8(model_id), Int4(version)};
    *count = static_cast<int>(
        Execute("SELECT v.number, v.digest, NOT EXISTS (SELECT FROM dlent.version AS o "
                "WHERE o.digest = v.digest AND (o.model_id <> $1 OR $2 <> 0 AND o.number <> $2)) "
                "FROM dlent.version AS v WHERE v.model_id = $1 AND ($2 = 0 OR v.number = $2) "
                "ORDER BY v.number",
                parameters));
    auto* versions = static_cast<DroppedVersion*>(palloc(sizeof(DroppedVersion) * (*count + 1)));
    for (int i = 0; i < *count; ++i)
        versions[i] = {DatumGetInt32(Result(i, 1)), DigestOfUuid(Result(i, 2)), DatumGetBool(Result(i, 3))};
    return versions;
}

/// Deletes a version, or with `version` 0 all, with what belongs to them.
void DeleteVersions(int64_t model_id, int version, const DroppedVersion* versions, int count) {
    const Parameter parameters[] = {Int8(model_id), Int4(version)};
    Execute(
        "WITH gone AS (DELETE FROM dlent.version WHERE model_id = $1 AND ($2 = 0 OR number = $2) RETURNING "
        "id), "
        "weights AS (DELETE FROM dlent.weight_chunk USING gone WHERE version_id = gone.id), "
        "evaluations AS (DELETE FROM dlent.evaluation USING gone WHERE version_id = gone.id), "
        "reports AS (DELETE FROM dlent.drift_report USING gone WHERE version_id = gone.id), "
        "importances AS (DELETE FROM dlent.explanation_global USING gone WHERE version_id = gone.id), "
        "sketches AS (DELETE FROM dlent.sketch USING gone WHERE version_id = gone.id) "
        "DELETE FROM dlent.training_epoch USING gone WHERE version_id = gone.id",
        parameters);
    for (int i = 0; i < count; ++i) {
        if (versions[i].last_of_digest)
            RemoveVersionFilesAtCommit(versions[i].digest);
    }
}

void DropModel(const char* name) {
    CatalogWrite write;
    FoundModel model;
    LockModel("dlent_drop_model()", name, Who::kManager, &write, &model);
    int count = 0;
    const DroppedVersion* versions = VersionsToDrop(model.id, 0, &count);
    // a version may be an input of another that goes with it
    for (int i = 0; i < count; ++i)
        DropContract(model.id, versions[i].number);
    RefuseIfUsed(psprintf("model \"%s\"", name), name, versions, count);
    const Parameter parameters[] = {Int8(model.id)};
    DeleteVersions(model.id, 0, versions, count);
    Execute("DELETE FROM dlent.model_grant WHERE model_id = $1", parameters);
    Execute(
        "WITH gone AS (DELETE FROM dlent.rollout WHERE model_id = $1 RETURNING id) "
        "DELETE FROM dlent.rollout_arm USING gone WHERE rollout_id = gone.id",
        parameters);
    const Parameter named[] = {Text(name)};
    Execute(
        "WITH gone AS (DELETE FROM dlent.schedule WHERE model = $1 RETURNING id) "
        "DELETE FROM dlent.schedule_state USING gone WHERE schedule_id = gone.id",
        named);
    Execute("DELETE FROM dlent.expectation WHERE model_id = $1", parameters);
    Execute("DELETE FROM dlent.expectation_result WHERE model_id = $1", parameters);
    Execute("DELETE FROM dlent.reason_code WHERE model_id = $1", parameters);
    Execute("DELETE FROM dlent.prediction WHERE model_id = $1", parameters);
    Execute("DELETE FROM dlent.outcome WHERE model_id = $1", parameters);
    Execute("DELETE FROM dlent.monitor WHERE model_id = $1", parameters);
    Execute("DELETE FROM dlent.monitor_step WHERE model_id = $1", parameters);
    Execute("DELETE FROM dlent.alert WHERE model_id = $1", parameters);
    Execute("DELETE FROM dlent.model WHERE id = $1", parameters);
    RecordEvent({.action = "drop_model", .model_id = model.id, .model = name, .role = CallerName(write)});
    EndCatalogWrite(write);
}

/// Whether a rollout that is under way needs the version.
bool IsArm(const FoundModel& model, int version) {
    const Parameter parameters[] = {Int8(model.rollout), Int4(version)};
    return Execute("SELECT FROM dlent.rollout_arm WHERE rollout_id = $1 AND version = $2", parameters) > 0;
}

void DropVersion(const char* name, int version) {
    CatalogWrite write;
    FoundModel model;
    LockModel("dlent_drop_model()", name, Who::kManager, &write, &model);
    if (!VersionExists(model.id, version))
        RaiseNoVersion(name, version);
    if (version == model.champion)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_IN_USE),
                 errmsg("version %d is the champion of model \"%s\"", version, name),
                 errhint("Promote another version first, or drop the whole model with dlent_drop_model(%s).",
                         quote_literal_cstr(name))));
    if (IsArm(model, version))
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_IN_USE),
                 errmsg("version %d of model \"%s\" is part of a rollout", version, name),
                 errhint("End the rollout first, with dlent_stop_rollout(%s).", quote_literal_cstr(name))));
    int count = 0;
    const DroppedVersion* versions = VersionsToDrop(model.id, version, &count);
    DropContract(model.id, version);
    RefuseIfUsed(psprintf("version %d of model \"%s\"", version, name), name, versions, count);
    DeleteVersions(model.id, version, versions, count);
    RecordEvent({.action = "drop_version",
                 .model_id = model.id,
                 .model = name,
                 .version = version,
                 .role = CallerName(write)});
    EndCatalogWrite(write);
}

constexpr std::array<const char*, 3> kPrivileges = {"predict", "explain", "manage"};

void ChangeGrants(bool grant, const char* name, const char* privilege, Oid grantee) {
    const bool all = std::strcmp(privilege, "all") == 0;
    bool known = all;
    for (const char* one : kPrivileges)
        known = known || std::strcmp(privilege, one) == 0;
    if (!known)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown privilege \"%s\"", privilege),
                 errhint("Privileges are predict, explain, manage and all.")));
    // Taking a privilege from a role that is gone is housekeeping; giving it one is a mistake.
    if (grant && grantee != ACL_ID_PUBLIC && !SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(grantee)))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("role with OID %u does not exist", grantee)));

    CatalogWrite write;
    FoundModel model;
    LockModel(grant ? "dlent_grant()" : "dlent_revoke()", name, Who::kOwner, &write, &model);
    const char* caller = CallerName(write);
    uint64_t changed = 0;
    for (const char* one : kPrivileges) {
        if (!all && std::strcmp(privilege, one) != 0)
            continue;
        const Parameter parameters[] = {Int8(model.id), Of(OIDOID, ObjectIdGetDatum(grantee)), Text(one),
                                        Text(caller)};
        changed += grant ? Execute(
                               "INSERT INTO dlent.model_grant (model_id, grantee, privilege, grantor) "
                               "VALUES ($1, $2, $3, $4::pg_catalog.name) ON CONFLICT DO NOTHING",
                               parameters)
                         : Execute(
                               "DELETE FROM dlent.model_grant "
                               "WHERE model_id = $1 AND grantee::pg_catalog.oid = $2 AND privilege = $3",
                               parameters, 3);
    }
    if (changed > 0) {
        const char* role = grantee == ACL_ID_PUBLIC ? "PUBLIC" : GetUserNameFromId(grantee, true);
        const Parameter parameters[] = {Text(privilege), Text(role)};
        Execute("SELECT pg_catalog.jsonb_build_object('privilege', $1, 'grantee', $2)", parameters);
        RecordEvent({.action = grant ? "grant" : "revoke",
                     .model_id = model.id,
                     .model = name,
                     .role = caller,
                     .details = Result(0, 1)});
    }
    EndCatalogWrite(write);
}

/// Argument `index` as a model's name.
std::string NameArgument(FunctionCallInfo fcinfo, int index) {
    return ParseModelName(TextOf(fcinfo->args[index].value));
}

/// Refuses NULL for what cannot be left out.
void RequireArguments(FunctionCallInfo fcinfo, int count) {
    for (int i = 0; i < count; ++i)
        if (fcinfo->args[i].isnull)
            throw SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED,
                           i == 0 ? "the model must not be NULL"
                                  : "argument " + std::to_string(i + 1) + " must not be NULL");
}

Datum GrantOrRevoke(FunctionCallInfo fcinfo, bool grant) {
    RequireArguments(fcinfo, 3);
    const std::string name = NameArgument(fcinfo, 0);
    const std::string privilege = TextOf(fcinfo->args[1].value);
    const Oid grantee = DatumGetObjectId(fcinfo->args[2].value);
    CallPostgres([&] { ChangeGrants(grant, name.c_str(), privilege.c_str(), grantee); });
    return Datum{0};
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_promote) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] {
        RequireArguments(fcinfo, 2);
        const std::string name = NameArgument(fcinfo, 0);
        const std::string reason = PG_ARGISNULL(2) ? std::string() : TextOf(PG_GETARG_DATUM(2));
        const char* reason_text = PG_ARGISNULL(2) ? nullptr : reason.c_str();
        const int replaced =
            CallPostgres([&] { return Promote(name.c_str(), PG_GETARG_INT32(1), reason_text); });
        fcinfo->isnull = replaced == 0;
        return Int32GetDatum(replaced);
    });
}

DLENT_FUNCTION(dlent_rollback) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] {
        RequireArguments(fcinfo, 1);
        const std::string name = NameArgument(fcinfo, 0);
        const std::string reason = PG_ARGISNULL(1) ? std::string() : TextOf(PG_GETARG_DATUM(1));
        const char* reason_text = PG_ARGISNULL(1) ? nullptr : reason.c_str();
        return Int32GetDatum(CallPostgres([&] { return Rollback(name.c_str(), reason_text); }));
    });
}

DLENT_FUNCTION(dlent_drop_model) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] {
        RequireArguments(fcinfo, 1);
        const std::string name = NameArgument(fcinfo, 0);
        CallPostgres([&] {
            if (PG_ARGISNULL(1))
                DropModel(name.c_str());
            else
                DropVersion(name.c_str(), PG_GETARG_INT32(1));
        });
        return Datum{0};
    });
}

DLENT_FUNCTION(dlent_grant) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] { return GrantOrRevoke(fcinfo, true); });
}

DLENT_FUNCTION(dlent_revoke) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] { return GrantOrRevoke(fcinfo, false); });
}

/// A trigger on dlent.version.
DLENT_FUNCTION(dlent_tie_contracts) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] {
        if (!CALLED_AS_TRIGGER(fcinfo))
            throw SqlError(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "not called as a trigger");
        CallPostgres([] {
            CatalogWrite write;
            BeginCatalogWrite("restoring versions", &write);
            TieContracts();
            EndCatalogWrite(write, false);
        });
        return Datum{0};
    });
}
