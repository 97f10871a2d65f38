#include "pg/bridge/postgres.h"

#include "pg/cache/scorer_cache.h"

#include <list>

#include "core/formats/sha256.h"
#include "cpu/packed_model.h"
#include "cpu/row_scorer.h"
#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/memory.h"
#include "pg/cache/version_file.h"
#include "pg/catalog/lookup.h"

extern "C" {
#include "utils/timestamp.h"
}

namespace dlent::pg {
namespace {

/// A session that makes many files looks for those that nobody needs only so often.
constexpr int kSweepIntervalMs = 60'000;

int model_cache_kilobytes = 256 * 1024;

struct CachedScorer {
    VersionDigest digest;
    std::shared_ptr<Scorer> scorer;
    bool mapped = false;
    size_t image_bytes = 0;
    size_t bytes() const { return image_bytes + scorer->memory_bytes(); }
};

/// Most recently used first. There are seldom more than a handful, and a statement looks once.
class ScorerCache {
 public:
    const CachedScorer* Find(const VersionDigest& digest) const {
        for (const CachedScorer& entry : entries_) {
            if (entry.digest == digest)
                return &entry;
        }
        return nullptr;
    }

    /// The scorer, which becomes the last to go; null when it is not there.
    std::shared_ptr<Scorer> Use(const VersionDigest& digest) {
        for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
            if (entry->digest == digest) {
                entries_.splice(entries_.begin(), entries_, entry);
                KeepWithinLimit();
                return entries_.front().scorer;
            }
        }
        return nullptr;
    }

    void Add(CachedScorer entry) {
        total_bytes_ += entry.bytes();
        entries_.push_front(std::move(entry));
        KeepWithinLimit();
    }

 private:
    /// The model in use stays even when it alone exceeds the limit, which may have been set anew.
    void KeepWithinLimit() {
        const size_t limit = static_cast<size_t>(model_cache_kilobytes) * 1024;
        while (entries_.size() > 1 && total_bytes_ > limit) {
            total_bytes_ -= entries_.back().bytes();
            entries_.pop_back();
        }
    }

    std::list<CachedScorer> entries_;
    size_t total_bytes_ = 0;
};

/// Lives as long as the backend; nothing is to be destroyed at its exit.
ScorerCache& Cache() {
    static ScorerCache* cache = new ScorerCache();
    return *cache;
}

[[noreturn]] void ThrowDamaged(const VersionIdentity& identity, const char* what) {
    throw SqlError(ERRCODE_DATA_CORRUPTED,
                   std::string("the ") + what + " of version " + std::to_string(identity.version) +
                       " of model \"" + identity.model + "\" do not have their SHA-256",
                   {}, "Restore the tables of schema dlent from a backup, or train the model again.");
}

/// The packed model, made from the catalog.
PackedModel Pack(const VersionIdentity& identity) {
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
    const Model model =
        ValueOrThrow(Model::FromArtifact(JsonFromDatum(JsonbPGetDatum(artifact.specification)),
                                         JsonFromDatum(JsonbPGetDatum(artifact.pipeline)), weights));
    return ValueOrThrow(PackedModel::Pack(model));
}

/// A scorer that reads a mapped file; without one when the file is not there, or not of this library's
/// making.
CachedScorer OpenFile(const VersionDigest& digest, const std::shared_ptr<const MappedFile>& file) {
    CachedScorer opened{.digest = digest, .mapped = true};
    if (file == nullptr)
        return opened;
    Expected<std::unique_ptr<Scorer>> scorer = MakeCpuScorer(file->image(), file);
    if (scorer.ok()) {
        opened.scorer = std::move(*scorer);
        opened.image_bytes = file->image().size();
    }
    return opened;
}

/// Packs the version and makes the file, so that the others need not.
CachedScorer LoadFromCatalog(const VersionIdentity& identity) {
    VersionFileLock lock({.version = identity.digest});
    if (lock.waited()) {
        CachedScorer opened = OpenFile(identity.digest, MapVersionFile({.version = identity.digest}));
        if (opened.scorer != nullptr) {
            lock.Release();
            return opened;
        }
    }
    const auto packed = std::make_shared<const PackedModel>(Pack(identity));
    CachedScorer made =
        OpenFile(identity.digest, CreateVersionFile({.version = identity.digest}, packed->image()));
    if (made.scorer == nullptr)
        made = {.digest = identity.digest,
                .scorer = ValueOrThrow(MakeCpuScorer(packed->image(), packed)),
                .mapped = false,
                .image_bytes = packed->image().size()};
    lock.Release();
    CallPostgres([] {
        static TimestampTz last_sweep = 0;
        const TimestampTz now = GetCurrentTimestamp();
        if (TimestampDifferenceExceeds(last_sweep, now, kSweepIntervalMs)) {
            last_sweep = now;
            SweepVersionFiles();
        }
    });
    return made;
}

}  // namespace

std::shared_ptr<Scorer> AcquireScorer(const VersionIdentity& identity) {
    if (std::shared_ptr<Scorer> cached = Cache().Use(identity.digest))
        return cached;
    CachedScorer loaded = OpenFile(identity.digest, MapVersionFile({.version = identity.digest}));
    if (loaded.scorer == nullptr) {
        // What loading needs beside the scorer (the stored bytes, mostly) goes when it is done.
        MemoryContext loading = CallPostgres([] {
            return AllocSetContextCreate(CurrentMemoryContext, "dlent model loading", ALLOCSET_DEFAULT_SIZES);
        });
        {
            const ContextScope scope(loading);
            loaded = LoadFromCatalog(identity);
        }
        CallPostgres([loading] { MemoryContextDelete(loading); });
    }
    std::shared_ptr<Scorer> scorer = loaded.scorer;
    Cache().Add(std::move(loaded));
    return scorer;
}

std::optional<CachedModel> FindCachedModel(const VersionDigest& digest) {
    const CachedScorer* found = Cache().Find(digest);
    if (found == nullptr)
        return std::nullopt;
    return CachedModel{found->mapped,
                       found->scorer->memory_bytes() + (found->mapped ? 0 : found->image_bytes)};
}

void DefineModelCacheSettings() {
    DefineCustomIntVariable("dlent.model_cache_size", "Size of the packed models that a session keeps.",
                            "Its own memory and the shared files that it maps; the model in use is kept even "
                            "when it is larger.",
                            &model_cache_kilobytes, model_cache_kilobytes, 0, MAX_KILOBYTES, PGC_USERSET,
                            GUC_UNIT_KB, nullptr, nullptr, nullptr);
}

}  // namespace dlent::pg
