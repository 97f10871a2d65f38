// The CUDA device's operators on the emulated runtime, for the parity tests where there is no card.

#include "backend_parity.h"
#include "gpu/cuda/cuda_backend.h"

namespace dlent::parity {

std::vector<BackendCase> DeviceBackends() {
    static const DlentMemoryGate gate = {nullptr, [](void*, size_t) { return 1; }, [](void*, size_t) {}};
    return {{"emulated_cuda", [] {
                 std::string reason;
                 return cuda::MakeCudaBackend(0, gpu::Precision::kFp32, gate, &reason);
             }}};
}

}  // namespace dlent::parity
