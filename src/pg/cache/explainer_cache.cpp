#include "pg/bridge/postgres.h"

#include "pg/cache/explainer_cache.h"

#include "core/formats/sha256.h"
#include "pg/bridge/error.h"
#include "pg/bridge/interrupts.h"
#include "pg/bridge/json.h"
#include "pg/bridge/memory.h"
#include "pg/bridge/text.h"
#include "pg/cache/session_cache.h"
#include "pg/cache/stored_model.h"
#include "pg/cache/version_file.h"
#include "pg/cache/version_file_name.h"
#include "pg/catalog/lookup.h"

namespace dlent::pg {
namespace {

VersionDigest DigestOfHash(Sha256* hash) {
    const auto full = hash->Finish();
    VersionDigest digest;
    std::memcpy(digest.bytes, full.data(), sizeof(digest.bytes));
    return digest;
}

VersionDigest HashOf(const void* bytes, size_t size) {
    Sha256 hash;
    hash.Update({static_cast<const char*>(bytes), size});
    return DigestOfHash(&hash);
}

/// Memory that goes with the loading of something.
class LoadingContext {
 public:
    LoadingContext()
        : context_(CallPostgres([] {
              return AllocSetContextCreate(CurrentMemoryContext, "dlent explainer loading",
                                           ALLOCSET_DEFAULT_SIZES);
          })),
          scope_(std::make_unique<ContextScope>(context_)) {}
    /// Not a destructor: after an error the context goes with its parent.
    void Delete() {
        scope_.reset();
        CallPostgres([this] { MemoryContextDelete(context_); });
    }

 private:
    MemoryContext context_;
    std::unique_ptr<ContextScope> scope_;
};

struct OpenedProbe {
    std::shared_ptr<const SharedProbe> probe;
    bool mapped = false;
};

OpenedProbe OpenFile(const VersionFileKey& key, const ProbeOptions& options) {
    const std::shared_ptr<const MappedFile> file = MapVersionFile(key);
    if (file == nullptr)
        return {};
    Expected<Probe> probe = Probe::Open(file->image(), file);
    if (!probe.ok() || probe->samples() != options.samples)
        return {};
    return {std::make_shared<const SharedProbe>(SharedProbe{std::move(*probe), *key.probe}), true};
}

OpenedProbe MakeProbe(const VersionFileKey& key, const VersionExplainer& explainer,
                      const ProbeOptions& options, Scorer* scorer) {
    VersionFileLock lock(key);
    if (lock.waited()) {
        OpenedProbe opened = OpenFile(key, options);
        if (opened.probe != nullptr) {
            lock.Release();
            return opened;
        }
    }
    const InterruptToken token;
    Probe probe = ValueOrThrow(Probe::Make(explainer.statistics, options, *scorer, token), token);
    OpenedProbe made;
    if (CreateVersionFile(key, probe.image()) != nullptr)
        made = OpenFile(key, options);
    if (made.probe == nullptr)
        made.probe = std::make_shared<const SharedProbe>(SharedProbe{std::move(probe), *key.probe});
    lock.Release();
    SweepVersionFilesNowAndThen();
    return made;
}

}  // namespace

std::shared_ptr<const VersionExplainer> AcquireExplainer(const VersionIdentity& identity,
                                                         const Scorer& scorer) {
    LoadingContext loading;
    StoredExplainer stored;
    CallPostgres([&] { ReadExplainer(identity.version_id, &stored); });
    if (stored.statistics == nullptr)
        throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       "version " + std::to_string(identity.version) + " of model \"" + identity.model +
                           "\" cannot be explained",
                       "It was stored without what explanations need to know of its training rows.",
                       "Train the model again.");
    const VersionDigest content = HashOf(stored.statistics, VARSIZE(stored.statistics));
    if (std::shared_ptr<void> cached =
            TheSessionCache().Use(CachedKind::kExplainer, identity.digest, content)) {
        loading.Delete();
        return std::static_pointer_cast<const VersionExplainer>(cached);
    }
    auto explainer = std::make_shared<VersionExplainer>();
    const char* text = CallPostgres([&stored] {
        return static_cast<const char*>(
            JsonbToCString(nullptr, &stored.statistics->root, VARSIZE(stored.statistics)));
    });
    explainer->stored = ToUtf8(text);
    explainer->statistics =
        ValueOrThrow(ExplainerStatistics::FromJson(ParseJson(text), scorer.model().pipeline));
    explainer->weights_sha256 = Hex(stored.weights_sha256);
    loading.Delete();
    TheSessionCache().Add({.kind = CachedKind::kExplainer,
                           .version = identity.digest,
                           .part = content,
                           .object = explainer,
                           .object_bytes = 4 * explainer->stored.size()});
    return explainer;
}

VersionDigest ProbeId(const VersionDigest& version, const VersionExplainer& explainer,
                      const ProbeOptions& options) {
    Sha256 hash;
    hash.Update("dlent probe " + std::to_string(kProbeFormat) + "\n");
    hash.Update({reinterpret_cast<const char*>(version.bytes), sizeof(version.bytes)});
    hash.Update(Sha256Hex(explainer.stored));
    const Json json = {{"discretizer", DiscretizerName(options.discretizer)},
                       {"samples", options.samples},
                       {"seed", options.seed},
                       {"compat", options.compat}};
    hash.Update(json.dump());
    return DigestOfHash(&hash);
}

std::shared_ptr<const SharedProbe> AcquireProbe(const VersionIdentity& identity,
                                                const VersionExplainer& explainer,
                                                const ProbeOptions& options, Scorer* scorer) {
    const VersionFileKey key = {identity.digest, ProbeId(identity.digest, explainer, options)};
    if (std::shared_ptr<void> cached = TheSessionCache().Use(CachedKind::kProbe, key.version, *key.probe))
        return std::static_pointer_cast<const SharedProbe>(cached);
    OpenedProbe opened = OpenFile(key, options);
    if (opened.probe == nullptr)
        opened = MakeProbe(key, explainer, options, scorer);
    TheSessionCache().Add({.kind = CachedKind::kProbe,
                           .version = key.version,
                           .part = *key.probe,
                           .object = std::const_pointer_cast<SharedProbe>(opened.probe),
                           .mapped = opened.mapped,
                           .image_bytes = opened.probe->probe.image().size(),
                           .object_bytes = sizeof(SharedProbe)});
    return opened.probe;
}

std::shared_ptr<const Model> AcquireWeights(const VersionIdentity& identity) {
    if (std::shared_ptr<void> cached = TheSessionCache().Use(CachedKind::kWeights, identity.digest))
        return std::static_pointer_cast<const Model>(cached);
    LoadingContext loading;
    auto model = std::make_shared<Model>(LoadModel(identity));
    loading.Delete();
    size_t bytes = model->pipeline.memory_bytes();
    for (const auto& member : model->members) {
        for (const NamedTensorData& tensor : member)
            bytes += sizeof(tensor) + tensor.values.size() * sizeof(float);
    }
    TheSessionCache().Add(
        {.kind = CachedKind::kWeights, .version = identity.digest, .object = model, .object_bytes = bytes});
    return model;
}

}  // namespace dlent::pg
