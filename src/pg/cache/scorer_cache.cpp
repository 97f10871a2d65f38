#include "pg/bridge/postgres.h"

#include "pg/cache/scorer_cache.h"

#include "cpu/packed_model.h"
#include "cpu/row_scorer.h"
#include "pg/bridge/error.h"
#include "pg/bridge/memory.h"
#include "pg/cache/session_cache.h"
#include "pg/cache/stored_model.h"
#include "pg/cache/version_file.h"

namespace dlent::pg {
namespace {

/// A scorer that has just been opened.
struct OpenedScorer {
    std::shared_ptr<Scorer> scorer;
    bool mapped = false;
    size_t image_bytes = 0;
};

/// A scorer that reads a mapped file; without one when the file is not there, or not of this library's
/// making.
OpenedScorer OpenFile(const std::shared_ptr<const MappedFile>& file) {
    OpenedScorer opened{.mapped = true};
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
OpenedScorer LoadFromCatalog(const VersionIdentity& identity) {
    VersionFileLock lock({.version = identity.digest});
    if (lock.waited()) {
        OpenedScorer opened = OpenFile(MapVersionFile({.version = identity.digest}));
        if (opened.scorer != nullptr) {
            lock.Release();
            return opened;
        }
    }
    const auto packed =
        std::make_shared<const PackedModel>(ValueOrThrow(PackedModel::Pack(LoadModel(identity))));
    OpenedScorer made = OpenFile(CreateVersionFile({.version = identity.digest}, packed->image()));
    if (made.scorer == nullptr)
        made = {.scorer = ValueOrThrow(MakeCpuScorer(packed->image(), packed)),
                .mapped = false,
                .image_bytes = packed->image().size()};
    lock.Release();
    SweepVersionFilesNowAndThen();
    return made;
}

}  // namespace

std::shared_ptr<Scorer> AcquireScorer(const VersionIdentity& identity) {
    if (std::shared_ptr<void> cached = TheSessionCache().Use(CachedKind::kScorer, identity.digest))
        return std::static_pointer_cast<Scorer>(cached);
    OpenedScorer loaded = OpenFile(MapVersionFile({.version = identity.digest}));
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
    TheSessionCache().Add({.kind = CachedKind::kScorer,
                           .version = identity.digest,
                           .object = loaded.scorer,
                           .mapped = loaded.mapped,
                           .image_bytes = loaded.image_bytes,
                           .object_bytes = loaded.scorer->memory_bytes()});
    return loaded.scorer;
}

}  // namespace dlent::pg
