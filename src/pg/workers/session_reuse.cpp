#include "pg/bridge/postgres.h"

#include "pg/workers/session_reuse.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_db_role_setting.h"
#include "commands/discard.h"
#include "common/hashfn.h"
#include "nodes/parsenodes.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
}

namespace dlent::pg {
namespace {

ScanKeyData KeyOf(AttrNumber column, Oid value) {
    ScanKeyData key;
    ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value));
    return key;
}

/// Goes on with a hash of which versions of which rows there are.
uint64_t HashRows(uint64_t hash, Oid relation_id, Oid index, ScanKeyData* keys, int count) {
    Relation relation = table_open(relation_id, AccessShareLock);
    SysScanDesc scan = systable_beginscan(relation, index, true, nullptr, count, keys);
    for (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple); tuple = systable_getnext(scan)) {
        const uint64_t place = static_cast<uint64_t>(ItemPointerGetBlockNumber(&tuple->t_self)) << 16 |
                               ItemPointerGetOffsetNumber(&tuple->t_self);
        hash = hash_combine64(hash, HeapTupleHeaderGetRawXmin(tuple->t_data));
        hash = hash_combine64(hash, place);
    }
    systable_endscan(scan);
    table_close(relation, AccessShareLock);
    return hash;
}

}  // namespace

uint64_t SessionOrigin(Oid role) {
    ScanKeyData of_role = KeyOf(Anum_pg_authid_oid, role);
    uint64_t hash = HashRows(0, AuthIdRelationId, AuthIdOidIndexId, &of_role, 1);
    ScanKeyData of_database = KeyOf(Anum_pg_database_oid, MyDatabaseId);
    hash = HashRows(hash, DatabaseRelationId, DatabaseOidIndexId, &of_database, 1);
    for (const Oid setting_database : {MyDatabaseId, InvalidOid}) {
        for (const Oid setting_role : {role, InvalidOid}) {
            ScanKeyData keys[] = {KeyOf(Anum_pg_db_role_setting_setdatabase, setting_database),
                                  KeyOf(Anum_pg_db_role_setting_setrole, setting_role)};
            hash = HashRows(hash, DbRoleSettingRelationId, DbRoleSettingDatidRolidIndexId, keys, 2);
        }
    }
    return hash;
}

void ResetSession() {
    DiscardStmt statement{};
    statement.type = T_DiscardStmt;
    statement.target = DISCARD_ALL;
    DiscardCommand(&statement, true);
}

}  // namespace dlent::pg
