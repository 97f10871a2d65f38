#include "pg/bridge/postgres.h"

#include "pg/cache/version_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "pg/bridge/error.h"
#include "pg/cache/version_file_name.h"

extern "C" {
#include "common/file_perm.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/lock.h"
}

namespace dlent::pg {
namespace {

/// The file's first 64 bytes; the image follows.
struct FileHeader {
    char magic[8];
    int32_t format;
    uint32_t crc;  ///< CRC-32C of the file, with 0 in this place
    uint64_t image_bytes;
    VersionDigest version;
    VersionDigest probe;  ///< zeros: the packed model
    uint8_t reserved[8];
};
static_assert(sizeof(FileHeader) == 64 && std::is_trivially_copyable_v<FileHeader>);
constexpr char kMagic[] = "dlentmdl";

/// Work between two looks at the interrupt flag: a few milliseconds.
constexpr size_t kSliceBytes = size_t{8} << 20;

/// Tells the advisory locks of these files from those of users, whose fourth field is 1 or 2.
constexpr uint16 kLockKind = 0xd1e7;

/// Of this process, for names of files being written.
unsigned file_counter = 0;
bool warned = false;

VersionFileName NameOf(const VersionFileKey& key) {
    return {.database = MyDatabaseId, .key = key, .format = FormatOf(key)};
}

void CheckInterrupts() {
    CallPostgres([] { CHECK_FOR_INTERRUPTS(); });
}

/// The first failure of a session is told to its user, who pays for it with memory.
void Warn(const char* what, const char* path, int error) {
    CallPostgres([=] {
        errno = error;
        ereport(warned ? DEBUG1 : WARNING,
                (errcode_for_file_access(), errmsg("could not %s model cache file \"%s\": %m", what, path),
                 errdetail("This session keeps the models that it uses in its own memory."),
                 errhint("Scores are the same; other sessions cannot share the memory.")));
    });
    warned = true;
}

class FileDescriptor {
 public:
    explicit FileDescriptor(int fd) : fd_(fd) {}
    ~FileDescriptor() {
        if (fd_ >= 0)
            close(fd_);
    }
    FileDescriptor(const FileDescriptor&) = delete;
    FileDescriptor& operator=(const FileDescriptor&) = delete;
    int get() const { return fd_; }

 private:
    const int fd_;
};

/// Closes one of PostgreSQL's own files when there are too many; -1 with errno.
int Open(const char* path, int flags) {
    struct Opened {
        int fd;
        int error;
    };
    const auto opened = CallPostgres([=] {
        const int fd = BasicOpenFilePerm(path, flags | PG_BINARY, pg_file_create_mode);
        return Opened{fd, errno};
    });
    errno = opened.error;
    return opened.fd;
}

/// The name of a file being written, which vanishes unless it was renamed.
class TemporaryName {
 public:
    explicit TemporaryName(const VersionFilePath& path) : path_(path) {}
    ~TemporaryName() {
        if (!renamed_)
            unlink(path_.data());
    }
    TemporaryName(const TemporaryName&) = delete;
    TemporaryName& operator=(const TemporaryName&) = delete;
    const char* path() const { return path_.data(); }
    /// False with errno.
    bool Rename(const char* path) {
        renamed_ = rename(path_.data(), path) == 0;
        return renamed_;
    }

 private:
    const VersionFilePath path_;
    bool renamed_ = false;
};

uint32_t FileCrc(FileHeader header, std::span<const std::byte> image) {
    header.crc = 0;
    pg_crc32c crc;
    INIT_CRC32C(crc);
    COMP_CRC32C(crc, &header, sizeof(header));
    while (!image.empty()) {
        const auto slice = image.first(std::min(image.size(), kSliceBytes));
        COMP_CRC32C(crc, slice.data(), slice.size());
        image = image.subspan(slice.size());
        CheckInterrupts();
    }
    FIN_CRC32C(crc);
    return crc;
}

/// False with errno.
bool Write(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        errno = 0;
        const ssize_t written = write(fd, bytes.data(), std::min(bytes.size(), kSliceBytes));
        if (written > 0) {
            bytes = bytes.subspan(static_cast<size_t>(written));
        } else if (errno != EINTR) {
            // as PostgreSQL takes it: a write that does nothing and says nothing found no space
            errno = errno == 0 ? ENOSPC : errno;
            return false;
        }
        CheckInterrupts();
    }
    return true;
}

int OpenTemporary(const char* path) {
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL;
    const int fd = Open(path, kFlags);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    // the directory is made by who first needs it
    if (MakePGDirectory(kVersionFileDirectory) != 0 && errno != EEXIST)
        return -1;
    return Open(path, kFlags);
}

bool WriteFile(const VersionFileKey& key, std::span<const std::byte> image) {
    VersionFileName name = NameOf(key);
    const VersionFilePath final_path = name.Path();
    name.writer = MyProcPid;
    name.counter = ++file_counter;
    const VersionFilePath path = name.Path();

    FileHeader header = {};
    std::memcpy(header.magic, kMagic, sizeof(header.magic));
    header.format = name.format;
    header.image_bytes = image.size();
    header.version = key.version;
    header.probe = key.probe.value_or(VersionDigest{});
    header.crc = FileCrc(header, image);

    const FileDescriptor file(OpenTemporary(path.data()));
    if (file.get() < 0) {
        Warn("create", path.data(), errno);
        return false;
    }
    TemporaryName temporary(path);
    // What is not on disk after a power failure is removed at start, as the file would be: fsync is there to
    // learn of a full or broken disk now.
    if (!Write(file.get(), std::as_bytes(std::span(&header, 1))) || !Write(file.get(), image) ||
        pg_fsync(file.get()) != 0) {
        Warn("write", temporary.path(), errno);
        return false;
    }
    if (!temporary.Rename(final_path.data())) {
        Warn("rename", temporary.path(), errno);
        return false;
    }
    return true;
}

LOCKTAG LockTag(const VersionFileKey& key) {
    const VersionDigest probe = key.probe.value_or(VersionDigest{});
    uint32 parts[2];
    uint32 more[2];
    std::memcpy(parts, key.version.bytes, sizeof(parts));
    std::memcpy(more, probe.bytes, sizeof(more));
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, parts[0] ^ more[0], parts[1] ^ more[1], kLockKind);
    return tag;
}

}  // namespace

MappedFile::~MappedFile() {
    munmap(const_cast<void*>(address_), bytes_);
}

std::span<const std::byte> MappedFile::image() const {
    return std::span(static_cast<const std::byte*>(address_), bytes_).subspan(sizeof(FileHeader));
}

std::shared_ptr<const MappedFile> MapVersionFile(const VersionFileKey& key) {
    const VersionFilePath path = NameOf(key).Path();
    const FileDescriptor file(Open(path.data(), O_RDONLY));
    if (file.get() < 0) {
        if (errno != ENOENT)
            Warn("open", path.data(), errno);
        return nullptr;
    }
    const auto damaged = [&path] {
        CallPostgres([&path] {
            ereport(LOG, (errcode(ERRCODE_DATA_CORRUPTED),
                          errmsg("model cache file \"%s\" is damaged, and is made anew", path.data())));
        });
        return nullptr;
    };
    struct stat status;
    if (fstat(file.get(), &status) != 0) {
        Warn("stat", path.data(), errno);
        return nullptr;
    }
    if (!S_ISREG(status.st_mode) || status.st_size < static_cast<off_t>(sizeof(FileHeader)))
        return damaged();
    const auto bytes = static_cast<size_t>(status.st_size);
    void* address = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.get(), 0);
    if (address == MAP_FAILED) {
        Warn("map", path.data(), errno);
        return nullptr;
    }
    auto mapped = std::make_shared<const MappedFile>(address, bytes);
    FileHeader header;
    std::memcpy(&header, address, sizeof(header));
    // What lies beyond the size found is never touched; that nobody cuts the file from here on is by design.
    if (std::memcmp(header.magic, kMagic, sizeof(header.magic)) != 0 || header.format != FormatOf(key) ||
        header.image_bytes != bytes - sizeof(FileHeader) || header.version != key.version ||
        header.probe != key.probe.value_or(VersionDigest{}) || header.crc != FileCrc(header, mapped->image()))
        return damaged();
    return mapped;
}

std::shared_ptr<const MappedFile> CreateVersionFile(const VersionFileKey& key,
                                                    std::span<const std::byte> image) {
    return WriteFile(key, image) ? MapVersionFile(key) : nullptr;
}

VersionFileLock::VersionFileLock(const VersionFileKey& key) : key_(key) {
    waited_ = CallPostgres([&key] {
        const LOCKTAG tag = LockTag(key);
        if (LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
            return false;
        (void)LockAcquire(&tag, ExclusiveLock, false, false);
        return true;
    });
}

void VersionFileLock::Release() {
    CallPostgres([this] {
        const LOCKTAG tag = LockTag(key_);
        LockRelease(&tag, ExclusiveLock, false);
    });
}

std::optional<VersionFileStatus> StatVersionFile(const VersionFileKey& key) {
    struct stat status;
    if (stat(NameOf(key).Path().data(), &status) != 0)
        return std::nullopt;
    return VersionFileStatus{status.st_size, time_t_to_timestamptz(status.st_mtime)};
}

ProbeFile* ListProbeFiles(int* count) {
    List* found = NIL;
    DIR* directory = AllocateDir(kVersionFileDirectory);
    while (const dirent* entry = ReadDirExtended(directory, kVersionFileDirectory, DEBUG1)) {
        CHECK_FOR_INTERRUPTS();
        const std::optional<VersionFileName> name = VersionFileName::Parse(entry->d_name);
        if (!name.has_value() || name->database != MyDatabaseId || name->writer != 0 || !name->key.probe ||
            name->format != kProbeFormat)
            continue;
        // it may go between the two looks
        const std::optional<VersionFileStatus> status = StatVersionFile(name->key);
        if (!status.has_value())
            continue;
        auto* file = static_cast<ProbeFile*>(palloc(sizeof(ProbeFile)));
        *file = {name->key.version, *name->key.probe, *status};
        found = lappend(found, file);
    }
    if (directory != nullptr)
        FreeDir(directory);
    *count = list_length(found);
    auto* files = static_cast<ProbeFile*>(palloc(sizeof(ProbeFile) * (*count + 1)));
    for (int i = 0; i < *count; ++i)
        files[i] = *static_cast<ProbeFile*>(list_nth(found, i));
    return files;
}

}  // namespace dlent::pg
