#include "pg/bridge/postgres.h"

#include "pg/cache/stored_model.h"

#include "core/formats/sha256.h"
#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/catalog/lookup.h"

namespace dlent::pg {
namespace {

[[noreturn]] void ThrowDamaged(const VersionIdentity& identity, const char* what) {
    throw SqlError(ERRCODE_DATA_CORRUPTED,
                   std::string("the ") + what + " of version " + std::to_string(identity.version) +
                       " of model \"" + identity.model + "\" do not have their SHA-256",
                   {}, "Restore the tables of schema dlent from a backup, or train the model again.");
}

}  // namespace

Model LoadModel(const VersionIdentity& identity) {
    StoredArtifact artifact;
    const VersionDigest digest = CallPostgres([&] {
        ReadArtifact(identity.version_id, &artifact);
        return ComputeDigest(artifact.specification, artifact.pipeline, artifact.weights_sha256);
    });
    const std::string_view weights(artifact.weights, artifact.weights_bytes);
    Sha256 hash;
    hash.Update(weights);
    const auto sha256 = hash.Finish();
    if (std::memcmp(sha256.data(), artifact.weights_sha256, sha256.size()) != 0)
        ThrowDamaged(identity, "weights");
    if (digest != artifact.digest || digest != identity.digest)
        ThrowDamaged(identity, "specification and pipeline");
    return ValueOrThrow(Model::FromArtifact(JsonFromDatum(JsonbPGetDatum(artifact.specification)),
                                            JsonFromDatum(JsonbPGetDatum(artifact.pipeline)), weights));
}

}  // namespace dlent::pg
