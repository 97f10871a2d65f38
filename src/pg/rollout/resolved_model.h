#pragma once

#include <string>
#include <vector>

#include "core/rollout/bucket.h"
#include "pg/catalog/models.h"
#include "pg/observe/observation.h"

namespace dlent::pg {

/// A version that takes part in answering calls of a model.
struct ResolvedArm {
    int arm = 0;       ///< 0: the champion
    std::string name;  ///< as reports call it, in the server's encoding
    VersionIdentity version;
    bool shadow = false;  ///< scored and never returned
    BucketRange range;    ///< units that are its own
};

/// What a call of a model means under the active snapshot.
struct ResolvedModel {
    int64_t model_id = 0;
    std::string model;
    int64_t rollout_id = 0;
    std::string mode;  ///< of the rollout
    std::string
        unit;  ///< column whose value decides which arm answers, in the server's encoding; empty: none
    std::string seed;  ///< of the hash of units, in the server's encoding
    double coverage = 0.0;
    std::vector<ResolvedArm> arms;  ///< exactly one without a rollout
    Observation observation;        ///< what is recorded of the answers

    const VersionIdentity& champion() const { return arms.front().version; }
};

/// The version that a call names, or, where it names none, the champion and the arms of a rollout that is
/// under way. Reads the catalog as ResolveVersion() does, and raises the same errors.
ResolvedModel ResolveModel(const ModelReference& reference, Privilege privilege);

/// A model that one version answers.
ResolvedModel ResolvedTo(VersionIdentity version);

}  // namespace dlent::pg
