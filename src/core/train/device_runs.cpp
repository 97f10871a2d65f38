#include "core/train/device_runs.h"

#include <utility>

namespace dlent {

MemberRunner::DeviceRuns::DeviceRuns(MemberRunner& runner, std::span<const MemberRun> runs,
                                     const std::vector<std::string>& keys, const char* phase,
                                     Outcomes* outcomes)
    : runner_(runner),
      device_(*runner.context_.device),
      runs_(runs),
      keys_(keys),
      phase_(phase),
      outcomes_(*outcomes),
      failures_(runs.size()) {
    for (size_t i = 0; i < runs.size(); ++i) {
        if (!outcomes_[i])
            waiting_.push_back(i);
    }
}

Status MemberRunner::DeviceRuns::Run() {
    for (;;) {
        DLENT_RETURN_IF_ERROR(StartMore());
        if (placed_.empty())
            return Status::Ok();
        Expected<std::optional<PlaceEvent>> event = device_.Wait(runner_.cancel_);
        if (!event.ok())
            return event.status();
        if (event->has_value())
            DLENT_RETURN_IF_ERROR(Handle(std::move(**event)));
    }
}

Status MemberRunner::DeviceRuns::StartMore() {
    while (!waiting_.empty()) {
        const size_t run = waiting_.front();
        if (!runs_[run].may_be_skipped || !runner_.OutOfTime()) {
            DLENT_ASSIGN_OR_RETURN(const std::optional<int> place, device_.FindPlace(runner_.cancel_));
            if (!place)
                return Status::Ok();
            DLENT_RETURN_IF_ERROR(StartAt(*place, run));
        }
        waiting_.pop_front();
    }
    return Status::Ok();
}

Status MemberRunner::DeviceRuns::StartAt(int place, size_t run) {
    const double seconds = runner_.ShareOfTime(runner_.done_ + static_cast<int>(placed_.size()));
    Placed& placed = placed_[place];
    placed.run = run;
    DLENT_ASSIGN_OR_RETURN(placed.prepared, runner_.Prepare(runs_[run], runner_.backend_, seconds));
    placed.training = {placed.prepared.network.get(), runs_[run].split->train, runs_[run].split->validation,
                       placed.prepared.options, failures_[run]};
    return device_.Start(place, placed.training, runner_.cancel_);
}

Status MemberRunner::DeviceRuns::Handle(PlaceEvent event) {
    if (const auto* const progress = std::get_if<TrainingProgress>(&event.what)) {
        Placed& placed = placed_.at(event.place);
        placed.fraction = progress->fraction;
        double runs = runner_.done_;
        for (const auto& [place, other] : placed_)
            runs += other.fraction;
        runner_.Report(*progress, phase_, runs_[placed.run].member, runs);
        return Status::Ok();
    }
    Placed placed = std::move(placed_.extract(event.place).mapped());
    if (auto* const result = std::get_if<TrainerResult>(&event.what))
        return Finish(std::move(placed), std::move(*result));
    ++failures_[placed.run];
    waiting_.push_front(placed.run);
    return Status::Ok();
}

Status MemberRunner::DeviceRuns::Finish(Placed placed, TrainerResult result) {
    std::optional<MemberOutcome>& outcome = outcomes_[placed.run];
    DLENT_ASSIGN_OR_RETURN(outcome, runner_.Outcome(runs_[placed.run], placed.prepared, std::move(result)));
    ++runner_.done_;
    return runner_.KeepCheckpoint(keys_[placed.run], *outcome);
}

}  // namespace dlent
