#include "pg/bridge/postgres.h"

#include "pg/gpu/training_card.h"

#include "pg/gpu/failure.h"

namespace dlent::pg {

std::string TrainingCard::name() const {
    return (was_reached() ? status_.kind + ":" : "GPU ") + std::to_string(device_);
}

void TrainingCard::KeepStatus() {
    if (connection_)
        status_ = connection_->status();
}

void TrainingCard::Abandon() {
    abandoned_ = true;
    network_ = nullptr;
    Release();
}

void TrainingCard::Release() {
    connection_.reset();
    has_image_ = false;
}

Status TrainingCard::Look(const CancelToken& cancel) {
    if (connection_) {
        DLENT_RETURN_IF_ERROR(connection_->AskStatus(cancel));
    } else {
        Expected<GpuConnection> connection = GpuConnection::OpenRunning(device_, cancel);
        if (!connection.ok())
            return connection.status().code() == StatusCode::kNotFound ? Status::Ok() : connection.status();
        connection_ = std::move(*connection);
    }
    KeepStatus();
    return Status::Ok();
}

Status TrainingCard::Start(const PlacedTraining& training, const TrainingImage& image,
                           gpu::Precision precision, const CancelToken& cancel) {
    network_ = training.network;
    logits_ = training.validation_rows.size() * static_cast<size_t>(network_->members()) *
              static_cast<size_t>(network_->outputs());
    failures_ = training.failures;
    DLENT_ASSIGN_OR_RETURN(const std::vector<NamedTensorData> initial, network_->Save());
    DLENT_ASSIGN_OR_RETURN(const gpu::Parcel job,
                           gpu::PackJob(network_->spec(), initial, training.options, precision,
                                        training.train_rows, training.validation_rows, cancel));
    sent_ = has_image_ ? Status::Ok()
                       : connection_->Send(gpu::MessageType::kImage, image.shape.ToJson(), image.memory.fd());
    has_image_ = sent_.ok();
    if (sent_.ok())
        sent_ = connection_->Send(gpu::MessageType::kTrain, job.body, job.memory.fd());
    return Status::Ok();
}

Expected<std::optional<CardEvent>> TrainingCard::Listen() {
    DLENT_RETURN_IF_ERROR(sent_);
    DLENT_ASSIGN_OR_RETURN(std::optional<gpu::Received> received, connection_->ReceiveNow());
    if (!received)
        return std::optional<CardEvent>();
    switch (received->message.type) {
        case gpu::MessageType::kProgress: {
            DLENT_ASSIGN_OR_RETURN(TrainingProgress report, gpu::ProgressFromJson(received->message.body));
            return std::optional<CardEvent>(report);
        }
        case gpu::MessageType::kResult: {
            DLENT_ASSIGN_OR_RETURN(TrainerResult result, Finish(std::move(*received)));
            return std::optional<CardEvent>(std::move(result));
        }
        case gpu::MessageType::kError:
            return gpu::StatusFromJson(received->message.body);
        default:
            return Status::Corrupt("the GPU process sent a message that is not its to send");
    }
}

Expected<TrainerResult> TrainingCard::Finish(gpu::Received received) {
    const Json& body = received.message.body;
    DLENT_ASSIGN_OR_RETURN(const size_t bytes, gpu::ResultBytes(body));
    DLENT_ASSIGN_OR_RETURN(const gpu::SharedMemory memory,
                           gpu::SharedMemory::Map(std::move(received.memory), bytes));
    DLENT_ASSIGN_OR_RETURN(gpu::JobResult job, gpu::UnpackResult(body, {memory.data(), memory.size()}));
    if (job.result.validation_logits.size() != logits_)
        return Status::Corrupt("the GPU process returned another number of logits");
    DLENT_RETURN_IF_ERROR(network_->Load(job.tensors));
    network_ = nullptr;
    ++networks_trained_;
    return std::move(job.result);
}

}  // namespace dlent::pg
