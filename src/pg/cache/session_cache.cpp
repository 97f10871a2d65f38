#include "pg/bridge/postgres.h"

#include "pg/cache/session_cache.h"

#include <algorithm>

namespace dlent::pg {
namespace {

int model_cache_kilobytes = 256 * 1024;

auto Matches(CachedKind kind, const VersionDigest& version, const VersionDigest& part) {
    return [=](const CachedObject& object) {
        return object.kind == kind && object.version == version && object.part == part;
    };
}

}  // namespace

const CachedObject* SessionCache::Find(CachedKind kind, const VersionDigest& version,
                                       const VersionDigest& part) const {
    const auto found = std::find_if(objects_.begin(), objects_.end(), Matches(kind, version, part));
    return found == objects_.end() ? nullptr : &*found;
}

std::shared_ptr<void> SessionCache::Use(CachedKind kind, const VersionDigest& version,
                                        const VersionDigest& part) {
    const auto found = std::find_if(objects_.begin(), objects_.end(), Matches(kind, version, part));
    if (found == objects_.end())
        return nullptr;
    objects_.splice(objects_.begin(), objects_, found);
    KeepWithinLimit();
    return objects_.front().object;
}

void SessionCache::Add(CachedObject object) {
    total_bytes_ += object.bytes();
    objects_.push_front(std::move(object));
    KeepWithinLimit();
}

/// What was used last stays even when it alone exceeds the limit, which may have been set anew.
void SessionCache::KeepWithinLimit() {
    const size_t limit = static_cast<size_t>(model_cache_kilobytes) * 1024;
    while (objects_.size() > 1 && total_bytes_ > limit) {
        total_bytes_ -= objects_.back().bytes();
        objects_.pop_back();
    }
}

/// Lives as long as the backend; nothing is to be destroyed at its exit.
SessionCache& TheSessionCache() {
    static auto* cache = new SessionCache();
    return *cache;
}

void DefineModelCacheSettings() {
    DefineCustomIntVariable("dlent.model_cache_size", "Size of the packed models that a session keeps.",
                            "Its own memory and the shared files that it maps; the model in use is kept even "
                            "when it is larger.",
                            &model_cache_kilobytes, model_cache_kilobytes, 0, MAX_KILOBYTES, PGC_USERSET,
                            GUC_UNIT_KB, nullptr, nullptr, nullptr);
}

}  // namespace dlent::pg
