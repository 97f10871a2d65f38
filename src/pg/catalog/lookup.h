#pragma once

#include <cstdint>

#include "pg/bridge/postgres.h"
#include "pg/catalog/digest.h"
#include "pg/catalog/models.h"

extern "C" {
#include "utils/jsonb.h"
}

namespace dlent::pg {

// Reads of the catalog by its indexes, under the active snapshot. They raise PostgreSQL errors and allocate
// in the current memory context: call them from frames without destructors.

struct FoundModel {
    int64_t id = 0;
    Oid owner = InvalidOid;
    int champion = 0;              ///< 0: none
    int64_t rollout = 0;           ///< the one that is under way; 0: none
    Jsonb* observation = nullptr;  ///< what is recorded of its answers; null: nothing
};

struct FoundVersion {
    FoundModel model;
    int64_t id = 0;
    int number = 0;
    VersionDigest digest;
    int64_t weights_bytes = 0;
    double score_us = 0.0;  ///< microseconds a row in batches; 0: not known
    bool int8 = false;      ///< is scored in int8, by the CPU
};

/// False when there is no model of that name.
bool FindModel(const char* name, FoundModel* model);

/// Version `number` (0: the champion) of a model; the current user must have `privilege`. 42704, 42501.
void FindVersion(const char* name, int number, Privilege privilege, FoundVersion* version);

/// The same; false where that raises an error.
bool FindVersionIfAllowed(const char* name, int number, Privilege privilege, FoundVersion* version);

/// Version `number` of a model that was found, whoever asks. False when there is none.
bool FindVersionOf(const FoundModel& model, int number, FoundVersion* version);

/// The oldest version with that digest on whose model the current user has `privilege`, and the model's name,
/// in the current memory context. 42704, 42501.
void FindDigest(const VersionDigest& digest, Privilege privilege, FoundVersion* version, const char** name);

/// The same; false where that raises an error.
bool FindDigestIfAllowed(const VersionDigest& digest, Privilege privilege, FoundVersion* version,
                         const char** name);

/// Whether any version has that digest, by what is committed now, and by this transaction.
bool DigestExists(const VersionDigest& digest);

/// Whether the current user is as good as the owner, or has been granted `privilege` (or kManage).
bool HasPrivilege(const FoundModel& model, Privilege privilege);
/// Whether `role` may change the model, by what is committed now: for a catalog write, which has waited for
/// others.
bool MayWrite(Oid role, const FoundModel& model);

/// 42501, naming the model.
[[noreturn]] void RaiseDenied(const char* name);
/// 42704, naming the model.
[[noreturn]] void RaiseNoModel(const char* name);
[[noreturn]] void RaiseNoVersion(const char* name, int number);
/// XX001: parts of a rollout are not there.
[[noreturn]] void RaiseIncompleteRollout(int64_t rollout);

/// A version in a rollout.
struct FoundArm {
    int arm = 0;  ///< 0: the champion
    const char* name = nullptr;
    double weight = 0.0;
    bool shadow = false;
    FoundVersion version;
};
struct FoundRollout {
    int64_t id = 0;
    const char* mode = nullptr;
    const char* unit = nullptr;  ///< a column; null: none
    const char* seed = nullptr;
    double coverage = 0.0;
    const FoundArm* arms = nullptr;  ///< in order
    int arm_count = 0;
};
/// The rollout of a model that has one under way, in the current memory context. XX001 when parts of it are
/// not there.
void FindRollout(const FoundModel& model, FoundRollout* rollout);

/// The stored parts of a version, as they are: nothing has been verified but that all bytes are there.
struct StoredArtifact {
    Jsonb* specification = nullptr;
    Jsonb* pipeline = nullptr;
    const char* weights = nullptr;
    size_t weights_bytes = 0;
    uint8_t weights_sha256[32] = {};
    VersionDigest digest;  ///< as stored
};

/// XX001 when bytes are missing.
void ReadArtifact(int64_t version_id, StoredArtifact* artifact);

/// What explanations need of a version, as it is stored.
struct StoredExplainer {
    Jsonb* statistics = nullptr;  ///< null: the version has none
    uint8_t weights_sha256[32] = {};
};
void ReadExplainer(int64_t version_id, StoredExplainer* explainer);

}  // namespace dlent::pg
