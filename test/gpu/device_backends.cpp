// The devices of the plugin that dlent-gpud would load, for the parity tests: dlent_cuda.so beside this
// program, or what DLENT_DEVICE_PLUGIN names.

#include <cstdlib>
#include <memory>

#include "backend_parity.h"
#include "device_under_test.h"

namespace dlent::parity {
namespace {

/// A device's backend, owned as any other.
class OwnedBackend {
 public:
    static std::unique_ptr<Backend> Make(gpu::Precision precision) {
        Expected<gpu::DeviceBackend> backend = gpu::ThePlugin().MakeBackend(0, precision, gpu::Unlimited());
        if (!backend.ok()) {
            ADD_FAILURE() << backend.status().message() << ": " << backend.status().detail();
            return nullptr;
        }
        return std::unique_ptr<Backend>(backend->release());
    }
};

}  // namespace

std::vector<BackendCase> DeviceBackends() {
    const auto add = [](gpu::Precision precision, double tolerance) {
        return BackendCase{std::string(gpu::ThePlugin().kind()) + "_" + gpu::PrecisionName(precision),
                           [precision] { return OwnedBackend::Make(precision); }, tolerance};
    };
    // fp32 products have 24 bits of their factors, tf32 11, bf16 8
    return {add(gpu::Precision::kFp32, 1.0), add(gpu::Precision::kTf32, 1000.0),
            add(gpu::Precision::kBf16, 8000.0)};
}

}  // namespace dlent::parity
