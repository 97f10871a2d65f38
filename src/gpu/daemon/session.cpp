#include "gpu/daemon/session.h"

#include <unistd.h>

#include <new>
#include <system_error>

namespace dlent::gpu {

/// Small networks end thousands of epochs a second; people read a few.
class Session::ProgressSender {
 public:
    explicit ProgressSender(Session& session) : session_(session) {}
    void Report(const TrainingProgress& progress) {
        session_.signal_->Beat();
        latest_ = progress;
        const auto now = std::chrono::steady_clock::now();
        if (now - sent_at_ < kInterval)
            return;
        sent_at_ = now;
        Flush();
    }
    void Flush() {
        if (latest_)
            session_.Send(MessageType::kProgress, ProgressToJson(*latest_));
        latest_.reset();
    }

 private:
    static constexpr std::chrono::milliseconds kInterval{50};
    Session& session_;
    std::optional<TrainingProgress> latest_;
    std::chrono::steady_clock::time_point sent_at_;
};

Session::~Session() {
    if (job_.joinable())
        job_.join();
}

void Session::Read() {
    while (!closed_) {
        Expected<std::optional<Received>> received = channel_.Receive();
        if (received.ok() && !received->has_value())
            return;
        const Status status = received.ok() ? Handle(std::move(**received)) : received.status();
        if (status.ok())
            continue;
        // what cannot be understood ends the connection; the peer learns why, unless it is gone
        if (status.code() != StatusCode::kNotFound)
            Send(MessageType::kError, StatusToJson(status));
        Close();
    }
}

void Session::Close() {
    closed_ = true;
    Cancel();
}

void Session::Cancel() {
    if (signal_ != nullptr)
        signal_->Cancel();
    blocks_.Close();
}

Status Session::Handle(Received received) {
    const MessageType type = received.message.type;
    if (type == MessageType::kHello) {
        DLENT_ASSIGN_OR_RETURN(const std::string build, ReadText(received.message.body, "build", 64));
        if (build != DLENT_VERSION)
            return {StatusCode::kUnsupported,
                    "the session's library is dlent " + build + ", and dlent-gpud is of " DLENT_VERSION};
        greeted_ = true;
        Json body = device_.status().ToJson();
        body["build"] = DLENT_VERSION;
        Send(MessageType::kWelcome, body);
        return Status::Ok();
    }
    if (!greeted_)
        return Status::Corrupt("a session that does not begin with a greeting");
    switch (type) {
        case MessageType::kStatusQuery:
            Send(MessageType::kStatus, device_.status().ToJson());
            return Status::Ok();
        case MessageType::kImage:
            return OpenImage(std::move(received));
        case MessageType::kTrain:
            return StartJob(std::move(received));
        case MessageType::kModel:
            return UseModel(std::move(received));
        case MessageType::kScore:
            return QueueBlock(received.message.body);
        case MessageType::kCancel:
            Cancel();
            return Status::Ok();
        default:
            return Status::Corrupt("a message that is not the session's to send");
    }
}

Status Session::OpenImage(Received received) {
    Reap();
    if (has_job())
        return Status::Corrupt("an image while a job reads the last one");
    data_.reset();
    image_ = SharedMemory();
    DLENT_ASSIGN_OR_RETURN(const ImageShape shape, ImageShape::FromJson(received.message.body));
    DLENT_ASSIGN_OR_RETURN(const ImageLayout layout, ImageLayout::Of(shape));
    DLENT_ASSIGN_OR_RETURN(image_, SharedMemory::Map(std::move(received.memory), layout.bytes));
    data_.emplace(layout, image_.data());
    return Status::Ok();
}

Status Session::StartJob(Received received) {
    Reap();
    if (has_job())
        return Status::Corrupt("a job while another one runs");
    if (!data_)
        return Status::Corrupt("a job without an image");
    DLENT_ASSIGN_OR_RETURN(const size_t bytes, JobBytes(received.message.body));
    DLENT_ASSIGN_OR_RETURN(RankOfJob rank, RankOfJob::FromJson(received.message.body));
    DLENT_ASSIGN_OR_RETURN(SharedMemory memory, SharedMemory::Map(std::move(received.memory), bytes));
    return StartThread([this, body = std::move(received.message.body), rank = std::move(rank),
                        shared = std::make_shared<SharedMemory>(std::move(memory))]() mutable {
        RunJob(body, rank, std::move(*shared));
    });
}

Status Session::UseModel(Received received) {
    Reap();
    if (has_job() || data_ || scores_)
        return Status::Corrupt("a model where the connection has been put to another use");
    DLENT_ASSIGN_OR_RETURN(ModelUse use, ModelUse::FromJson(received.message.body));
    std::shared_ptr<const ResidentModel> resident = models_.Find(use.key);
    if (resident == nullptr && !use.has_weights()) {
        Send(MessageType::kModelWanted, Json::object());
        return Status::Ok();
    }
    auto weights = std::make_shared<SharedMemory>();
    if (resident == nullptr) {
        DLENT_ASSIGN_OR_RETURN(const size_t bytes, use.Bytes());
        DLENT_ASSIGN_OR_RETURN(*weights, SharedMemory::Map(std::move(received.memory), bytes));
    }
    scores_ = true;
    return StartThread([this, use = std::move(use), resident = std::move(resident), weights]() mutable {
        RunScoring(use, std::move(resident), std::move(*weights));
    });
}

Status Session::QueueBlock(const Json& body) {
    std::optional<BlockShape> shape;
    {
        const std::scoped_lock lock(shape_mutex_);
        shape = block_shape_;
    }
    if (!shape)
        return Status::Corrupt("a block before there is a model");
    DLENT_ASSIGN_OR_RETURN(const BlockReady block, BlockReady::FromJson(body, *shape));
    if (!blocks_.Push(block))
        return Status::Corrupt("more blocks than a session may have under way");
    return Status::Ok();
}

Status Session::StartThread(std::function<void()> body) {
    signal_ = std::make_unique<JobSignal>();
    job_ended_ = false;
    try {
        job_ = std::thread(std::move(body));
    } catch (const std::system_error&) {
        return {StatusCode::kOutOfMemory, "dlent-gpud could not start a thread"};
    }
    return Status::Ok();
}

void Session::RunJob(const Json& body, const RankOfJob& rank, SharedMemory memory) {
    const auto run = [&]() -> Expected<Parcel> {
        DLENT_ASSIGN_OR_RETURN(const TrainJob job, UnpackJob(body, {memory.data(), memory.size()}));
        memory = SharedMemory();
        ProgressSender progress(*this);
        TrainingReports reports;
        reports.progress = [&progress](const TrainingProgress& p) { progress.Report(p); };
        reports.turn = [this](const std::string& id) { Send(MessageType::kTurn, TurnToJson(id)); };
        Expected<Parcel> trained = RunTraining(device_, job, rank, *data_, *signal_, reports);
        progress.Flush();
        return trained;
    };
    Expected<Parcel> result = [&]() -> Expected<Parcel> {
        try {
            return run();
        } catch (const std::bad_alloc&) {
            return Status(StatusCode::kOutOfMemory, "dlent-gpud is out of memory");
        }
    }();
    // ended first, so that who has the answer can send the next job
    job_ended_ = true;
    if (result.ok())
        Send(MessageType::kResult, result->body, result->memory.fd());
    else
        Send(MessageType::kError, StatusToJson(result.status()));
    Wake();
}

void Session::RunScoring(const ModelUse& use, std::shared_ptr<const ResidentModel> resident,
                         SharedMemory weights) {
    const Status ended = [&] {
        try {
            return ScoreBlocks(use, std::move(resident), std::move(weights));
        } catch (const std::bad_alloc&) {
            return Status(StatusCode::kOutOfMemory, "dlent-gpud is out of memory");
        }
    }();
    job_ended_ = true;
    if (!ended.ok())
        Send(MessageType::kError, StatusToJson(ended));
    Wake();
}

Status Session::ScoreBlocks(const ModelUse& use, std::shared_ptr<const ResidentModel> resident,
                            SharedMemory weights) {
    DLENT_ASSIGN_OR_RETURN(
        const std::unique_ptr<BlockScorer> scorer,
        BlockScorer::Create(device_, models_, use, std::move(resident), std::move(weights), *signal_));
    {
        const std::scoped_lock lock(shape_mutex_);
        block_shape_ = scorer->shape();
    }
    Send(MessageType::kModelReady, scorer->shape().ToJson(), scorer->memory().fd());
    for (;;) {
        signal_->Rest();
        const std::optional<BlockReady> block = blocks_.Take();
        if (!block)
            return Status::Cancelled();
        DLENT_RETURN_IF_ERROR(scorer->Score(*block));
        Send(MessageType::kScored, block->ToJson());
    }
}

void Session::Wake() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wakeup_, &one, sizeof(one));
}

void Session::Reap() {
    if (job_.joinable() && job_ended_) {
        job_.join();
        signal_.reset();
    }
}

std::chrono::milliseconds Session::silence() const {
    return job_.joinable() && !job_ended_ ? signal_->silence() : std::chrono::milliseconds(0);
}

void Session::Send(MessageType type, const Json& body, int memory) {
    const std::scoped_lock lock(send_mutex_);
    if (!closed_ && !channel_.Send(type, body, memory).ok())
        Close();
}

}  // namespace dlent::gpu
