#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "pg/bridge/postgres.h"
#include "pg/catalog/digest.h"

namespace dlent::pg {

// What is derived from a version, each as one immutable file that all backends of the machine map read-only:
// the page cache holds the only copy. It follows from the catalog and may vanish at any time; whoever misses
// it makes it again, a standby its own.
//
//   base/pgsql_tmp/pgsql_tmp_dlent_<database OID>_<digest>_<format>              the packed model
//   base/pgsql_tmp/pgsql_tmp_dlent_<database OID>_<digest>_<probe id>_<format>   a probe of the explainer
//
// PostgreSQL removes files of that prefix when it starts (also after a crash), and base backups leave them
// out. A file is written under a name that ends in its writer's process id, then renamed: under its own name
// it is complete and never changes, so mapped pages are always there. What a writer that was killed left, and
// files that nobody needs any more, are removed by SweepVersionFiles().

/// What a file holds.
struct VersionFileKey {
    VersionDigest version;
    std::optional<VersionDigest> probe;  ///< the explainer's probe of that id; else the packed model

    bool operator==(const VersionFileKey&) const = default;
};

/// A mapping, until this is destroyed; it outlives the removal of its file.
class MappedFile {
 public:
    MappedFile(const void* address, size_t bytes) : address_(address), bytes_(bytes) {}
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    /// What the file holds, on a cache line.
    std::span<const std::byte> image() const;

 private:
    const void* address_;
    size_t bytes_;
};

/// Maps a file of this database, and checks its size and CRC-32C. Null when there is none, or
/// when it is damaged, which is logged: then it is to be made anew. For C++ frames; throws PgError when
/// interrupted.
std::shared_ptr<const MappedFile> MapVersionFile(const VersionFileKey& key);

/// Writes a file, in place of one that may be there, and maps it. Null when that cannot be done
/// (no space, no permission, ...): a WARNING says so once a session, and the caller keeps the image for
/// itself. For C++ frames; throws PgError when interrupted.
std::shared_ptr<const MappedFile> CreateVersionFile(const VersionFileKey& key,
                                                    std::span<const std::byte> image);

/// While this exists no other process of the server makes that file (but for the workers of one
/// parallel query, which may do the work twice). A destructor cannot call PostgreSQL: Release() ends it, or
/// the end of the (sub)transaction after an error.
class VersionFileLock {
 public:
    /// Waits for its turn, under lock_timeout and the deadlock detector as any lock does. For C++ frames.
    explicit VersionFileLock(const VersionFileKey& key);
    /// Whether another process had it, which may have made the file.
    bool waited() const { return waited_; }
    void Release();

 private:
    VersionFileKey key_;
    bool waited_ = false;
};

struct VersionFileStatus {
    int64_t bytes;
    TimestampTz created_at;
};
/// What the file system says about a file; nothing when there is none.
std::optional<VersionFileStatus> StatVersionFile(const VersionFileKey& key);

/// A probe that is shared on this machine.
struct ProbeFile {
    VersionDigest version;
    VersionDigest probe;
    VersionFileStatus status;
};
/// The complete probe files of this database, in no order; an array in the current memory context. For frames
/// without destructors.
ProbeFile* ListProbeFiles(int* count);

/// Removes what is left of writers that are gone, files of databases that are gone, and those files of this
/// database whose digest no version has. Best effort: what cannot be removed is logged. For frames without
/// destructors.
void SweepVersionFiles();
/// The same for who has made a file, not more often than once a minute. For C++ frames.
void SweepVersionFilesNowAndThen();

/// Removes all files of a version when the current (sub)transaction has committed; not when it is prepared,
/// where a later sweep does. For frames without destructors.
void RemoveVersionFilesAtCommit(const VersionDigest& version);

/// To be called once, from _PG_init().
void RegisterVersionFileCallbacks();

}  // namespace dlent::pg
