#pragma once

#include <cstdint>

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// The OIDs of the extension's relations in this database.
struct CatalogRelations {
    Oid extension = InvalidOid;
    Oid schema = InvalidOid;
    Oid owner = InvalidOid;  ///< of the tables: the role that writes to them
    Oid model = InvalidOid;
    Oid model_by_id = InvalidOid;
    Oid model_by_name = InvalidOid;
    Oid version = InvalidOid;
    Oid version_by_id = InvalidOid;
    Oid version_by_number = InvalidOid;
    Oid version_by_digest = InvalidOid;
    Oid weight_chunk = InvalidOid;
    Oid weight_chunk_by_sequence = InvalidOid;
    Oid model_grant = InvalidOid;
    Oid model_grant_by_grantee = InvalidOid;
    Oid rollout = InvalidOid;
    Oid rollout_by_id = InvalidOid;
    Oid rollout_arm = InvalidOid;
    Oid rollout_arm_by_number = InvalidOid;
};

/// Columns that are read directly, numbered as sql/extension/10_catalog.sql and 84_rollouts.sql create them.
enum ModelColumn {
    kModelId = 1,
    kModelName,
    kModelOwner,
    kModelVersions,
    kModelChampion,
    kModelCreatedAt,
    kModelRollout,
    kModelObservation
};
enum VersionColumn {
    kVersionId = 1,
    kVersionModelId,
    kVersionNumber,
    kVersionKind,
    kVersionTask,
    kVersionTarget,
    kVersionSpecification,
    kVersionPipeline,
    kVersionWeightsBytes,
    kVersionWeightsSha256,
    kVersionDigest,
    kVersionScoreUsSingle,
    kVersionScoreUsBatched,
    kVersionScorePrecision,
    kVersionExplainer
};
enum WeightChunkColumn { kWeightChunkVersionId = 1, kWeightChunkSequence, kWeightChunkData };
enum ModelGrantColumn { kModelGrantModelId = 1, kModelGrantGrantee, kModelGrantPrivilege };
enum RolloutColumn {
    kRolloutId = 1,
    kRolloutModelId,
    kRolloutMode,
    kRolloutState,
    kRolloutUnit,
    kRolloutSeed,
    kRolloutCoverage
};
enum RolloutArmColumn {
    kRolloutArmRolloutId = 1,
    kRolloutArmArm,
    kRolloutArmName,
    kRolloutArmVersion,
    kRolloutArmWeight,
    kRolloutArmShadow
};

// The functions below raise PostgreSQL errors: call them from frames without destructors.

/// Looked up by name once, and again after the extension was dropped or created anew. 55000 without the
/// extension.
const CatalogRelations& GetCatalogRelations();

/// Grows whenever a model, its champion, its rollout or its grants may have changed, in this transaction or a
/// committed one. Only a hint that what was resolved has to be resolved again: what counts is the snapshot.
uint64_t CatalogGeneration();

/// Announces, as part of the current transaction, that dlent.model has changed.
void InvalidateCatalog();

/// To be called once, from _PG_init().
void RegisterCatalogCallbacks();

/// Makes sure that there is an active snapshot; true when one had to be pushed, which the caller then pops.
bool PushSnapshotIfNone();

}  // namespace dlent::pg
