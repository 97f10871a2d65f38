#pragma once

#include <memory>
#include <string>

#include "core/nn/backend.h"
#include "gpu/device_plugin.h"
#include "gpu/protocol/job.h"

namespace dlent::cuda {

/// The operators on one GPU, on a stream of its own, for the thread that makes it. Sums are taken in an order
/// that depends on shapes alone, so the same card gives the same bits. Null and a reason when the card cannot
/// be used.
std::unique_ptr<Backend> MakeCudaBackend(int device, gpu::Precision precision, const DlentMemoryGate& gate,
                                         std::string* reason);

/// Makes a backend of MakeCudaBackend() that has done nothing yet a rank of a group, which outlives it.
/// Returns when all ranks have come; kCancelled when the group says that it must not wait for them any more.
Status JoinCudaGroup(Backend& backend, DlentGroup* group);

}  // namespace dlent::cuda
