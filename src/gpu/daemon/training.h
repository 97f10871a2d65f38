#pragma once

#include <functional>
#include <string>

#include "gpu/daemon/device.h"
#include "gpu/daemon/job_signal.h"
#include "gpu/protocol/group.h"
#include "gpu/protocol/job.h"

namespace dlent::gpu {

/// Where a job says what it has come to.
struct TrainingReports {
    ProgressCallback progress;
    /// Of one of several devices: it has its turn. With the group's id, where this device has made it.
    std::function<void(const std::string& id)> turn;
};

/// Carries out a job on the device, on the calling thread: waits for a place, and as one rank of several for
/// the others, trains, and packs what came of it. `data` outlives the call. kCancelled also where another
/// rank has left.
Expected<Parcel> RunTraining(Device& device, const TrainJob& job, const RankOfJob& rank,
                             const ImageData& data, const JobSignal& signal, const TrainingReports& reports);

}  // namespace dlent::gpu
