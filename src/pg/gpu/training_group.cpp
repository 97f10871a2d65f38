#include "pg/bridge/postgres.h"

#include "pg/gpu/training_group.h"

#include <cstring>

namespace dlent::pg {
namespace {

/// How long after a first failure of a group the one that caused it may show up.
constexpr std::chrono::milliseconds kSettleTime{300};

/// How surely a failure is the card's own: a process that is gone is, a rank that others have left is not.
int Certainty(const Status& status) {
    switch (status.code()) {
        case StatusCode::kNotFound:
            return 2;
        case StatusCode::kCancelled:
            return 0;
        default:
            return 1;
    }
}

bool SameBytes(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

bool SameNetwork(const gpu::JobResult& a, const gpu::JobResult& b) {
    if (a.tensors.size() != b.tensors.size() ||
        !SameBytes(a.result.validation_logits, b.result.validation_logits))
        return false;
    for (size_t i = 0; i < a.tensors.size(); ++i) {
        if (a.tensors[i].name != b.tensors[i].name || !SameBytes(a.tensors[i].values, b.tensors[i].values))
            return false;
    }
    return true;
}

}  // namespace

Status TrainingGroup::Start(const PlacedTraining& training, const TrainingImage& image,
                            gpu::Precision precision, const CancelToken& cancel) {
    network_ = training.network;
    failures_ = training.failures;
    image_ = &image;
    const size_t logits = training.validation_rows.size() * static_cast<size_t>(network_->members()) *
                          static_cast<size_t>(network_->outputs());
    DLENT_ASSIGN_OR_RETURN(const std::vector<NamedTensorData> initial, network_->Save());
    DLENT_ASSIGN_OR_RETURN(job_, gpu::PackJob(network_->spec(), initial, training.options, precision,
                                              training.train_rows, training.validation_rows, cancel));
    for (TrainingCard* const card : cards_)
        card->Reserve(logits);
    SendTo(0);
    return Status::Ok();
}

void TrainingGroup::SendTo(size_t rank) {
    gpu::RankOfJob place;
    place.rank = static_cast<int>(rank);
    place.ranks = static_cast<int>(cards_.size());
    place.id = id_;
    cards_[rank]->Send(job_, place, *image_);
    sent_ = rank + 1;
}

Expected<std::optional<GroupEvent>> TrainingGroup::Listen() {
    for (size_t rank = 0; rank < cards_.size(); ++rank) {
        if (results_[rank] || (suspect_ && suspect_->card == cards_[rank]))
            continue;
        Expected<std::optional<CardEvent>> said = cards_[rank]->Listen();
        if (!said.ok()) {
            Suspect(rank, said.status());
            continue;
        }
        if (!said->has_value())
            continue;
        Expected<std::optional<GroupEvent>> heard = Hear(rank, std::move(**said));
        if (!heard.ok())
            Suspect(rank, heard.status());
        else if (heard->has_value())
            return heard;
    }
    const bool is_settled = suspect_ && (cards_.size() == 1 || Certainty(suspect_->status) == 2 ||
                                         Clock::now() - suspected_at_ >= kSettleTime);
    return is_settled ? std::optional<GroupEvent>(Fail()) : std::nullopt;
}

Expected<std::optional<GroupEvent>> TrainingGroup::Hear(size_t rank, CardEvent event) {
    if (auto* const progress = std::get_if<TrainingProgress>(&event))
        return rank == 0 ? std::optional<GroupEvent>(std::move(*progress)) : std::nullopt;
    if (auto* const turn = std::get_if<CardTurn>(&event)) {
        DLENT_RETURN_IF_ERROR(Turn(rank, std::move(turn->id)));
        return std::optional<GroupEvent>();
    }
    results_[rank] = std::move(std::get<gpu::JobResult>(event));
    for (const std::optional<gpu::JobResult>& result : results_) {
        if (!result)
            return std::optional<GroupEvent>();
    }
    DLENT_ASSIGN_OR_RETURN(TrainerResult result, Finish());
    return std::optional<GroupEvent>(std::move(result));
}

Status TrainingGroup::Turn(size_t rank, std::string id) {
    if (rank + 1 != sent_ || (rank == 0) == id.empty())
        return Status::Corrupt("a GPU process says out of turn that it has its turn");
    if (rank == 0)
        id_ = std::move(id);
    if (sent_ < cards_.size())
        SendTo(sent_);
    return Status::Ok();
}

Expected<TrainerResult> TrainingGroup::Finish() {
    for (const std::optional<gpu::JobResult>& result : results_) {
        if (!SameNetwork(*results_[0], *result))
            return Status::Internal("GPUs that trained a network together do not agree on its weights");
    }
    DLENT_RETURN_IF_ERROR(network_->Load(results_[0]->tensors));
    for (TrainingCard* const card : cards_)
        card->Finish();
    return std::move(results_[0]->result);
}

void TrainingGroup::Suspect(size_t rank, const Status& status) {
    if (!suspect_)
        suspected_at_ = Clock::now();
    if (!suspect_ || Certainty(status) > Certainty(suspect_->status))
        suspect_ = CardFailure{cards_[rank], status};
}

GroupEvent TrainingGroup::Fail() {
    for (TrainingCard* const card : cards_) {
        if (card != suspect_->card)
            card->Stop();
    }
    if (cards_.size() > 1 && suspect_->status.code() == StatusCode::kCancelled)
        suspect_->status = Status::Internal("GPUs that trained a network together lost each other");
    return std::move(*suspect_);
}

}  // namespace dlent::pg
