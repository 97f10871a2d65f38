#include "pg/bridge/postgres.h"

#include "pg/rollout/resolved_model.h"

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/relations.h"

extern "C" {
#include "utils/snapmgr.h"
}

namespace dlent::pg {
namespace {

VersionIdentity IdentityOf(const FoundVersion& version, const std::string& model) {
    return {version.model.id, version.id, version.number, version.model.owner, version.digest, model};
}

}  // namespace

ResolvedModel ResolveModel(const ModelReference& reference, Privilege privilege) {
    FoundVersion found;
    FoundRollout rollout;
    CallPostgres([&] {
        const bool pushed = PushSnapshotIfNone();
        FindVersion(reference.name.c_str(), reference.version, privilege, &found);
        if (reference.version == 0 && found.model.rollout != 0)
            FindRollout(found.model, &rollout);
        if (pushed)
            PopActiveSnapshot();
    });
    const bool observed = found.model.observation != nullptr;
    Observation observation;
    if (observed)
        observation = Observation::FromJson(JsonFromDatum(JsonbPGetDatum(found.model.observation)));
    if (rollout.id == 0) {
        ResolvedModel resolved = ResolvedTo(IdentityOf(found, reference.name));
        resolved.observation = std::move(observation);
        return resolved;
    }
    ResolvedModel resolved;
    resolved.model_id = found.model.id;
    resolved.model = reference.name;
    resolved.rollout_id = rollout.id;
    resolved.mode = rollout.mode;
    resolved.unit = rollout.unit == nullptr ? "" : rollout.unit;
    resolved.observation = observed ? std::move(observation) : Observation::OfRollout(resolved.unit);
    resolved.seed = rollout.seed;
    resolved.coverage = rollout.coverage;
    std::vector<double> weights;
    for (int i = 0; i < rollout.arm_count; ++i) {
        const FoundArm& arm = rollout.arms[i];
        resolved.arms.push_back({arm.arm, arm.name, IdentityOf(arm.version, reference.name), arm.shadow, {}});
        weights.push_back(arm.weight);
    }
    const std::vector<BucketRange> ranges = BucketRanges(weights, rollout.coverage);
    for (size_t i = 0; i < ranges.size(); ++i)
        resolved.arms[i].range = ranges[i];
    return resolved;
}

ResolvedModel ResolvedTo(VersionIdentity version) {
    ResolvedModel resolved;
    resolved.model_id = version.model_id;
    resolved.model = version.model;
    resolved.arms.push_back({0, "champion", std::move(version), false, {0.0, 1.0}});
    return resolved;
}

}  // namespace dlent::pg
