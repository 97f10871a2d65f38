#pragma once

#include <cstddef>
#include <list>
#include <memory>

#include "pg/bridge/postgres.h"
#include "pg/catalog/digest.h"

namespace dlent::pg {

/// What a session keeps of versions, so that its next statement need not make it again.
enum class CachedKind { kScorer, kExplainer, kProbe, kWeights };

struct CachedObject {
    CachedKind kind = CachedKind::kScorer;
    VersionDigest version;
    VersionDigest part;            ///< what tells objects of one kind and version apart; zeros: there is one
    std::shared_ptr<void> object;  ///< of the type that its kind means
    bool mapped = false;           ///< its image is a shared file
    size_t image_bytes = 0;
    size_t object_bytes = 0;  ///< memory of this process beside the image
    size_t bytes() const { return image_bytes + object_bytes; }
    /// Memory of this process.
    size_t private_bytes() const { return object_bytes + (mapped ? 0 : image_bytes); }
};

/// Objects of versions never change; the least recently used go when all of them outgrow
/// dlent.model_cache_size. One in use outlives its eviction. There are seldom more than a handful, and a
/// statement looks once.
class SessionCache {
 public:
    /// Null when it is not there.
    const CachedObject* Find(CachedKind kind, const VersionDigest& version,
                             const VersionDigest& part = {}) const;
    /// The object, which becomes the last to go; null when it is not there.
    std::shared_ptr<void> Use(CachedKind kind, const VersionDigest& version, const VersionDigest& part = {});
    void Add(CachedObject object);
    const std::list<CachedObject>& objects() const { return objects_; }

 private:
    void KeepWithinLimit();

    std::list<CachedObject> objects_;  ///< most recently used first
    size_t total_bytes_ = 0;
};

/// Of this backend.
SessionCache& TheSessionCache();

/// Defines dlent.model_cache_size. To be called once, from _PG_init().
void DefineModelCacheSettings();

}  // namespace dlent::pg
