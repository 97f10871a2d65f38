#pragma once

#include "gpu/daemon/device.h"
#include "gpu/daemon/job_signal.h"
#include "gpu/protocol/job.h"

namespace dlent::gpu {

/// Carries out a job on the device, on the calling thread: waits for a place, trains, and packs what came of
/// it. `data` outlives the call.
Expected<Parcel> RunTraining(Device& device, const TrainJob& job, const ImageData& data,
                             const JobSignal& signal, const ProgressCallback& progress);

}  // namespace dlent::gpu
