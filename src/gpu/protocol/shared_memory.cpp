#include "gpu/protocol/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace dlent::gpu {
namespace {

constexpr size_t kAllocationStep = size_t{32} << 20;  ///< a few milliseconds of zeroing
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Status Failed(const char* what, size_t bytes) {
    const int error = errno;
    return {StatusCode::kOutOfMemory, std::string("could not ") + what + " shared memory for the GPU process",
            "Failed on " + std::to_string(bytes) + " bytes: " + std::strerror(error) + "."};
}

}  // namespace

FileDescriptor::~FileDescriptor() {
    if (fd_ >= 0)
        close(fd_);
}

SharedMemory::~SharedMemory() {
    if (data_ != nullptr)
        munmap(data_, size_);
}

Expected<SharedMemory> SharedMemory::Create(size_t bytes, const CancelToken& cancel) {
    if (bytes == 0 || bytes > static_cast<size_t>(std::numeric_limits<off_t>::max()))
        return Status::Internal("shared memory of " + std::to_string(bytes) + " bytes");
    // beyond that the kernel would sooner end processes than refuse pages
    const auto machine =
        static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    if (bytes > machine) {
        errno = ENOMEM;
        return Failed("create", bytes);
    }
    SharedMemory memory;
    memory.fd_ = FileDescriptor(memfd_create("dlent", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!memory.fd_.valid())
        return Failed("create", bytes);
    if (ftruncate(memory.fd_.get(), static_cast<off_t>(bytes)) != 0)
        return Failed("allocate", bytes);
    // the pages now: a write to one that is not to be had would kill us
    for (size_t begin = 0; begin < bytes;) {
        if (cancel.IsCancelled())
            return Status::Cancelled();
        const size_t step = std::min(kAllocationStep, bytes - begin);
        const int result =
            posix_fallocate(memory.fd_.get(), static_cast<off_t>(begin), static_cast<off_t>(step));
        if (result == EINTR)
            continue;
        if (result != 0) {
            errno = result;
            return Failed("allocate", bytes);
        }
        begin += step;
    }
    if (fcntl(memory.fd_.get(), F_ADD_SEALS, kSeals) != 0)
        return Failed("seal", bytes);
    void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd_.get(), 0);
    if (address == MAP_FAILED)
        return Failed("map", bytes);
    memory.data_ = static_cast<std::byte*>(address);
    memory.size_ = bytes;
    return memory;
}

Expected<SharedMemory> SharedMemory::Map(FileDescriptor fd, size_t bytes, Access access) {
    struct stat information {};
    if (!fd.valid() || fstat(fd.get(), &information) != 0)
        return Status::Corrupt("a message without its shared memory");
    const int seals = fcntl(fd.get(), F_GET_SEALS);
    if (seals < 0 || (seals & kSeals) != kSeals)
        return Status::Corrupt("shared memory that is not sealed against a change of its size");
    if (bytes == 0 || static_cast<uint64_t>(information.st_size) != bytes)
        return Status::Corrupt("shared memory of " + std::to_string(information.st_size) +
                               " bytes where the message says " + std::to_string(bytes));
    const int protection = access == Access::kWrite ? PROT_READ | PROT_WRITE : PROT_READ;
    void* address = mmap(nullptr, bytes, protection, MAP_SHARED, fd.get(), 0);
    if (address == MAP_FAILED)
        return Failed("map", bytes);
    SharedMemory memory;
    memory.fd_ = std::move(fd);
    memory.data_ = static_cast<std::byte*>(address);
    memory.size_ = bytes;
    return memory;
}

}  // namespace dlent::gpu
