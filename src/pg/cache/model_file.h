#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "pg/bridge/postgres.h"
#include "pg/catalog/digest.h"

namespace dlent::pg {

// The packed form of a version as one immutable file that all backends of the machine map read-only: the page
// cache holds the only copy. It is derived from the catalog and may vanish at any time; whoever misses it
// makes it again, a standby its own.
//
//   base/pgsql_tmp/pgsql_tmp_dlent_<database OID>_<digest>_<format>
//
// PostgreSQL removes files of that prefix when it starts (also after a crash), and base backups leave them
// out. A file is written under a name that ends in its writer's process id, then renamed: under its own name
// it is complete and never changes, so mapped pages are always there. What a writer that was killed left, and
// files that nobody needs any more, are removed by SweepModelFiles().

/// A mapping, until this is destroyed; it outlives the removal of its file.
class MappedModel {
 public:
    MappedModel(const void* address, size_t bytes) : address_(address), bytes_(bytes) {}
    ~MappedModel();
    MappedModel(const MappedModel&) = delete;
    MappedModel& operator=(const MappedModel&) = delete;

    /// The packed model, on a cache line.
    std::span<const std::byte> image() const;

 private:
    const void* address_;
    size_t bytes_;
};

/// Maps the file of a digest in this database, and checks its size and CRC-32C. Null when there is none, or
/// when it is damaged, which is logged: then it is to be made anew. For C++ frames; throws PgError when
/// interrupted.
std::shared_ptr<const MappedModel> MapModelFile(const VersionDigest& digest);

/// Writes the file of a digest, in place of one that may be there, and maps it. Null when that cannot be done
/// (no space, no permission, ...): a WARNING says so once a session, and the caller keeps the image for
/// itself. For C++ frames; throws PgError when interrupted.
std::shared_ptr<const MappedModel> CreateModelFile(const VersionDigest& digest,
                                                   std::span<const std::byte> image);

/// While this exists no other process of the server makes the file of that digest (but for the workers of one
/// parallel query, which may do the work twice). A destructor cannot call PostgreSQL: Release() ends it, or
/// the end of the (sub)transaction after an error.
class ModelFileLock {
 public:
    /// Waits for its turn, under lock_timeout and the deadlock detector as any lock does. For C++ frames.
    explicit ModelFileLock(const VersionDigest& digest);
    /// Whether another process had it, which may have made the file.
    bool waited() const { return waited_; }
    void Release();

 private:
    VersionDigest digest_;
    bool waited_ = false;
};

struct ModelFileStatus {
    int64_t bytes;
    TimestampTz created_at;
};
/// What the file system says about the file of a digest; nothing when there is none.
std::optional<ModelFileStatus> StatModelFile(const VersionDigest& digest);

/// Removes what is left of writers that are gone, files of databases that are gone, and those files of this
/// database whose digest no version has. Best effort: what cannot be removed is logged. For frames without
/// destructors.
void SweepModelFiles();

/// Removes the file of a digest when the current (sub)transaction has committed; not when it is prepared,
/// where a later sweep does. For frames without destructors.
void RemoveModelFileAtCommit(const VersionDigest& digest);

/// To be called once, from _PG_init().
void RegisterModelFileCallbacks();

}  // namespace dlent::pg
