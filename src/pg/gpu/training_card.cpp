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
    Stop();
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

void TrainingCard::Reserve(size_t logits) {
    is_training_ = true;
    logits_ = logits;
    sent_ = Status::Ok();
}

void TrainingCard::Send(const gpu::Parcel& job, const gpu::RankOfJob& rank, const TrainingImage& image) {
    if (!has_image_)
        sent_ = connection_->Send(gpu::MessageType::kImage, image.shape.ToJson(), image.memory.fd());
    has_image_ = sent_.ok();
    if (!sent_.ok())
        return;
    Json body = job.body;
    rank.AddTo(&body);
    sent_ = connection_->Send(gpu::MessageType::kTrain, body, job.memory.fd());
}

Expected<std::optional<CardEvent>> TrainingCard::Listen() {
    DLENT_RETURN_IF_ERROR(sent_);
    DLENT_ASSIGN_OR_RETURN(std::optional<gpu::Received> received, connection_->ReceiveNow());
    if (!received)
        return std::optional<CardEvent>();
    const Json& body = received->message.body;
    switch (received->message.type) {
        case gpu::MessageType::kProgress: {
            DLENT_ASSIGN_OR_RETURN(TrainingProgress report, gpu::ProgressFromJson(body));
            return std::optional<CardEvent>(report);
        }
        case gpu::MessageType::kTurn: {
            DLENT_ASSIGN_OR_RETURN(std::string id, gpu::TurnFromJson(body));
            return std::optional<CardEvent>(CardTurn{std::move(id)});
        }
        case gpu::MessageType::kResult: {
            DLENT_ASSIGN_OR_RETURN(gpu::JobResult result, Unpack(std::move(*received)));
            return std::optional<CardEvent>(std::move(result));
        }
        case gpu::MessageType::kError:
            return gpu::StatusFromJson(body);
        default:
            return Status::Corrupt("the GPU process sent a message that is not its to send");
    }
}

Expected<gpu::JobResult> TrainingCard::Unpack(gpu::Received received) const {
    const Json& body = received.message.body;
    DLENT_ASSIGN_OR_RETURN(const size_t bytes, gpu::ResultBytes(body));
    DLENT_ASSIGN_OR_RETURN(const gpu::SharedMemory memory,
                           gpu::SharedMemory::Map(std::move(received.memory), bytes));
    DLENT_ASSIGN_OR_RETURN(gpu::JobResult job, gpu::UnpackResult(body, {memory.data(), memory.size()}));
    if (job.result.validation_logits.size() != logits_)
        return Status::Corrupt("the GPU process returned another number of logits");
    return job;
}

void TrainingCard::Finish() {
    is_training_ = false;
    ++networks_trained_;
}

void TrainingCard::Stop() {
    is_training_ = false;
    Release();
}

}  // namespace dlent::pg
