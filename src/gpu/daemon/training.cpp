#include "gpu/daemon/training.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/nn/network.h"
#include "core/train/trainer.h"

namespace dlent::gpu {
namespace {

/// Held-out rows are run in larger batches than training uses, while their activations stay small.
constexpr int kEvaluationRows = 4096;

}  // namespace

Expected<Parcel> RunTraining(Device& device, const TrainJob& job, const ImageData& data,
                             const JobSignal& signal, const ProgressCallback& progress) {
    Lane::Place place;
    if (!Lane::Place::Take(device.jobs(), signal, &place))
        return Status::Cancelled();
    signal.Beat();
    JobMemory memory(device);
    DLENT_ASSIGN_OR_RETURN(const DeviceBackend backend, device.MakeBackend(job.precision, memory.gate()));
    const auto run = [&]() -> Expected<Parcel> {
        const int evaluation_rows = static_cast<int>(
            std::min<size_t>(job.validation_rows.size(), kEvaluationRows / std::max(job.network.members, 1)));
        DLENT_ASSIGN_OR_RETURN(
            const std::unique_ptr<Network> network,
            Network::Create(job.network, *backend, std::max(job.options.batch_size, evaluation_rows), true));
        DLENT_RETURN_IF_ERROR(network->Load(job.tensors));
        DLENT_RETURN_IF_ERROR(data.Check(job.network, network->outputs(), signal));
        DLENT_RETURN_IF_ERROR(CheckRows(job.train_rows, data));
        DLENT_RETURN_IF_ERROR(CheckRows(job.validation_rows, data));
        DLENT_ASSIGN_OR_RETURN(const TrainerResult result,
                               TrainNetwork(*network, *backend, data, job.train_rows, job.validation_rows,
                                            job.options, signal, progress));
        if (result.rows_per_second > 0.0 && result.steps > 0) {
            const double steps_an_epoch =
                std::ceil(static_cast<double>(job.train_rows.size()) / job.options.batch_size);
            const double rows_a_step = static_cast<double>(job.train_rows.size()) / steps_an_epoch;
            device.Learn(6.0 * static_cast<double>(network->trainable_count()) * network->members() *
                             result.rows_per_second,
                         rows_a_step / result.rows_per_second);
        }
        DLENT_ASSIGN_OR_RETURN(const std::vector<NamedTensorData> tensors, network->Save());
        return PackResult(result, tensors, signal);
    };
    Expected<Parcel> result = run();
    if (!result.ok())
        return memory.Explain(result.status(),
                              "Raise dlent.gpu_memory, use a smaller batch_size, or train on the CPU.");
    return result;
}

}  // namespace dlent::gpu
