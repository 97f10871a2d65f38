#include "pg/bridge/postgres.h"

#include "pg/gpu/remote_trainer.h"

#include <algorithm>

#include "core/train/place_choice.h"
#include "pg/bridge/error.h"

namespace dlent::pg {
namespace {

/// How often a training that could use more cards looks whether others have left them.
constexpr std::chrono::milliseconds kLookAgain{500};
/// A network that this many cards have failed with is not given to another: it may be what fails them.
constexpr int kMostFailures = 2;

/// Whether it was the training that failed, which it would have done anywhere, rather than the device.
bool IsOfTraining(const Status& status) {
    switch (status.code()) {
        case StatusCode::kOk:
        case StatusCode::kCancelled:
        case StatusCode::kNonFinite:
        case StatusCode::kInvalidArgument:
        case StatusCode::kInsufficientData:
            return true;
        default:
            return false;
    }
}

/// A connection that ended is a process that ended.
Status AsDeviceFailure(const Status& status) {
    return status.code() == StatusCode::kNotFound ? ProcessEnded("trained") : status;
}

std::string Count(int count, const char* what) {
    return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace

Expected<bool> RemoteTrainer::Begin(const TrainingPlan& plan, const CancelToken& cancel) {
    takes_them_ = false;
    groups_.clear();
    cards_.clear();
    spread_estimate_.reset();
    last_failure_ = Status::Ok();
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
    // cards that are idle and fast are the most that there could be: no process is asked for less
    decision_ = RouteTraining(plan, cpu, threads_, {kAssumedGpuRates, true, 0, plan.beside});
    if (!decision_->gpu)
        return false;
    const Status opened = OpenCards(cancel);
    if (!opened.ok()) {
        if (opened.code() == StatusCode::kCancelled)
            return opened;
        decision_ = RoutingDecision();
        decision_->reason = opened.message();
        return false;
    }
    const TrainingCard& least = LeastBusyCard();
    GpuOffer offer;
    offer.rates = RatesOf(least);
    offer.is_warm = least.status().jobs + least.status().jobs_done > 0;
    offer.jobs = least.others();
    offer.cards = IdleCards();
    decision_ = RouteTraining(plan, cpu, threads_, offer);
    return decision_->gpu;
}

const TrainingCard& RemoteTrainer::LeastBusyCard() const {
    return *std::min_element(cards_.begin(), cards_.end(), [](const auto& a, const auto& b) {
        const auto rank = [](const TrainingCard& card) {
            return std::pair(card.connection() == nullptr, card.others());
        };
        return rank(a) < rank(b);
    });
}

DeviceRates RemoteTrainer::RatesOf(const TrainingCard& card) {
    const gpu::DeviceStatus& status = card.status();
    if (status.flops_per_second > 0.0 && status.step_seconds > 0.0)
        return {std::max(status.flops_per_second, kAssumedGpuRates.flops_per_second), status.step_seconds,
                true};
    return kAssumedGpuRates;
}

void RemoteTrainer::JudgeSpread(const TrainingPlan& plan) {
    spread_estimate_ = EstimateSpread(plan, RatesOf(LeastBusyCard()), ranks_);
    if (spread_estimate_->pays())
        return;
    const std::string message = std::to_string(ranks_) + " GPUs a network are no faster than one";
    const std::string detail = "By estimate, " + spread_estimate_->Describe() + ".";
    CallPostgres([&] {
        ereport(NOTICE, (errmsg_internal("%s", message.c_str()), errdetail_internal("%s", detail.c_str()),
                         errhint("Steps of more rows (\"batch_size\") would have more to share.")));
    });
}

Status RemoteTrainer::TooFewCards(int count, const char* what) const {
    return {StatusCode::kUnsupported,
            std::to_string(ranks_) + " GPUs are to train each network together, and " + Count(count, "GPU") +
                " " + what,
            {},
            "Lower \"data_parallel\"."};
}

Status RemoteTrainer::OpenCards(const CancelToken& cancel) {
    DLENT_ASSIGN_OR_RETURN(std::vector<std::optional<GpuConnection>> connections,
                           GpuConnection::OpenAll(wanted_, cancel));
    for (size_t i = 0; i < connections.size(); ++i) {
        const int device = static_cast<int>(i);
        if (!wanted_ || device == *wanted_)
            cards_.emplace_back(device, std::move(connections[i]));
    }
    return Status::Ok();
}

Status RemoteTrainer::BeginGuarded(const TrainingPlan& plan, const CancelToken& cancel) {
    const auto start = Clock::now();
    no_place_since_.reset();
    gpu::ImageShape shape;
    shape.rows = plan.data->rows();
    shape.numeric = static_cast<uint32_t>(plan.numeric);
    shape.plain = static_cast<uint32_t>(plan.plain);
    shape.fields = static_cast<uint32_t>(plan.fields);
    shape.integer_targets = plan.integer_targets;
    shape.weights = plan.data->has_weights();
    DLENT_ASSIGN_OR_RETURN(const gpu::ImageLayout layout, gpu::ImageLayout::Of(shape));
    if (cards_.empty())
        DLENT_RETURN_IF_ERROR(OpenCards(cancel));
    const int cards = static_cast<int>(cards_.size());
    if (cards < ranks_)
        return TooFewCards(cards, cards == 1 ? "is there" : "are there");
    if (ranks_ > 1)
        JudgeSpread(plan);
    spread_ = wanted_            ? "this GPU was asked for"
              : plan.beside <= 1 ? "there is one network at a time to be trained"
                                 : Count(plan.beside, "network") + " can be trained beside each other, and " +
                                       std::to_string(IdleCards()) + " of " + Count(cards, "GPU") +
                                       " had no other training when this one began";
    image_.shape = shape;
    DLENT_ASSIGN_OR_RETURN(image_.memory, gpu::SharedMemory::Create(layout.bytes, cancel));
    DLENT_RETURN_IF_ERROR(gpu::WriteImage(layout, *plan.data, cancel, image_.memory.data()));
    image_seconds_ = std::chrono::duration<double>(Clock::now() - start).count();
    return Status::Ok();
}

int RemoteTrainer::IdleCards() const {
    return static_cast<int>(
        std::count_if(cards_.begin(), cards_.end(), [](const TrainingCard& card) { return card.is_idle(); }));
}

int RemoteTrainer::width() const {
    return std::max(1, static_cast<int>(groups_.size()) + IdleCards() / ranks_);
}

Expected<std::optional<int>> RemoteTrainer::FindPlace(const CancelToken& cancel) {
    return error_.Guard<Expected<std::optional<int>>>([&] { return FindPlaceGuarded(cancel); });
}

Expected<std::optional<int>> RemoteTrainer::FindPlaceGuarded(const CancelToken& cancel) {
    if (no_place_since_ && Clock::now() - *no_place_since_ < kLookAgain)
        return std::optional<int>();
    std::vector<PlaceState> places;
    for (TrainingCard& card : cards_) {
        if (!card.is_abandoned() && !card.is_training()) {
            const Status looked = card.Look(cancel);
            if (!looked.ok())
                DLENT_RETURN_IF_ERROR(GiveUp(&card, looked, 0));
        }
        places.push_back({card.connection() != nullptr && !card.is_training(), card.others()});
    }
    const std::vector<int> chosen = ChoosePlaces(places, ranks_, !groups_.empty());
    if (!chosen.empty()) {
        no_place_since_.reset();
        std::vector<TrainingCard*> together;
        for (const int card : chosen)
            together.push_back(&cards_[static_cast<size_t>(card)]);
        groups_.insert_or_assign(chosen[0], TrainingGroup(std::move(together)));
        return std::optional<int>(chosen[0]);
    }
    if (groups_.empty()) {
        const auto are_free = std::count_if(places.begin(), places.end(),
                                            [](const PlaceState& place) { return place.is_free; });
        return Blame(!last_failure_.ok() ? last_failure_
                     : are_free > 0      ? TooFewCards(static_cast<int>(are_free), "can be used now")
                                         : Status(StatusCode::kUnsupported, "no GPU process answers", {},
                                                  "The server's log may say why."));
    }
    no_place_since_ = Clock::now();
    return std::optional<int>();
}

Status RemoteTrainer::Start(int place, const PlacedTraining& training, const CancelToken& cancel) {
    return error_.Guard<Status>(
        [&] { return Blame(groups_.at(place).Start(training, image_, precision_, cancel)); });
}

Expected<std::optional<PlaceEvent>> RemoteTrainer::Wait(const CancelToken& cancel) {
    return error_.Guard<Expected<std::optional<PlaceEvent>>>([&] { return WaitGuarded(cancel); });
}

Expected<std::optional<PlaceEvent>> RemoteTrainer::WaitGuarded(const CancelToken& cancel) {
    std::vector<const GpuConnection*> connections;
    for (TrainingCard& card : cards_) {
        if (card.is_training())
            connections.push_back(card.connection());
        else
            card.Release();  // so that a process that has nothing else to do may give its card back
    }
    const auto until = Clock::now() + kLookAgain;
    for (;;) {
        if (cancel.IsCancelled())
            return Status::Cancelled();
        Expected<std::optional<PlaceEvent>> event = ListenToAll();
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
        if (!event.ok() || event->has_value() || left.count() <= 0)
            return event;
        GpuConnection::WaitForAny(connections, left.count());
    }
}

Expected<std::optional<PlaceEvent>> RemoteTrainer::ListenToAll() {
    for (auto& [place, group] : groups_) {
        DLENT_ASSIGN_OR_RETURN(std::optional<GroupEvent> said, group.Listen());
        if (!said)
            continue;
        PlaceEvent event;
        event.place = place;
        if (auto* const progress = std::get_if<TrainingProgress>(&*said)) {
            event.what = std::move(*progress);
            return std::optional<PlaceEvent>(std::move(event));
        }
        if (const auto* const failure = std::get_if<CardFailure>(&*said)) {
            DLENT_RETURN_IF_ERROR(GiveUp(failure->card, failure->status, group.failures() + 1));
            event.what = PlaceFailed();
        } else {
            event.what = std::move(std::get<TrainerResult>(*said));
        }
        groups_.erase(place);
        no_place_since_.reset();
        return std::optional<PlaceEvent>(std::move(event));
    }
    return std::optional<PlaceEvent>();
}

Status RemoteTrainer::GiveUp(TrainingCard* card, const Status& failure, int failures) {
    if (IsOfTraining(failure))
        return failure;
    card->Abandon();
    spread_ += "; " + card->name() + " failed";
    const auto others_left = std::count_if(cards_.begin(), cards_.end(),
                                           [](const TrainingCard& other) { return !other.is_abandoned(); });
    if (failures >= kMostFailures || others_left < ranks_)
        return Blame(failure);
    last_failure_ = AsDeviceFailure(failure);
    WarnOfDeviceFailure(last_failure_, "the training goes on without " + card->name());
    return Status::Ok();
}

Status RemoteTrainer::Blame(Status status) {
    if (!IsOfTraining(status))
        device_failure_ = AsDeviceFailure(status);
    return status;
}

std::vector<const TrainingCard*> RemoteTrainer::CardsUsed() const {
    std::vector<const TrainingCard*> used;
    for (const TrainingCard& card : cards_) {
        if (card.networks_trained() > 0)
            used.push_back(&card);
    }
    if (!used.empty())
        return used;
    // all networks came from checkpoints
    return {&*std::find_if(cards_.begin(), cards_.end(),
                           [](const TrainingCard& card) { return card.was_reached(); })};
}

std::string RemoteTrainer::device_name() const {
    if (!takes_them_)
        return "cpu";
    std::string names;
    for (const TrainingCard* const card : CardsUsed())
        names += (names.empty() ? "" : ",") + card->name();
    return names;
}

Json RemoteTrainer::Routing() const {
    if (!takes_them_)
        return decision_ ? decision_->ToJson() : Json();
    Json routing =
        decision_ ? decision_->ToJson() : Json{{"device", "gpu"}, {"reason", "a GPU was asked for"}};
    routing["gpus"] = CardsUsed().size();
    routing["gpus_reason"] = spread_;
    if (spread_estimate_)
        routing["data_parallel"] = spread_estimate_->ToJson();
    return routing;
}

Json RemoteTrainer::Describe() const {
    if (!takes_them_)
        return nullptr;
    const std::vector<const TrainingCard*> used = CardsUsed();
    Json gpus = Json::array();
    for (const TrainingCard* const card : used)
        gpus.push_back({{"gpu", card->device()}, {"networks", card->networks_trained()}});
    return {{"name", used[0]->status().name},
            {"driver", used[0]->status().driver},
            {"precision", gpu::PrecisionName(precision_)},
            {"gpus", std::move(gpus)},
            {"gpus_a_network", ranks_},
            {"image_bytes", image_.memory.size()},
            {"image_seconds", image_seconds_}};
}

}  // namespace dlent::pg
