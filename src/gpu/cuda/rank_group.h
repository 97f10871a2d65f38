#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <string>

#include "core/base/status.h"
#include "gpu/device_plugin.h"

namespace dlent::cuda {

/// This device's part in a group that trains one network: sums over all ranks, on one stream. A rank that
/// another has left would wait for ever, so nothing here waits without asking whether it must end; when it
/// must, or something fails, the group is over, and every call says why.
class RankGroup {
 public:
    virtual ~RankGroup() = default;

    /// Waits for all ranks. kCancelled when it gave up, kUnsupported where the library is missing, kInternal.
    static Expected<std::unique_ptr<RankGroup>> Join(DlentGroup* group, cudaStream_t stream);

    virtual int rank() const = 0;
    virtual int ranks() const = 0;
    /// Enqueues values = Σ over the ranks.
    virtual Status Sum(size_t count, float* values) = 0;
    virtual Status Sum(size_t count, double* values) = 0;
    /// Waits for all that was enqueued on the stream, or for an event in it. What CUDA says goes to *result.
    virtual Status Wait(cudaError_t* result) = 0;
    virtual Status WaitFor(cudaEvent_t event, cudaError_t* result) = 0;
};

}  // namespace dlent::cuda
