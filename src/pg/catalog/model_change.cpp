#include "pg/bridge/postgres.h"

#include "pg/catalog/model_change.h"

#include "pg/catalog/contract.h"

extern "C" {
#include "utils/acl.h"
}

namespace dlent::pg {

namespace {

bool Find(const char* name, RowLock lock, FoundModel* model) {
    const char* const clause = lock == RowLock::kUpdate     ? "FOR UPDATE"
                               : lock == RowLock::kKeyShare ? "FOR KEY SHARE"
                                                            : "";
    const Parameter parameters[] = {Text(name)};
    if (Execute(psprintf("SELECT id, owner, champion, rollout FROM dlent.model WHERE name = $1 %s", clause),
                parameters) == 0)
        return false;
    model->id = DatumGetInt64(Result(0, 1));
    model->owner = DatumGetObjectId(Result(0, 2));
    model->champion = DatumGetInt32(Result(0, 3));
    model->rollout = DatumGetInt64(Result(0, 4));
    return true;
}

}  // namespace

bool FindManagedModelIfAny(const char* name, const CatalogWrite& write, RowLock lock, FoundModel* model) {
    if (!Find(name, lock, model))
        return false;
    if (!MayWrite(write.caller, *model))
        RaiseDenied(name);
    return true;
}

void FindManagedModel(const char* name, const CatalogWrite& write, RowLock lock, FoundModel* model) {
    if (!FindManagedModelIfAny(name, write, lock, model))
        RaiseNoModel(name);
}

void LockModel(const char* command, const char* name, Who who, CatalogWrite* write, FoundModel* model) {
    BeginCatalogWrite(command, write);
    AdoptContracts();
    if (!Find(name, RowLock::kUpdate, model))
        RaiseNoModel(name);
    if (who == Who::kOwner ? !has_privs_of_role(write->caller, model->owner)
                           : !MayWrite(write->caller, *model))
        RaiseDenied(name);
}

const char* CallerName(const CatalogWrite& write) {
    return GetUserNameFromId(write.caller, false);
}

bool VersionExists(int64_t model_id, int version) {
    const Parameter parameters[] = {Int8(model_id), Int4(version)};
    return Execute("SELECT FROM dlent.version WHERE model_id = $1 AND number = $2", parameters) > 0;
}

int64_t SetChampion(const FoundModel& model, int version, const char* reason) {
    const Parameter parameters[] = {Int8(model.id), Int4(version)};
    if (model.rollout != 0) {
        const Parameter arm[] = {Int8(model.rollout), Int4(version)};
        const bool promoted =
            Execute("SELECT FROM dlent.rollout_arm WHERE rollout_id = $1 AND version = $2 AND arm > 0", arm) >
            0;
        EndRollout(model, promoted ? "promoted" : "stopped", reason);
    }
    Execute("UPDATE dlent.model SET champion = $2 WHERE id = $1", parameters);
    return model.rollout;
}

void PromoteVersion(const CatalogWrite& write, const FoundModel& model, const char* name, int version,
                    const char* reason) {
    const int64_t ended = SetChampion(model, version, reason);
    RecordEvent({.action = "promote",
                 .model_id = model.id,
                 .model = name,
                 .version = version,
                 .champion = version,
                 .replaced = model.champion,
                 .role = CallerName(write),
                 .reason = reason,
                 .details = NumberDetail("rollout", ended)});
}

void RecordErasure(const CatalogWrite& write, const FoundModel& model, const char* name, const char* what,
                   int64_t count, const char* by) {
    if (count == 0)
        return;
    const Parameter facts[] = {Text(what), Int8(count), Text(by)};
    Execute("SELECT pg_catalog.jsonb_build_object($1, $2, 'by', $3)", facts);
    RecordEvent({.action = psprintf("forget_%s", what),
                 .model_id = model.id,
                 .model = name,
                 .role = CallerName(write),
                 .details = Result(0, 1)});
}

void EndRollout(const FoundModel& model, const char* state, const char* reason) {
    const Parameter parameters[] = {Int8(model.rollout), Text(state), Text(reason), Int8(model.id)};
    Execute(
        "WITH ended AS (UPDATE dlent.rollout SET state = $2, reason = $3, ended_at = "
        "pg_catalog.clock_timestamp() WHERE id = $1) "
        "UPDATE dlent.model SET rollout = NULL WHERE id = $4",
        parameters);
    // the checks that option "check" has asked for
    Execute(
        "WITH gone AS (DELETE FROM dlent.schedule WHERE action = 'check_rollout' AND arguments @> "
        "pg_catalog.jsonb_build_object('options', pg_catalog.jsonb_build_object('rollout', $1)) RETURNING "
        "id) "
        "DELETE FROM dlent.schedule_state USING gone WHERE schedule_id = gone.id",
        parameters, 1);
}

Datum NumberDetail(const char* key, int64_t number) {
    if (number == 0)
        return 0;
    const Parameter parameters[] = {Text(key), Int8(number)};
    Execute("SELECT pg_catalog.jsonb_build_object($1, $2)", parameters);
    return Result(0, 1);
}

}  // namespace dlent::pg
