#pragma once

#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/nn/backend.h"
#include "gpu/device_plugin.h"
#include "gpu/protocol/job.h"

namespace dlent::gpu {

struct FreeBackend {
    const DlentDevicePlugin* plugin;
    void operator()(Backend* backend) const { plugin->free_backend(backend); }
};
using DeviceBackend = std::unique_ptr<Backend, FreeBackend>;

/// The library that drives the devices.
class Plugin {
 public:
    /// Opens <directory of this program>/<name>.so. `name` is a bare name: letters, digits, underscores.
    /// kUnsupported says why it cannot be used: not there, not loadable (the CUDA libraries are missing),
    /// another ABI, another build.
    static Expected<Plugin> Open(const std::string& name);

    const char* kind() const { return table_->kind; }
    /// kUnsupported with the driver's reason.
    Expected<int> DeviceCount() const;
    Expected<DlentDeviceInfo> DeviceInfo(int device) const;
    /// For the calling thread. `gate` outlives it.
    Expected<DeviceBackend> MakeBackend(int device, Precision precision, const DlentMemoryGate& gate) const;
    /// Makes a backend of `device` that has done nothing yet a rank of a group, which outlives it. kCancelled
    /// when the group does not come together, kUnsupported.
    Status JoinGroup(int device, Backend& backend, DlentGroup* group) const;

 private:
    explicit Plugin(const DlentDevicePlugin* table) : table_(table) {}
    const DlentDevicePlugin* table_;
};

}  // namespace dlent::gpu
