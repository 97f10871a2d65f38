#include "pg/bridge/postgres.h"

#include "pg/gpu/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <fstream>
#include <iterator>

#include "gpu/protocol/message.h"
#include "gpu/protocol/shared_memory.h"
#include "pg/bridge/error.h"

extern "C" {
// the names of temporary files: in the one or, from PostgreSQL 17 on, in the other
#include "common/file_utils.h"
#include "storage/fd.h"
}

namespace dlent::pg {
namespace {

constexpr const char* kDirectory = "base/" PG_TEMP_FILES_DIR;
constexpr const char* kPrefix = "base/" PG_TEMP_FILES_DIR "/" PG_TEMP_FILE_PREFIX "_dlentgpu_";

constexpr int kLockAttempts = 20;
constexpr int kLockPauseUs = 5000;

std::string PathOf(const std::string& name) {
    return kPrefix + name;
}

}  // namespace

std::string GpuSocketPath(int device) {
    return PathOf(std::to_string(device));
}

std::string GpuProgramPath() {
    return std::string(pkglib_path) + "/dlent-gpud";
}

std::string GpuPluginPath(const std::string& plugin) {
    return std::string(pkglib_path) + "/" + plugin + ".so";
}

bool FileExists(const std::string& path) {
    return access(path.c_str(), F_OK) == 0;
}

void MakeGpuDirectory() {
    mkdir(kDirectory, S_IRWXU);  // where that fails, so do the files, and say why
}

gpu::FileDescriptor TakeSupervisorLock() {
    gpu::FileDescriptor lock(open(PathOf("lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR));
    // a session that looks whether there is one holds it for a moment
    for (int attempt = 0; lock.valid() && attempt < kLockAttempts; ++attempt) {
        if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0)
            return lock;
        usleep(kLockPauseUs);
    }
    return {};
}

bool SupervisorIsThere() {
    const gpu::FileDescriptor lock(open(PathOf("lock").c_str(), O_RDWR | O_CLOEXEC));
    return lock.valid() && flock(lock.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

void WantGpus() {
    const gpu::FileDescriptor file(
        open(PathOf("wanted").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, S_IRUSR | S_IWUSR));
}

bool TakeGpusWanted() {
    return unlink(PathOf("wanted").c_str()) == 0;
}

void WriteGpuDevices(const Json& devices) {
    const std::string path = PathOf("devices");
    const std::string temporary = path + "." + std::to_string(getpid());
    {
        std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
        file << devices.dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    if (rename(temporary.c_str(), path.c_str()) != 0)
        unlink(temporary.c_str());
}

std::optional<GpuDevices> ReadGpuDevices() {
    const std::string path = PathOf("devices");
    struct stat information {};
    if (stat(path.c_str(), &information) != 0)
        return std::nullopt;
    std::ifstream file(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    Expected<Json> json = gpu::ParseObject(text);
    if (!json.ok())
        return std::nullopt;
    return GpuDevices{std::move(*json), std::difftime(std::time(nullptr), information.st_mtime)};
}

}  // namespace dlent::pg
