#include "pg/catalog/lookup.h"

#include <algorithm>
#include <cstring>

#include "pg/catalog/relations.h"
#include "pg/catalog/row_hints.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace dlent::pg {
namespace {

/// Beyond this a weight file cannot be one of ours.
constexpr int64_t kMaxWeightsBytes = int64_t{1} << 36;

const char* PrivilegeName(Privilege privilege) {
    switch (privilege) {
        case Privilege::kPredict:
            return "predict";
        case Privilege::kExplain:
            return "explain";
        case Privilege::kManage:
            break;
    }
    return "manage";
}

bool TextEquals(Datum datum, const char* string) {
    const text* value = DatumGetTextPP(datum);
    const size_t length = std::strlen(string);
    return VARSIZE_ANY_EXHDR(value) == length && std::memcmp(VARDATA_ANY(value), string, length) == 0;
}

Datum Column(HeapTuple tuple, int column, Relation relation, const char* name) {
    bool is_null = false;
    const Datum value = heap_getattr(tuple, column, RelationGetDescr(relation), &is_null);
    if (is_null)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("unexpected NULL in column \"%s\" of relation \"%s\"", name,
                               RelationGetRelationName(relation))));
    return value;
}

/// Whether a row of dlent.model_grant gives `user` the privilege.
bool Grants(HeapTuple tuple, Relation relation, Oid user, Privilege privilege) {
    const Oid grantee = DatumGetObjectId(Column(tuple, kModelGrantGrantee, relation, "grantee"));
    const Datum what = Column(tuple, kModelGrantPrivilege, relation, "privilege");
    return (TextEquals(what, PrivilegeName(privilege)) ||
            TextEquals(what, PrivilegeName(Privilege::kManage))) &&
           (grantee == ACL_ID_PUBLIC || has_privs_of_role(user, grantee));
}

bool MayAs(Oid user, const FoundModel& model, Privilege privilege) {
    if (has_privs_of_role(user, model.owner))
        return true;
    const CatalogRelations& catalog = GetCatalogRelations();
    const bool pushed = PushSnapshotIfNone();
    ScanKeyData key;
    ScanKeyInit(&key, kModelGrantModelId, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(model.id));
    const uint32 hint =
        hash_combine(RowHintKey(catalog.model_grant_by_grantee, &key, 1), hash_bytes_uint32(user));
    Relation relation = table_open(catalog.model_grant, AccessShareLock);
    TupleTableSlot* slot = nullptr;
    HeapTuple tuple = FetchHintedRow(hint, relation, &key, 1, &slot);
    bool granted = tuple != nullptr && Grants(tuple, relation, user, privilege);
    if (slot != nullptr)
        ExecDropSingleTupleTableSlot(slot);
    if (!granted) {
        SysScanDesc scan =
            systable_beginscan(relation, catalog.model_grant_by_grantee, true, GetActiveSnapshot(), 1, &key);
        while (!granted && (tuple = systable_getnext(scan)) != nullptr) {
            granted = Grants(tuple, relation, user, privilege);
            if (granted)
                RememberRow(hint, tuple);
        }
        systable_endscan(scan);
    }
    table_close(relation, AccessShareLock);
    if (pushed)
        PopActiveSnapshot();
    return granted;
}

/// The model whose key is `key` in the unique index `index`; with `name`, its name in the current memory
/// context.
bool FindModelBy(Oid index, ScanKeyData* key, FoundModel* model, const char** name) {
    const bool pushed = PushSnapshotIfNone();
    UniqueRow row;
    OpenUniqueRow(GetCatalogRelations().model, index, key, 1, &row);
    const bool found = HeapTupleIsValid(row.tuple);
    if (found) {
        const TupleDesc columns = RelationGetDescr(row.relation);
        bool no_champion = false;
        bool no_rollout = false;
        bool no_observation = false;
        model->id = DatumGetInt64(Column(row.tuple, kModelId, row.relation, "id"));
        model->owner = DatumGetObjectId(Column(row.tuple, kModelOwner, row.relation, "owner"));
        const Datum champion = heap_getattr(row.tuple, kModelChampion, columns, &no_champion);
        model->champion = no_champion ? 0 : DatumGetInt32(champion);
        const Datum rollout = heap_getattr(row.tuple, kModelRollout, columns, &no_rollout);
        model->rollout = no_rollout ? 0 : DatumGetInt64(rollout);
        const Datum observation = heap_getattr(row.tuple, kModelObservation, columns, &no_observation);
        model->observation = no_observation ? nullptr : DatumGetJsonbPCopy(observation);
        if (name != nullptr)
            *name = TextDatumGetCString(Column(row.tuple, kModelName, row.relation, "name"));
    }
    CloseUniqueRow(&row);
    if (pushed)
        PopActiveSnapshot();
    return found;
}

void ReadVersion(HeapTuple tuple, Relation relation, FoundVersion* version) {
    version->id = DatumGetInt64(Column(tuple, kVersionId, relation, "id"));
    version->number = DatumGetInt32(Column(tuple, kVersionNumber, relation, "number"));
    version->digest = DigestOfUuid(Column(tuple, kVersionDigest, relation, "digest"));
    version->weights_bytes = DatumGetInt64(Column(tuple, kVersionWeightsBytes, relation, "weights_bytes"));
    bool unknown = true;
    const Datum score_us = heap_getattr(tuple, kVersionScoreUsBatched, RelationGetDescr(relation), &unknown);
    version->score_us = unknown ? 0.0 : DatumGetFloat8(score_us);
    version->int8 = TextEquals(Column(tuple, kVersionScorePrecision, relation, "score_precision"), "int8");
}

[[noreturn]] void RaiseInvalidWeights(int64_t version_id) {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                    errmsg("the size or digest of the weights of version %lld is invalid",
                           static_cast<long long>(version_id))));
    pg_unreachable();
}

void ReadWeightsSha256(HeapTuple tuple, Relation relation, int64_t version_id, uint8_t* sha256) {
    const bytea* stored = DatumGetByteaPP(Column(tuple, kVersionWeightsSha256, relation, "weights_sha256"));
    if (VARSIZE_ANY_EXHDR(stored) != sizeof(StoredArtifact::weights_sha256))
        RaiseInvalidWeights(version_id);
    std::memcpy(sha256, VARDATA_ANY(stored), sizeof(StoredArtifact::weights_sha256));
}

/// The row of a version that is known to be there, which the caller closes.
void OpenVersion(int64_t version_id, UniqueRow* row) {
    const CatalogRelations& catalog = GetCatalogRelations();
    ScanKeyData key;
    ScanKeyInit(&key, kVersionId, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(version_id));
    OpenUniqueRow(catalog.version, catalog.version_by_id, &key, 1, row);
    if (!HeapTupleIsValid(row->tuple))
        elog(ERROR, "version with id %lld does not exist", static_cast<long long>(version_id));
}

}  // namespace

void RaiseDenied(const char* name) {
    ereport(ERROR,
            (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for model \"%s\"", name)));
    pg_unreachable();
}

void RaiseNoModel(const char* name) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name)));
    pg_unreachable();
}

void RaiseNoVersion(const char* name, int number) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                    errmsg("version %d of model \"%s\" does not exist", number, name)));
    pg_unreachable();
}

void RaiseIncompleteRollout(int64_t rollout) {
    ereport(
        ERROR,
        (errcode(ERRCODE_DATA_CORRUPTED),
         errmsg("rollout %lld is incomplete", static_cast<long long>(rollout)),
         errhint(
             "Restore tables dlent.rollout and dlent.rollout_arm, or end it with dlent_stop_rollout().")));
    pg_unreachable();
}

bool FindModel(const char* name, FoundModel* model) {
    ScanKeyData key;
    ScanKeyInit(&key, kModelName, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(name));
    return FindModelBy(GetCatalogRelations().model_by_name, &key, model, nullptr);
}

bool HasPrivilege(const FoundModel& model, Privilege privilege) {
    return MayAs(GetUserId(), model, privilege);
}

bool MayWrite(Oid role, const FoundModel& model) {
    PushActiveSnapshot(GetTransactionSnapshot());
    const bool may = MayAs(role, model, Privilege::kManage);
    PopActiveSnapshot();
    return may;
}

void FindVersion(const char* name, int number, Privilege privilege, FoundVersion* version) {
    if (FindVersionIfAllowed(name, number, privilege, version))
        return;
    if (version->model.id == 0)
        RaiseNoModel(name);
    if (!HasPrivilege(version->model, privilege))
        RaiseDenied(name);
    if (version->number == 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" has no champion", name),
                        errhint("Promote a version of it with dlent_promote().")));
    RaiseNoVersion(name, version->number);
}

bool FindVersionIfAllowed(const char* name, int number, Privilege privilege, FoundVersion* version) {
    *version = {};
    const bool pushed = PushSnapshotIfNone();
    FoundModel model;
    const bool allowed = FindModel(name, &model) && HasPrivilege(model, privilege);
    version->model = model;
    version->number = number > 0 ? number : model.champion;
    const bool found = allowed && version->number > 0 && FindVersionOf(model, version->number, version);
    if (pushed)
        PopActiveSnapshot();
    return found;
}

bool FindVersionOf(const FoundModel& model, int number, FoundVersion* version) {
    const CatalogRelations& catalog = GetCatalogRelations();
    const bool pushed = PushSnapshotIfNone();
    version->model = model;
    version->number = number;
    ScanKeyData keys[2];
    ScanKeyInit(&keys[0], kVersionModelId, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(model.id));
    ScanKeyInit(&keys[1], kVersionNumber, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(number));
    UniqueRow row;
    OpenUniqueRow(catalog.version, catalog.version_by_number, keys, 2, &row);
    const bool found = HeapTupleIsValid(row.tuple);
    if (found)
        ReadVersion(row.tuple, row.relation, version);
    CloseUniqueRow(&row);
    if (pushed)
        PopActiveSnapshot();
    return found;
}

void FindDigest(const VersionDigest& digest, Privilege privilege, FoundVersion* version, const char** name) {
    if (FindDigestIfAllowed(digest, privilege, version, name))
        return;
    if (DigestExists(digest))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("permission denied for the model with digest \"%s\"", DigestText(digest))));
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                    errmsg("no version of a model has digest \"%s\"", DigestText(digest)),
                    errhint("View dlent.versions shows the digests that are here.")));
}

bool FindDigestIfAllowed(const VersionDigest& digest, Privilege privilege, FoundVersion* version,
                         const char** name) {
    const CatalogRelations& catalog = GetCatalogRelations();
    const bool pushed = PushSnapshotIfNone();
    ScanKeyData key;
    ScanKeyInit(&key, kVersionDigest, BTEqualStrategyNumber, F_UUID_EQ, UuidOfDigest(digest));
    Relation relation = table_open(catalog.version, AccessShareLock);
    SysScanDesc scan =
        systable_beginscan(relation, catalog.version_by_digest, true, GetActiveSnapshot(), 1, &key);
    *version = {};
    while (HeapTuple tuple = systable_getnext(scan)) {
        FoundVersion candidate;
        const char* title = nullptr;
        ReadVersion(tuple, relation, &candidate);
        ScanKeyData model;
        ScanKeyInit(&model, kModelId, BTEqualStrategyNumber, F_INT8EQ,
                    Column(tuple, kVersionModelId, relation, "model_id"));
        if ((version->id == 0 || candidate.id < version->id) &&
            FindModelBy(catalog.model_by_id, &model, &candidate.model, &title) &&
            HasPrivilege(candidate.model, privilege)) {
            *version = candidate;
            *name = title;
        }
    }
    systable_endscan(scan);
    table_close(relation, AccessShareLock);
    if (pushed)
        PopActiveSnapshot();
    return version->id != 0;
}

bool DigestExists(const VersionDigest& digest) {
    const CatalogRelations& catalog = GetCatalogRelations();
    ScanKeyData key;
    ScanKeyInit(&key, kVersionDigest, BTEqualStrategyNumber, F_UUID_EQ, UuidOfDigest(digest));
    Relation relation = table_open(catalog.version, AccessShareLock);
    SysScanDesc scan = systable_beginscan(relation, catalog.version_by_digest, true, nullptr, 1, &key);
    const bool exists = HeapTupleIsValid(systable_getnext(scan));
    systable_endscan(scan);
    table_close(relation, AccessShareLock);
    return exists;
}

void FindRollout(const FoundModel& model, FoundRollout* rollout) {
    const CatalogRelations& catalog = GetCatalogRelations();
    const bool pushed = PushSnapshotIfNone();
    rollout->id = model.rollout;
    ScanKeyData key;
    ScanKeyInit(&key, kRolloutId, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(model.rollout));
    UniqueRow row;
    OpenUniqueRow(catalog.rollout, catalog.rollout_by_id, &key, 1, &row);
    if (!HeapTupleIsValid(row.tuple))
        RaiseIncompleteRollout(model.rollout);
    bool no_unit = true;
    const Datum unit = heap_getattr(row.tuple, kRolloutUnit, RelationGetDescr(row.relation), &no_unit);
    rollout->unit = no_unit ? nullptr : TextDatumGetCString(unit);
    rollout->mode = TextDatumGetCString(Column(row.tuple, kRolloutMode, row.relation, "mode"));
    rollout->seed = TextDatumGetCString(Column(row.tuple, kRolloutSeed, row.relation, "seed"));
    rollout->coverage = DatumGetFloat8(Column(row.tuple, kRolloutCoverage, row.relation, "coverage"));
    CloseUniqueRow(&row);

    int capacity = 4;
    auto* arms = static_cast<FoundArm*>(palloc(sizeof(FoundArm) * capacity));
    rollout->arm_count = 0;
    ScanKeyInit(&key, kRolloutArmRolloutId, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(model.rollout));
    Relation relation = table_open(catalog.rollout_arm, AccessShareLock);
    Relation index = index_open(catalog.rollout_arm_by_number, AccessShareLock);
    SysScanDesc scan = systable_beginscan_ordered(relation, index, GetActiveSnapshot(), 1, &key);
    while (HeapTuple tuple = systable_getnext_ordered(scan, ForwardScanDirection)) {
        if (rollout->arm_count == capacity) {
            capacity *= 2;
            arms = static_cast<FoundArm*>(repalloc(arms, sizeof(FoundArm) * capacity));
        }
        FoundArm* arm = new (&arms[rollout->arm_count++]) FoundArm();
        arm->arm = DatumGetInt32(Column(tuple, kRolloutArmArm, relation, "arm"));
        arm->name = TextDatumGetCString(Column(tuple, kRolloutArmName, relation, "name"));
        arm->weight = DatumGetFloat8(Column(tuple, kRolloutArmWeight, relation, "weight"));
        arm->shadow = DatumGetBool(Column(tuple, kRolloutArmShadow, relation, "shadow"));
        if (!FindVersionOf(model, DatumGetInt32(Column(tuple, kRolloutArmVersion, relation, "version")),
                           &arm->version))
            RaiseIncompleteRollout(model.rollout);
    }
    systable_endscan_ordered(scan);
    index_close(index, AccessShareLock);
    table_close(relation, AccessShareLock);
    if (pushed)
        PopActiveSnapshot();
    if (rollout->arm_count == 0 || arms[0].arm != 0)
        RaiseIncompleteRollout(model.rollout);
    rollout->arms = arms;
}

void ReadArtifact(int64_t version_id, StoredArtifact* artifact) {
    const CatalogRelations& catalog = GetCatalogRelations();
    const bool pushed = PushSnapshotIfNone();
    UniqueRow row;
    OpenVersion(version_id, &row);
    artifact->specification =
        DatumGetJsonbPCopy(Column(row.tuple, kVersionSpecification, row.relation, "specification"));
    artifact->pipeline = DatumGetJsonbPCopy(Column(row.tuple, kVersionPipeline, row.relation, "pipeline"));
    artifact->digest = DigestOfUuid(Column(row.tuple, kVersionDigest, row.relation, "digest"));
    const int64_t expected =
        DatumGetInt64(Column(row.tuple, kVersionWeightsBytes, row.relation, "weights_bytes"));
    if (expected < 0 || expected > kMaxWeightsBytes)
        RaiseInvalidWeights(version_id);
    ReadWeightsSha256(row.tuple, row.relation, version_id, artifact->weights_sha256);
    CloseUniqueRow(&row);

    // The claimed size is believed only as far as chunks bear it out.
    size_t capacity = 0;
    size_t filled = 0;
    char* weights = nullptr;
    int next = 0;
    ScanKeyData key;
    ScanKeyInit(&key, kWeightChunkVersionId, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(version_id));
    Relation relation = table_open(catalog.weight_chunk, AccessShareLock);
    Relation index = index_open(catalog.weight_chunk_by_sequence, AccessShareLock);
    SysScanDesc scan = systable_beginscan_ordered(relation, index, GetActiveSnapshot(), 1, &key);
    HeapTuple tuple = nullptr;
    while ((tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != nullptr) {
        CHECK_FOR_INTERRUPTS();
        const int sequence = DatumGetInt32(Column(tuple, kWeightChunkSequence, relation, "sequence"));
        const Datum stored = Column(tuple, kWeightChunkData, relation, "data");
        bytea* data = DatumGetByteaPP(stored);
        const size_t size = VARSIZE_ANY_EXHDR(data);
        if (sequence != next++ || filled + size > static_cast<size_t>(expected))
            break;
        if (filled + size > capacity) {
            capacity = std::max(2 * capacity, filled + size);
            capacity = std::min(capacity, static_cast<size_t>(expected));
            weights =
                static_cast<char*>(weights == nullptr ? MemoryContextAllocHuge(CurrentMemoryContext, capacity)
                                                      : repalloc_huge(weights, capacity));
        }
        std::memcpy(weights + filled, VARDATA_ANY(data), size);
        filled += size;
        if (reinterpret_cast<Pointer>(data) != DatumGetPointer(stored))
            pfree(data);
    }
    const bool complete = tuple == nullptr && filled == static_cast<size_t>(expected);
    systable_endscan_ordered(scan);
    index_close(index, AccessShareLock);
    table_close(relation, AccessShareLock);
    if (pushed)
        PopActiveSnapshot();
    if (!complete)
        ereport(ERROR,
                (errcode(ERRCODE_DATA_CORRUPTED),
                 errmsg("the weights of version %lld are incomplete", static_cast<long long>(version_id)),
                 errhint("Restore table dlent.weight_chunk from a backup, or train the model again.")));
    artifact->weights = weights;
    artifact->weights_bytes = filled;
}

void ReadExplainer(int64_t version_id, StoredExplainer* explainer) {
    const bool pushed = PushSnapshotIfNone();
    UniqueRow row;
    OpenVersion(version_id, &row);
    bool is_null = true;
    const Datum statistics =
        heap_getattr(row.tuple, kVersionExplainer, RelationGetDescr(row.relation), &is_null);
    explainer->statistics = is_null ? nullptr : DatumGetJsonbPCopy(statistics);
    ReadWeightsSha256(row.tuple, row.relation, version_id, explainer->weights_sha256);
    CloseUniqueRow(&row);
    if (pushed)
        PopActiveSnapshot();
}

}  // namespace dlent::pg
