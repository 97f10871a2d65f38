#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/train/train_model.h"
#include "pg/bridge/postgres.h"
#include "pg/catalog/digest.h"

namespace dlent::pg {

/// What a grant allows. The owner, whoever has the privileges of its role, and superusers may do everything;
/// kManage implies the other two.
enum class Privilege { kPredict, kExplain, kManage };

/// A model as a user writes it: `name`, which means its champion, or `name@version`.
struct ModelReference {
    std::string name;
    int version = 0;  ///< 0: the champion

    /// The text that a user would write.
    std::string ToString() const;
};

/// 42602 when the text is no such name.
ModelReference ParseModelReference(std::string_view text);
/// A name alone, where a version makes no sense. 42602.
std::string ParseModelName(std::string_view text);

/// One version as the active snapshot has it.
struct VersionIdentity {
    int64_t model_id = 0;
    int64_t version_id = 0;  ///< never reused; a version's content never changes
    int version = 0;
    Oid owner = InvalidOid;
    VersionDigest digest;
    std::string model;
};

/// Finds a version and checks that the current user has `privilege` on its model. Reads the catalog directly
/// under the active snapshot: no SPI, so it also works in parallel workers and on a standby. 42704 when there
/// is no such model or version, 42501 when the user may not.
VersionIdentity ResolveVersion(const ModelReference& reference, Privilege privilege);

/// The same for a content address. Of several versions that have it, the oldest that the user may use.
VersionIdentity ResolveDigest(const VersionDigest& digest, Privilege privilege);

/// To be called before training: the name is one that can be stored, and the current user may store a version
/// under it (the model is new, or it is the user's, or the user may manage it). 42602, 42501.
void CheckMayTrain(const std::string& model);

/// A trained model and where it came from.
struct NewVersion {
    std::string model;
    const TrainedModel* trained = nullptr;
    Json options;        ///< as the user gave them
    std::string device;  ///< that trained it: "cpu", "cuda:0"
    uint64_t seed = 0;
    bool promote = false;        ///< make it the champion at once
    std::string source;          ///< as the user gave it
    Oid relation = InvalidOid;   ///< when the source is one table or view; otherwise it is a SELECT
    std::vector<Oid> relations;  ///< everything that the planned source reads
    std::string snapshot;        ///< pg_current_snapshot() that the rows were read under
    std::string lsn;             ///< pg_lsn at that time
    TimestampTz started_at = 0;
};

struct StoredVersion {
    int64_t model_id = 0;
    int64_t version_id = 0;
    int version = 0;
    bool champion = false;
};

/// Stores a version (row, weights, training log, contract view, audit event) in the current transaction; the
/// model is created, owned by the current user, when it is new. Waits for another transaction that stores
/// under the same name and takes the next number. Checks again what CheckMayTrain() checked, under lock.
StoredVersion StoreVersion(const NewVersion& version);

}  // namespace dlent::pg
