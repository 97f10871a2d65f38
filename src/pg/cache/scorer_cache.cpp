#include "pg/bridge/postgres.h"

#include "pg/cache/scorer_cache.h"

#include <list>

#include "core/formats/sha256.h"
#include "cpu/row_scorer.h"
#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/memory.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/relations.h"

namespace dlent::pg {
namespace {

int model_cache_kilobytes = 256 * 1024;

struct CachedScorer {
    Oid catalog;  ///< of dlent.version: an extension created anew counts its versions anew
    int64_t version_id;
    std::shared_ptr<Scorer> scorer;
    size_t bytes;
};

/// Most recently used first. There are seldom more than a handful, and a statement looks once.
class ScorerCache {
 public:
    std::shared_ptr<Scorer> Find(Oid catalog, int64_t version_id) {
        for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
            if (entry->version_id == version_id && entry->catalog == catalog) {
                entries_.splice(entries_.begin(), entries_, entry);
                return entry->scorer;
            }
        }
        return nullptr;
    }

    /// Keeps the newest even when it alone exceeds the limit.
    void Add(Oid catalog, int64_t version_id, const std::shared_ptr<Scorer>& scorer) {
        const size_t bytes = scorer->memory_bytes();
        entries_.push_front({catalog, version_id, scorer, bytes});
        total_bytes_ += bytes;
        const size_t limit = static_cast<size_t>(model_cache_kilobytes) * 1024;
        while (entries_.size() > 1 && total_bytes_ > limit) {
            total_bytes_ -= entries_.back().bytes;
            entries_.pop_back();
        }
    }

 private:
    std::list<CachedScorer> entries_;
    size_t total_bytes_ = 0;
};

/// Lives as long as the backend; nothing is to be destroyed at its exit.
ScorerCache& Cache() {
    static ScorerCache* cache = new ScorerCache();
    return *cache;
}

std::shared_ptr<Scorer> Load(int64_t version_id) {
    StoredArtifact artifact;
    CallPostgres([&] { ReadArtifact(version_id, &artifact); });
    const std::string_view weights(artifact.weights, artifact.weights_bytes);
    Sha256 hash;
    hash.Update(weights);
    const auto digest = hash.Finish();
    if (std::memcmp(digest.data(), artifact.weights_sha256, digest.size()) != 0)
        throw SqlError(ERRCODE_DATA_CORRUPTED,
                       "the weights of version " + std::to_string(version_id) + " do not have their SHA-256",
                       {}, "Restore table dlent.weight_chunk from a backup, or train the model again.");
    Model model =
        ValueOrThrow(Model::FromArtifact(JsonFromDatum(JsonbPGetDatum(artifact.specification)),
                                         JsonFromDatum(JsonbPGetDatum(artifact.pipeline)), weights));
    return std::shared_ptr<Scorer>(ValueOrThrow(MakeCpuScorer(std::move(model))));
}

}  // namespace

std::shared_ptr<Scorer> AcquireScorer(int64_t version_id) {
    const Oid catalog = CallPostgres([] { return GetCatalogRelations().version; });
    if (std::shared_ptr<Scorer> cached = Cache().Find(catalog, version_id))
        return cached;
    // What loading needs beside the scorer (the stored bytes, mostly) goes when it is done.
    MemoryContext loading = CallPostgres([] {
        return AllocSetContextCreate(CurrentMemoryContext, "dlent model loading", ALLOCSET_DEFAULT_SIZES);
    });
    std::shared_ptr<Scorer> scorer;
    {
        const ContextScope scope(loading);
        scorer = Load(version_id);
    }
    CallPostgres([loading] { MemoryContextDelete(loading); });
    Cache().Add(catalog, version_id, scorer);
    return scorer;
}

void DefineModelCacheSettings() {
    DefineCustomIntVariable("dlent.model_cache_size", "Memory for packed models that a session keeps.",
                            "The model in use is kept even when it is larger.", &model_cache_kilobytes,
                            model_cache_kilobytes, 0, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, nullptr,
                            nullptr, nullptr);
}

}  // namespace dlent::pg
