#include "pg/bridge/postgres.h"

#include "pg/gpu/remote_trainer.h"

#include <algorithm>
#include <chrono>

#include "pg/bridge/error.h"

namespace dlent::pg {

Expected<bool> RemoteTrainer::Begin(const TrainingPlan& plan, const CancelToken& cancel) {
    takes_them_ = false;
    connection_.reset();
    if (choice_ == Choice::kAuto) {
        DLENT_ASSIGN_OR_RETURN(const bool worthwhile,
                               error_.Guard<Expected<bool>>([&] { return Route(plan, cancel); }));
        if (!worthwhile)
            return false;
    }
    DLENT_RETURN_IF_ERROR(Blame(error_.Guard<Status>([&] { return BeginGuarded(plan, cancel); })));
    takes_them_ = true;
    return true;
}

Expected<bool> RemoteTrainer::Route(const TrainingPlan& plan, const CancelToken& cancel) {
    decision_ = RoutingDecision();
    const DeviceRates cpu = MeasureCpuRates(cpu_);
    // a card that is idle and fast is the most that there could be: no process is asked for less
    decision_ = RouteTraining(plan, cpu, threads_, {kAssumedGpuRates, true, 0});
    if (!decision_->gpu)
        return false;
    Expected<GpuConnection> connection = GpuConnection::Open(wanted_, cancel);
    if (!connection.ok()) {
        if (connection.status().code() == StatusCode::kCancelled)
            return connection.status();
        decision_ = RoutingDecision();
        decision_->reason = connection.status().message();
        return false;
    }
    const gpu::DeviceStatus& status = connection->status();
    GpuOffer offer;
    if (status.flops_per_second > 0.0 && status.step_seconds > 0.0)
        offer.rates = {std::max(status.flops_per_second, kAssumedGpuRates.flops_per_second),
                       status.step_seconds, true};
    offer.is_warm = status.jobs + status.jobs_done > 0;
    offer.jobs = static_cast<int>(status.jobs + status.waiting);
    decision_ = RouteTraining(plan, cpu, threads_, offer);
    if (decision_->gpu)
        connection_ = std::move(*connection);
    return decision_->gpu;
}

Expected<TrainerResult> RemoteTrainer::Train(Network& network, std::span<const uint32_t> train_rows,
                                             std::span<const uint32_t> validation_rows,
                                             const TrainerOptions& options, const CancelToken& cancel,
                                             const ProgressCallback& progress) {
    Expected<TrainerResult> result = error_.Guard<Expected<TrainerResult>>(
        [&] { return TrainGuarded(network, train_rows, validation_rows, options, cancel, progress); });
    if (!result.ok())
        return Blame(result.status());
    return result;
}

Status RemoteTrainer::BeginGuarded(const TrainingPlan& plan, const CancelToken& cancel) {
    const auto start = std::chrono::steady_clock::now();
    gpu::ImageShape shape;
    shape.rows = plan.data->rows();
    shape.numeric = static_cast<uint32_t>(plan.numeric);
    shape.plain = static_cast<uint32_t>(plan.plain);
    shape.fields = static_cast<uint32_t>(plan.fields);
    shape.integer_targets = plan.integer_targets;
    shape.weights = plan.data->has_weights();
    DLENT_ASSIGN_OR_RETURN(const gpu::ImageLayout layout, gpu::ImageLayout::Of(shape));
    if (!connection_) {
        DLENT_ASSIGN_OR_RETURN(connection_, GpuConnection::Open(wanted_, cancel));
    }
    DLENT_ASSIGN_OR_RETURN(image_, gpu::SharedMemory::Create(layout.bytes, cancel));
    DLENT_RETURN_IF_ERROR(gpu::WriteImage(layout, *plan.data, cancel, image_.data()));
    image_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return connection_->Send(gpu::MessageType::kImage, shape.ToJson(), image_.fd());
}

Expected<TrainerResult> RemoteTrainer::TrainGuarded(Network& network, std::span<const uint32_t> train_rows,
                                                    std::span<const uint32_t> validation_rows,
                                                    const TrainerOptions& options, const CancelToken& cancel,
                                                    const ProgressCallback& progress) {
    DLENT_ASSIGN_OR_RETURN(const std::vector<NamedTensorData> initial, network.Save());
    {
        DLENT_ASSIGN_OR_RETURN(
            const gpu::Parcel job,
            gpu::PackJob(network.spec(), initial, options, precision_, train_rows, validation_rows, cancel));
        DLENT_RETURN_IF_ERROR(connection_->Send(gpu::MessageType::kTrain, job.body, job.memory.fd()));
    }
    for (;;) {
        DLENT_ASSIGN_OR_RETURN(gpu::Received received, connection_->Receive(cancel));
        const Json& body = received.message.body;
        switch (received.message.type) {
            case gpu::MessageType::kProgress: {
                DLENT_ASSIGN_OR_RETURN(TrainingProgress report, gpu::ProgressFromJson(body));
                report.phase = "training";
                if (progress)
                    progress(report);
                break;
            }
            case gpu::MessageType::kResult: {
                DLENT_ASSIGN_OR_RETURN(const size_t bytes, gpu::ResultBytes(body));
                DLENT_ASSIGN_OR_RETURN(const gpu::SharedMemory memory,
                                       gpu::SharedMemory::Map(std::move(received.memory), bytes));
                DLENT_ASSIGN_OR_RETURN(gpu::JobResult job,
                                       gpu::UnpackResult(body, {memory.data(), memory.size()}));
                const size_t logits = validation_rows.size() * static_cast<size_t>(network.members()) *
                                      static_cast<size_t>(network.outputs());
                if (job.result.validation_logits.size() != logits)
                    return Status::Corrupt("the GPU process returned another number of logits");
                DLENT_RETURN_IF_ERROR(network.Load(job.tensors));
                return std::move(job.result);
            }
            case gpu::MessageType::kError:
                return gpu::StatusFromJson(body);
            default:
                return Status::Corrupt("the GPU process sent a message that is not its to send");
        }
    }
}

Status RemoteTrainer::Blame(Status status) {
    switch (status.code()) {
        case StatusCode::kOk:
        case StatusCode::kCancelled:
        case StatusCode::kNonFinite:
        case StatusCode::kInvalidArgument:
        case StatusCode::kInsufficientData:
            break;
        case StatusCode::kNotFound:
            device_failure_ = ProcessEnded("trained");
            break;
        default:
            device_failure_ = status;
    }
    return status;
}

Json RemoteTrainer::Describe() const {
    if (!takes_them_)
        return nullptr;
    return {{"name", connection_->status().name},
            {"driver", connection_->status().driver},
            {"precision", gpu::PrecisionName(precision_)},
            {"image_bytes", image_.size()},
            {"image_seconds", image_seconds_}};
}

}  // namespace dlent::pg
