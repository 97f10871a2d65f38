#include "gpu/daemon/plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <climits>
#include <cstring>

namespace dlent::gpu {
namespace {

constexpr size_t kReasonBytes = 512;

Status Unusable(const std::string& name, std::string why, std::string hint = {}) {
    return {StatusCode::kUnsupported, "GPU plugin \"" + name + "\" cannot be used", std::move(why),
            std::move(hint)};
}

bool IsBareName(const std::string& name) {
    return !name.empty() && name.size() < 64 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_';
    });
}

/// Of this program, without a slash at its end.
Expected<std::string> OwnDirectory() {
    char path[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
    if (length <= 0 || static_cast<size_t>(length) >= sizeof(path))
        return Status::Internal("could not read the path of this program");
    const std::string program(path, static_cast<size_t>(length));
    return program.substr(0, program.rfind('/'));
}

}  // namespace

Expected<Plugin> Plugin::Open(const std::string& name) {
    if (!IsBareName(name))
        return Unusable(name, "It is not a bare name.");
    DLENT_ASSIGN_OR_RETURN(const std::string directory, OwnDirectory());
    const std::string path = directory + "/" + name + ".so";
    if (access(path.c_str(), F_OK) != 0)
        return Unusable(name, "There is no " + path + ".", "Install dlent from a build with CUDA.");
    // never closed: a device's library leaves threads behind
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
        return Unusable(name, std::string(dlerror()) + ".");
    void* const symbol = dlsym(library, DLENT_DEVICE_ENTRY);
    if (symbol == nullptr)
        return Unusable(name, "It has no function " DLENT_DEVICE_ENTRY ".");
    const DlentDevicePlugin* const table = reinterpret_cast<DlentDevicePluginFunction>(symbol)();
    if (table == nullptr || table->abi != DLENT_DEVICE_ABI)
        return Unusable(name,
                        "It has ABI " + std::to_string(table == nullptr ? 0 : table->abi) +
                            ", and dlent-gpud needs " + std::to_string(DLENT_DEVICE_ABI) + ".",
                        "Install both from the same build of dlent.");
    if (std::strcmp(table->build, DLENT_VERSION) != 0)
        return Unusable(
            name, "It is of dlent " + std::string(table->build) + ", and dlent-gpud of " DLENT_VERSION ".",
            "Install both from the same build of dlent.");
    return Plugin(table);
}

Expected<int> Plugin::DeviceCount() const {
    char reason[kReasonBytes] = "";
    const int count = table_->device_count(reason, sizeof(reason));
    if (count < 0)
        return Status(StatusCode::kUnsupported, "there is no usable GPU", std::string(reason) + ".");
    return count;
}

Expected<DlentDeviceInfo> Plugin::DeviceInfo(int device) const {
    char reason[kReasonBytes] = "";
    DlentDeviceInfo info{};
    if (table_->device_info(device, &info, reason, sizeof(reason)) != 0)
        return Status(StatusCode::kUnsupported, "GPU " + std::to_string(device) + " cannot be used",
                      std::string(reason) + ".");
    return info;
}

Expected<DeviceBackend> Plugin::MakeBackend(int device, Precision precision,
                                            const DlentMemoryGate& gate) const {
    char reason[kReasonBytes] = "";
    auto* const backend = static_cast<Backend*>(
        table_->make_backend(device, static_cast<int>(precision), &gate, reason, sizeof(reason)));
    if (backend == nullptr)
        return Status(StatusCode::kOutOfMemory, "GPU " + std::to_string(device) + " took no job",
                      std::string(reason) + ".");
    return DeviceBackend(backend, FreeBackend{table_});
}

Status Plugin::JoinGroup(int device, Backend& backend, DlentGroup* group) const {
    char reason[kReasonBytes] = "";
    const int joined = table_->join_group(&backend, group, reason, sizeof(reason));
    if (joined == 0)
        return Status::Ok();
    if (joined > 0)
        return Status::Cancelled();
    return {StatusCode::kUnsupported, "GPU " + std::to_string(device) + " cannot train with others",
            std::string(reason) + "."};
}

}  // namespace dlent::gpu
