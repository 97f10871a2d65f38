#include "pg/catalog/relations.h"

extern "C" {
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace dlent::pg {
namespace {

CatalogRelations relations;
bool relations_known = false;
uint64_t generation = 1;

/// Called at any time by the relation cache, so it looks nothing up.
void OnRelationInvalidated(Datum, Oid relation) {
    if (relation == InvalidOid || !relations_known || relation == relations.model) {
        ++generation;
        relations_known = false;
    }
}

Oid RelationNamed(const char* name, Oid schema) {
    const Oid relation = get_relname_relid(name, schema);
    if (!OidIsValid(relation))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation \"dlent.%s\" does not exist", name),
                 errhint("Drop and create the extension, or restore its tables.")));
    return relation;
}

CatalogRelations LookUp() {
    CatalogRelations found;
    found.extension = get_extension_oid("dlent", true);
    found.schema = get_namespace_oid("dlent", true);
    if (!OidIsValid(found.extension) || !OidIsValid(found.schema))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("extension \"dlent\" is not installed in this database")));
    found.model = RelationNamed("model", found.schema);
    found.model_by_id = RelationNamed("model_pkey", found.schema);
    found.model_by_name = RelationNamed("model_name_key", found.schema);
    found.version = RelationNamed("version", found.schema);
    found.version_by_id = RelationNamed("version_pkey", found.schema);
    found.version_by_number = RelationNamed("version_model_id_number_key", found.schema);
    found.version_by_digest = RelationNamed("version_digest_idx", found.schema);
    found.weight_chunk = RelationNamed("weight_chunk", found.schema);
    found.weight_chunk_by_sequence = RelationNamed("weight_chunk_pkey", found.schema);
    found.model_grant = RelationNamed("model_grant", found.schema);
    found.model_grant_by_grantee = RelationNamed("model_grant_pkey", found.schema);
    found.rollout = RelationNamed("rollout", found.schema);
    found.rollout_by_id = RelationNamed("rollout_pkey", found.schema);
    found.rollout_arm = RelationNamed("rollout_arm", found.schema);
    found.rollout_arm_by_number = RelationNamed("rollout_arm_pkey", found.schema);

    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(found.model));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for relation %u", found.model);
    found.owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    return found;
}

}  // namespace

const CatalogRelations& GetCatalogRelations() {
    while (!relations_known) {
        const uint64_t before = generation;
        const CatalogRelations found = LookUp();
        if (before == generation) {
            relations = found;
            relations_known = true;
        }
    }
    return relations;
}

uint64_t CatalogGeneration() {
    return generation;
}

void InvalidateCatalog() {
    CacheInvalidateRelcacheByRelid(GetCatalogRelations().model);
}

void RegisterCatalogCallbacks() {
    CacheRegisterRelcacheCallback(OnRelationInvalidated, 0);
}

bool PushSnapshotIfNone() {
    if (ActiveSnapshotSet())
        return false;
    PushActiveSnapshot(GetTransactionSnapshot());
    return true;
}

}  // namespace dlent::pg
