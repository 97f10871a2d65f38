// dlent_cuda.so as dlent-gpud sees it.

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

#include "gpu/cuda/cuda_backend.h"
#include "gpu/device_plugin.h"

namespace dlent::cuda {
namespace {

int Fail(char* error, size_t bytes, const char* reason) {
    std::snprintf(error, bytes, "%s", reason);
    return -1;
}

int DeviceCount(char* error, size_t error_bytes) {
    int count = 0;
    const cudaError_t result = cudaGetDeviceCount(&count);
    if (result == cudaErrorNoDevice)
        return Fail(error, error_bytes, "no CUDA device");
    if (result == cudaErrorInsufficientDriver)
        return Fail(error, error_bytes, "no NVIDIA driver, or one that is older than this build's CUDA");
    if (result != cudaSuccess)
        return Fail(error, error_bytes, cudaGetErrorString(result));
    return count;
}

int DeviceInfo(int device, DlentDeviceInfo* info, char* error, size_t error_bytes) {
    cudaDeviceProp properties;
    int driver = 0;
    int runtime = 0;
    cudaError_t result = cudaGetDeviceProperties(&properties, device);
    if (result == cudaSuccess)
        result = cudaDriverGetVersion(&driver);
    if (result == cudaSuccess)
        result = cudaRuntimeGetVersion(&runtime);
    if (result != cudaSuccess)
        return Fail(error, error_bytes, cudaGetErrorString(result));
    *info = {};
    std::snprintf(info->name, sizeof(info->name), "%s", properties.name);
    const size_t cublas = cublasLtGetVersion();
    std::snprintf(info->driver, sizeof(info->driver),
                  "CUDA driver %d.%d, runtime %d.%d, cuBLASLt %zu, compute %d.%d", driver / 1000,
                  driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10, cublas, properties.major,
                  properties.minor);
    info->memory_bytes = properties.totalGlobalMem;
    return 0;
}

void* MakeBackend(int device, int precision, const DlentMemoryGate* gate, char* error, size_t error_bytes) {
    std::string reason;
    std::unique_ptr<Backend> backend =
        MakeCudaBackend(device, static_cast<gpu::Precision>(precision), *gate, &reason);
    if (backend == nullptr)
        Fail(error, error_bytes, reason.c_str());
    return backend.release();
}

void FreeBackend(void* backend) {
    delete static_cast<Backend*>(backend);
}

int JoinGroup(void* backend, DlentGroup* group, char* error, size_t error_bytes) {
    const Status joined = JoinCudaGroup(*static_cast<Backend*>(backend), group);
    if (joined.code() == StatusCode::kCancelled)
        return 1;
    return joined.ok() ? 0 : Fail(error, error_bytes, joined.message().c_str());
}

constexpr DlentDevicePlugin kPlugin = {
    DLENT_DEVICE_ABI, DLENT_VERSION, "cuda", DeviceCount, DeviceInfo, MakeBackend, FreeBackend, JoinGroup,
};

}  // namespace
}  // namespace dlent::cuda

extern "C" __attribute__((visibility("default"))) const DlentDevicePlugin* dlent_device_plugin() {
    return &dlent::cuda::kPlugin;
}
