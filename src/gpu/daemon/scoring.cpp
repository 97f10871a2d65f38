#include "gpu/daemon/scoring.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "gpu/protocol/image.h"

namespace dlent::gpu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kLeastBlockRows = 64;

}  // namespace

bool BlockQueue::Push(const BlockReady& block) {
    const std::scoped_lock lock(mutex_);
    if (blocks_.size() == kBlockSlots)
        return false;
    blocks_.push_back(block);
    changed_.notify_one();
    return true;
}

std::optional<BlockReady> BlockQueue::Take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || !blocks_.empty(); });
    if (closed_)
        return std::nullopt;
    const BlockReady block = blocks_.front();
    blocks_.pop_front();
    return block;
}

void BlockQueue::Close() {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    changed_.notify_one();
}

Expected<std::unique_ptr<BlockScorer>> BlockScorer::Create(Device& device, ResidentModels& models,
                                                           const ModelUse& use,
                                                           std::shared_ptr<const ResidentModel> resident,
                                                           SharedMemory weights, const JobSignal& signal) {
    std::unique_ptr<BlockScorer> scorer(new BlockScorer(device, signal));
    DLENT_ASSIGN_OR_RETURN(scorer->backend_,
                           scorer->allowance_.MakeBackend(Precision::kFp32, kScoringMemoryHint));
    scorer->model_ = std::move(resident);
    if (scorer->model_ == nullptr) {
        DLENT_ASSIGN_OR_RETURN(const ScoredModel model, UnpackModel(use, {weights.data(), weights.size()}));
        weights = SharedMemory();
        DLENT_ASSIGN_OR_RETURN(scorer->model_, models.Add(use.key, model, signal));
    }
    // smaller blocks where there is no room for those that were asked for
    for (uint32_t rows = use.rows;; rows /= 2) {
        const Status prepared = scorer->Prepare(rows);
        if (prepared.ok())
            return scorer;
        if (prepared.code() != StatusCode::kOutOfMemory || rows / 2 < kLeastBlockRows)
            return scorer->allowance_.Explain(prepared, kScoringMemoryHint);
    }
}

Status BlockScorer::Prepare(uint32_t rows) {
    members_.clear();
    device_numeric_ = DeviceBuffer<float>();
    device_plain_ = DeviceBuffer<float>();
    device_codes_ = DeviceBuffer<int32_t>();
    for (size_t member = 0; member < model_->members(); ++member) {
        DLENT_ASSIGN_OR_RETURN(std::unique_ptr<Network> network,
                               Network::CreateOver(model_->network(), *backend_, static_cast<int>(rows),
                                                   model_->tensors(member)));
        network->SetCancelToken(&signal_);
        member_logits_ = static_cast<size_t>(network->outputs()) * network->members();
        members_.push_back(std::move(network));
    }
    const BlockShape shape =
        BlockShape::Of(model_->network(), rows, static_cast<uint32_t>(member_logits_ * members_.size()));
    DLENT_ASSIGN_OR_RETURN(layout_, BlockLayout::Of(shape));
    DLENT_ASSIGN_OR_RETURN(memory_, SharedMemory::Create(layout_.bytes(), signal_));
    numeric_.resize(static_cast<size_t>(rows) * shape.numeric);
    plain_.resize(static_cast<size_t>(rows) * shape.plain);
    codes_.resize(static_cast<size_t>(rows) * shape.fields);
    logits_.resize(static_cast<size_t>(rows) * shape.logits);
    DLENT_RETURN_IF_ERROR(device_numeric_.Allocate(*backend_, numeric_.size()));
    DLENT_RETURN_IF_ERROR(device_plain_.Allocate(*backend_, plain_.size()));
    return device_codes_.Allocate(*backend_, codes_.size());
}

Status BlockScorer::Score(const BlockReady& block) {
    Lane::Place place;
    if (!Lane::Place::Take(device_.blocks(), signal_, &place))
        return Status::Cancelled();
    signal_.Beat();
    DLENT_RETURN_IF_ERROR(CopyInputs(block));
    const Clock::time_point start = Clock::now();
    const Status status = Run(block);
    if (!status.ok())
        return allowance_.Explain(status, kScoringMemoryHint);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    device_.LearnScoring(block.rows, model_->forward_flops() * block.rows / std::max(seconds, 1e-9), seconds);
    std::memcpy(layout_.At<float>(memory_.data(), block.slot, layout_.logits), logits_.data(),
                static_cast<size_t>(block.rows) * layout_.shape.logits * sizeof(float));
    return Status::Ok();
}

Status BlockScorer::CopyInputs(const BlockReady& block) {
    const BlockShape& shape = layout_.shape;
    const auto copy = [&](auto* to, size_t offset, size_t width) {
        using T = std::remove_pointer_t<decltype(to)>;
        if (width > 0)
            std::memcpy(to, layout_.At<T>(memory_.data(), block.slot, offset),
                        block.rows * width * sizeof(T));
    };
    copy(numeric_.data(), layout_.numeric, shape.numeric);
    copy(plain_.data(), layout_.plain, shape.plain);
    copy(codes_.data(), layout_.codes, shape.fields);
    if (!AreCodesInRange(codes_.data(), block.rows, model_->network().codes))
        return Status::Corrupt("a category code of a block is out of range");
    return Status::Ok();
}

Status BlockScorer::Run(const BlockReady& block) {
    const BlockShape& shape = layout_.shape;
    const size_t rows = block.rows;
    backend_->Upload(device_numeric_.data(), numeric_.data(), rows * shape.numeric * sizeof(float));
    backend_->Upload(device_plain_.data(), plain_.data(), rows * shape.plain * sizeof(float));
    backend_->Upload(device_codes_.data(), codes_.data(), rows * shape.fields * sizeof(int32_t));
    const BatchInputs batch{static_cast<int>(block.rows), device_numeric_.data(), device_plain_.data(),
                            device_codes_.data()};
    float* logits = logits_.data();
    for (const std::unique_ptr<Network>& member : members_) {
        DLENT_RETURN_IF_ERROR(member->Forward(batch, false));
        backend_->Download(logits, member->logits(), rows * member_logits_ * sizeof(float));
        logits += rows * member_logits_;
    }
    return backend_->Synchronize();
}

}  // namespace dlent::gpu
