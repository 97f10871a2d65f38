// dlent-gpud: the process that owns a GPU. Started by the GPU supervisor of a PostgreSQL server, and not by
// hand:
//   dlent-gpud --probe --plugin NAME
//       prints a JSON object with the devices, or why there are none
//   dlent-gpud --serve --plugin NAME --device N --socket PATH --parent PID --lifeline FD
//              --jobs N --memory-mb N --hang-timeout S --idle-timeout S --end-unused 0|1
//       serves until the supervisor is gone, which has the other end of socket FD
// docs/architecture.md, "The GPU process".

#include <dirent.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "gpu/daemon/device.h"
#include "gpu/daemon/plugin.h"
#include "gpu/daemon/server.h"
#include "gpu/protocol/channel.h"

namespace {

using namespace dlent;
using namespace dlent::gpu;

constexpr int kUsageError = 2;
constexpr int kDeviceError = 3;

[[noreturn]] void Usage(const std::string& problem) {
    std::fprintf(stderr, "dlent-gpud: %s\nIt is started by PostgreSQL's dlent extension; see docs/gpu.md.\n",
                 problem.c_str());
    std::exit(kUsageError);
}

class Arguments {
 public:
    Arguments(int argc, char** argv) {
        for (int i = 1; i < argc; ++i) {
            const std::string name = argv[i];
            if (name == "--probe" || name == "--serve")
                mode_ = name.substr(2);
            else if (name.starts_with("--") && i + 1 < argc)
                values_[name.substr(2)] = argv[++i];
            else
                Usage("unexpected argument \"" + name + "\"");
        }
    }
    const std::string& mode() const { return mode_; }
    std::string Text(const std::string& name) const {
        const auto found = values_.find(name);
        if (found == values_.end())
            Usage("argument --" + name + " is missing");
        return found->second;
    }
    long Number(const std::string& name, long most) const {
        const std::string text = Text(name);
        char* end = nullptr;
        const long value = std::strtol(text.c_str(), &end, 10);
        if (text.empty() || *end != '\0' || value < 0 || value > most)
            Usage("argument --" + name + " is out of range");
        return value;
    }

 private:
    std::string mode_;
    std::map<std::string, std::string> values_;
};

/// The server's files, sockets and shared memory are none of ours: only the standard descriptors and one more
/// stay.
void CloseInherited(int kept) {
    std::vector<int> open;
    DIR* const folder = opendir("/proc/self/fd");
    if (folder == nullptr)
        return;
    while (const dirent* entry = readdir(folder)) {
        const int fd = std::atoi(entry->d_name);
        if (fd > STDERR_FILENO && fd != kept && fd != dirfd(folder))
            open.push_back(fd);
    }
    closedir(folder);
    for (const int fd : open)
        close(fd);
}

int Fail(const Status& status) {
    std::fprintf(stderr, "dlent-gpud: %s%s%s\n", status.message().c_str(),
                 status.detail().empty() ? "" : ": ", status.detail().c_str());
    return kDeviceError;
}

/// {"devices": [{name, kind, driver, memory}]} or {"error": {...}}
Expected<Json> Probe(const std::string& name) {
    DLENT_ASSIGN_OR_RETURN(const Plugin plugin, Plugin::Open(name));
    DLENT_ASSIGN_OR_RETURN(const int count, plugin.DeviceCount());
    Json devices = Json::array();
    for (int i = 0; i < count; ++i) {
        DLENT_ASSIGN_OR_RETURN(const DlentDeviceInfo info, plugin.DeviceInfo(i));
        devices.push_back({{"name", info.name},
                           {"kind", plugin.kind()},
                           {"driver", info.driver},
                           {"memory", info.memory_bytes}});
    }
    if (devices.empty())
        return Status(StatusCode::kUnsupported, "there is no usable GPU", "The driver lists no device.");
    return Json{{"devices", std::move(devices)}};
}

int PrintProbe(const std::string& name) {
    Expected<Json> answer = Probe(name);
    const Json json = answer.ok() ? std::move(*answer) : Json{{"error", StatusToJson(answer.status())}};
    std::printf("%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    return 0;
}

int Serve(const Arguments& arguments) {
    ServerOptions options;
    options.lifeline = static_cast<int>(arguments.Number("lifeline", 1 << 20));
    options.hang_timeout = std::chrono::seconds(arguments.Number("hang-timeout", 1 << 20));
    options.idle_timeout = std::chrono::seconds(arguments.Number("idle-timeout", 1 << 30));
    options.end_unused = arguments.Number("end-unused", 1) == 1;
    const int index = static_cast<int>(arguments.Number("device", 1024));
    const std::string path = arguments.Text("socket");
    const Expected<Plugin> plugin = Plugin::Open(arguments.Text("plugin"));
    if (!plugin.ok())
        return Fail(plugin.status());
    const Expected<DlentDeviceInfo> info = plugin->DeviceInfo(index);
    if (!info.ok())
        return Fail(info.status());
    // 0: what is left of the card beside a context of its driver
    uint64_t limit = static_cast<uint64_t>(arguments.Number("memory-mb", 1 << 30)) << 20;
    if (limit == 0)
        limit = info->memory_bytes / 10 * 9;
    Device device(*plugin, index, *info, limit, static_cast<int>(arguments.Number("jobs", 1024)));
    unlink(path.c_str());  // a predecessor's
    Expected<FileDescriptor> listener = Listen(path);
    if (!listener.ok())
        return Fail(listener.status());
    Server server(device, std::move(*listener), options);
    const ServerEnd end = server.Run();
    // jobs may still run, or be stuck in the driver: no destructor may wait for them
    unlink(path.c_str());
    _exit(static_cast<int>(end));
}

}  // namespace

int main(int argc, char** argv) {
    const Arguments arguments(argc, argv);
    std::signal(SIGPIPE, SIG_IGN);
    if (arguments.mode() == "probe") {
        CloseInherited(STDERR_FILENO);
        return PrintProbe(arguments.Text("plugin"));
    }
    if (arguments.mode() != "serve")
        Usage("--probe or --serve is missing");
    // The kernel ends us with our parent; should it be gone already, we have another one now.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != static_cast<pid_t>(arguments.Number("parent", 1L << 30)))
        return static_cast<int>(ServerEnd::kOrphaned);
    CloseInherited(static_cast<int>(arguments.Number("lifeline", 1 << 20)));
    // the devices that train together are this machine's: they meet on its loopback, and nowhere else
    setenv("NCCL_SOCKET_IFNAME", "lo", 1);
    setenv("NCCL_IB_DISABLE", "1", 1);
    return Serve(arguments);
}
