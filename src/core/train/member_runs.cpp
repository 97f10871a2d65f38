#include "core/train/member_runs.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "core/base/random.h"
#include "core/train/recipe.h"

namespace dlent {
namespace {

/// A run that is given up leaves this much to those that come after it.
constexpr double kLeastSeconds = 0.01;

/// Raised on the caller's thread, polled on those of a pool.
class StopFlag final : public CancelToken {
 public:
    bool IsCancelled() const override { return raised_.load(std::memory_order_relaxed); }
    void Raise() { raised_.store(true, std::memory_order_relaxed); }

 private:
    std::atomic<bool> raised_{false};
};

}  // namespace

double MemberRunner::SecondsElapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - context_.start).count();
}

bool MemberRunner::OutOfTime() const {
    return context_.max_seconds && SecondsElapsed() >= *context_.max_seconds;
}

double MemberRunner::ShareOfTime(int begun) const {
    if (!context_.max_seconds)
        return 0.0;
    const int width = pool_ != nullptr && context_.device == nullptr ? pool_->width() : 1;
    const int rounds = (std::max(expected_ - begun, 1) + width - 1) / width;
    return std::max(kLeastSeconds, (*context_.max_seconds - SecondsElapsed()) / rounds);
}

Expected<MemberOutcome> MemberRunner::RunOne(const MemberRun& run, Backend& backend, double max_seconds,
                                             const CancelToken& cancel,
                                             const ProgressCallback& progress) const {
    const uint64_t seed = Mix64(context_.seed * 1000003 + static_cast<uint64_t>(run.member));
    TrainerOptions trainer = context_.trainer;
    trainer.seed = seed;
    trainer.stop_fraction = run.stop_fraction;
    trainer.max_seconds = max_seconds;
    if (run.split->validation.empty())
        trainer.stopping.rule = StoppingRule::kNone;
    DLENT_ASSIGN_OR_RETURN(
        const std::unique_ptr<Network> network,
        Network::Create(*run.network, backend,
                        context_.device != nullptr ? 1 : std::max(context_.trainer.batch_size, 1),
                        context_.device == nullptr));
    DLENT_RETURN_IF_ERROR(network->Initialize(seed));
    DLENT_RETURN_IF_ERROR(SetPipelineEdges(*context_.pipeline, network.get()));
    MemberOutcome outcome;
    const double begun_at = SecondsElapsed();
    const std::vector<uint32_t>& rows = run.split->train;
    const std::vector<uint32_t>& held_out = run.split->validation;
    DLENT_ASSIGN_OR_RETURN(
        outcome.trained,
        context_.device != nullptr
            ? context_.device->Train(*network, rows, held_out, trainer, cancel, progress)
            : TrainNetwork(*network, backend, *context_.data, rows, held_out, trainer, cancel, progress));
    for (EpochRecord& record : outcome.trained.log) {
        record.member = run.member;
        record.seconds += begun_at;
    }
    DLENT_ASSIGN_OR_RETURN(outcome.tensors, network->Save());
    return outcome;
}

Expected<std::vector<std::optional<MemberOutcome>>> MemberRunner::Run(std::span<const MemberRun> runs,
                                                                      const char* phase) {
    if (context_.device == nullptr && pool_ != nullptr && pool_->width() > 1 && runs.size() > 1)
        return RunOnPool(runs, phase);
    std::vector<std::optional<MemberOutcome>> outcomes(runs.size());
    for (size_t i = 0; i < runs.size(); ++i) {
        if (runs[i].may_be_skipped && OutOfTime())
            continue;
        const ProgressCallback forward = [&](const TrainingProgress& report) {
            Report(report, phase, runs[i].member, done_ + report.fraction);
        };
        DLENT_ASSIGN_OR_RETURN(outcomes[i], RunOne(runs[i], backend_, ShareOfTime(done_), cancel_, forward));
        ++done_;
    }
    return outcomes;
}

Expected<std::vector<std::optional<MemberOutcome>>> MemberRunner::RunOnPool(std::span<const MemberRun> runs,
                                                                            const char* phase) {
    struct Progress {
        TrainingProgress report;
        bool is_new = false;
    };
    std::vector<std::optional<MemberOutcome>> outcomes(runs.size());
    std::vector<Status> failures(runs.size());
    std::mutex mutex;  // of what follows
    std::vector<Progress> latest(runs.size());
    int begun = done_;
    StopFlag stop;

    const auto task = [&](int index, Backend& backend) {
        const MemberRun& run = runs[static_cast<size_t>(index)];
        try {
            if (stop.IsCancelled() || (run.may_be_skipped && OutOfTime()))
                return;
            double seconds = 0.0;
            {
                const std::scoped_lock lock(mutex);
                seconds = ShareOfTime(begun++);
            }
            Expected<MemberOutcome> outcome =
                RunOne(run, backend, seconds, stop, [&](const TrainingProgress& report) {
                    const std::scoped_lock lock(mutex);
                    Progress& slot = latest[static_cast<size_t>(index)];
                    const bool epoch_ended = report.epoch_ended || (slot.is_new && slot.report.epoch_ended);
                    slot = {report, true};
                    slot.report.epoch_ended = epoch_ended;
                });
            if (outcome.ok())
                outcomes[static_cast<size_t>(index)] = std::move(*outcome);
            else
                failures[static_cast<size_t>(index)] = outcome.status();
        } catch (const std::bad_alloc&) {
            failures[static_cast<size_t>(index)] = {StatusCode::kOutOfMemory, "out of memory while training"};
        }
        if (!failures[static_cast<size_t>(index)].ok())
            stop.Raise();
    };
    const auto watch = [&] {
        if (cancel_.IsCancelled())
            stop.Raise();
        std::vector<Progress> reports(latest.size());
        double fraction = 0.0;
        {
            const std::scoped_lock lock(mutex);
            reports.swap(latest);
            for (size_t i = 0; i < reports.size(); ++i) {
                latest[i].report = reports[i].report;
                fraction += reports[i].report.fraction;
            }
        }
        for (size_t i = 0; i < reports.size(); ++i) {
            if (reports[i].is_new)
                Report(reports[i].report, phase, runs[i].member, done_ + fraction);
        }
    };
    DLENT_RETURN_IF_ERROR(pool_->Run(static_cast<int>(runs.size()), task, watch));
    if (cancel_.IsCancelled())
        return Status::Cancelled();
    // a failure cancels the others, whose own status says nothing then
    for (const Status& failure : failures) {
        if (!failure.ok() && failure.code() != StatusCode::kCancelled)
            return failure;
    }
    for (const Status& failure : failures)
        DLENT_RETURN_IF_ERROR(failure);
    for (const std::optional<MemberOutcome>& outcome : outcomes)
        done_ += outcome.has_value() ? 1 : 0;
    return outcomes;
}

void MemberRunner::Report(TrainingProgress report, const char* phase, int member, double runs) const {
    if (!progress_)
        return;
    report.phase = phase;
    report.member = member;
    report.members = context_.members;
    report.fraction = runs / expected_;
    report.seconds_elapsed = SecondsElapsed();
    report.seconds_left =
        report.fraction > 0.0 ? report.seconds_elapsed * (1.0 - report.fraction) / report.fraction : 0.0;
    progress_(report);
}

}  // namespace dlent
