#include "core/train/member_runs.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "core/base/random.h"
#include "core/formats/sha256.h"
#include "core/train/device_runs.h"
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

int MemberRunner::Width() const {
    if (context_.device != nullptr)
        return context_.device->width();
    return pool_ != nullptr ? pool_->width() : 1;
}

double MemberRunner::ShareOfTime(int begun) const {
    if (!context_.max_seconds)
        return 0.0;
    const int width = Width();
    const int rounds = (std::max(expected_ - begun, 1) + width - 1) / width;
    return std::max(kLeastSeconds, (*context_.max_seconds - SecondsElapsed()) / rounds);
}

Expected<MemberRunner::PreparedRun> MemberRunner::Prepare(const MemberRun& run, Backend& backend,
                                                          double max_seconds) const {
    const uint64_t seed = Mix64(context_.seed * 1000003 + static_cast<uint64_t>(run.member));
    const bool trains_here = context_.device == nullptr;
    PreparedRun prepared;
    prepared.options = context_.trainer;
    prepared.options.seed = seed;
    prepared.options.stop_fraction = run.stop_fraction;
    prepared.options.max_seconds = max_seconds;
    if (run.split->validation.empty())
        prepared.options.stopping.rule = StoppingRule::kNone;
    DLENT_ASSIGN_OR_RETURN(
        prepared.network,
        Network::Create(*run.network, backend, trains_here ? std::max(context_.trainer.batch_size, 1) : 1,
                        trains_here));
    if (run.initial != nullptr) {
        DLENT_RETURN_IF_ERROR(prepared.network->Load(*run.initial));
    } else {
        DLENT_RETURN_IF_ERROR(prepared.network->Initialize(seed));
        DLENT_RETURN_IF_ERROR(SetPipelineEdges(*context_.pipeline, prepared.network.get()));
    }
    prepared.begun_at = SecondsElapsed();
    return prepared;
}

Expected<MemberOutcome> MemberRunner::Outcome(const MemberRun& run, const PreparedRun& prepared,
                                              TrainerResult trained) const {
    MemberOutcome outcome;
    outcome.trained = std::move(trained);
    for (EpochRecord& record : outcome.trained.log) {
        record.member = run.member;
        record.seconds += prepared.begun_at;
    }
    DLENT_ASSIGN_OR_RETURN(outcome.tensors, prepared.network->Save());
    return outcome;
}

Expected<MemberOutcome> MemberRunner::RunOne(const MemberRun& run, Backend& backend, double max_seconds,
                                             const CancelToken& cancel,
                                             const ProgressCallback& progress) const {
    DLENT_ASSIGN_OR_RETURN(const PreparedRun prepared, Prepare(run, backend, max_seconds));
    DLENT_ASSIGN_OR_RETURN(TrainerResult trained,
                           TrainNetwork(*prepared.network, backend, *context_.data, run.split->train,
                                        run.split->validation, prepared.options, cancel, progress));
    return Outcome(run, prepared, std::move(trained));
}

std::string MemberRunner::CheckpointKey(const MemberRun& run) const {
    std::string bytes;
    const auto append = [&bytes](const auto& values) {
        const size_t count = values.size();
        bytes.append(reinterpret_cast<const char*>(&count), sizeof(count));
        bytes.append(reinterpret_cast<const char*>(values.data()), count * sizeof(values[0]));
    };
    append(context_.checkpoints.facts);
    append(run.network->ToJson().dump());
    append(context_.trainer.class_weights);
    append(std::vector<double>{run.stop_fraction});
    append(std::vector<uint64_t>{context_.seed, static_cast<uint64_t>(run.member)});
    if (run.initial != nullptr) {
        for (const NamedTensorData& tensor : *run.initial)
            append(tensor.values);
    }
    std::vector<uint64_t> hashes;
    for (const std::vector<uint32_t>* rows : {&run.split->train, &run.split->validation}) {
        hashes.clear();
        for (const uint32_t row : *rows)
            hashes.push_back(context_.checkpoints.row_hashes[row]);
        append(hashes);
    }
    return Sha256Hex(bytes);
}

Expected<std::optional<MemberOutcome>> MemberRunner::FindCheckpoint(const MemberRun& run,
                                                                    const std::string& key) const {
    std::optional<MemberOutcome> outcome;
    DLENT_ASSIGN_OR_RETURN(const std::optional<Checkpoint> checkpoint, context_.checkpoints.store->Find(key));
    if (!checkpoint)
        return outcome;
    DLENT_ASSIGN_OR_RETURN(const std::unique_ptr<Network> network,
                           Network::Create(*run.network, backend_, 1, false));
    const size_t logits = run.split->validation.size() * context_.checkpoints.logits_per_row;
    Expected<TrainerResult> trained = DecodeCheckpoint(*checkpoint, logits, network.get());
    if (!trained.ok())
        return outcome;
    outcome.emplace();
    outcome->trained = std::move(*trained);
    for (EpochRecord& record : outcome->trained.log)
        record.member = run.member;
    DLENT_ASSIGN_OR_RETURN(outcome->tensors, network->Save());
    return outcome;
}

Status MemberRunner::KeepCheckpoint(const std::string& key, const MemberOutcome& outcome) const {
    // what the clock has ended would not end there again
    if (context_.checkpoints.store == nullptr || outcome.trained.stop_reason == StopReason::kTimeLimit)
        return Status::Ok();
    return context_.checkpoints.store->Keep(key, EncodeCheckpoint(outcome.trained, outcome.tensors));
}

Expected<std::vector<std::optional<MemberOutcome>>> MemberRunner::Run(std::span<const MemberRun> runs,
                                                                      const char* phase) {
    Outcomes outcomes(runs.size());
    std::vector<std::string> keys(runs.size());
    size_t left = runs.size();
    for (size_t i = 0; i < runs.size() && context_.checkpoints.store != nullptr; ++i) {
        keys[i] = CheckpointKey(runs[i]);
        DLENT_ASSIGN_OR_RETURN(outcomes[i], FindCheckpoint(runs[i], keys[i]));
        left -= outcomes[i].has_value() ? 1 : 0;
    }
    done_ += static_cast<int>(runs.size() - left);
    if (context_.device != nullptr)
        DLENT_RETURN_IF_ERROR(DeviceRuns(*this, runs, keys, phase, &outcomes).Run());
    else if (pool_ != nullptr && pool_->width() > 1 && left > 1)
        DLENT_RETURN_IF_ERROR(RunOnPool(runs, keys, phase, &outcomes));
    else
        DLENT_RETURN_IF_ERROR(RunHere(runs, keys, phase, &outcomes));
    return outcomes;
}

Status MemberRunner::RunHere(std::span<const MemberRun> runs, const std::vector<std::string>& keys,
                             const char* phase, Outcomes* outcomes) {
    for (size_t i = 0; i < runs.size(); ++i) {
        std::optional<MemberOutcome>& outcome = (*outcomes)[i];
        if (outcome || (runs[i].may_be_skipped && OutOfTime()))
            continue;
        const ProgressCallback forward = [&](const TrainingProgress& report) {
            Report(report, phase, runs[i].member, done_ + report.fraction);
        };
        DLENT_ASSIGN_OR_RETURN(outcome, RunOne(runs[i], backend_, ShareOfTime(done_), cancel_, forward));
        ++done_;
        DLENT_RETURN_IF_ERROR(KeepCheckpoint(keys[i], *outcome));
    }
    return Status::Ok();
}

Status MemberRunner::RunOnPool(std::span<const MemberRun> runs, const std::vector<std::string>& keys,
                               const char* phase, Outcomes* outcomes) {
    struct Progress {
        TrainingProgress report;
        bool is_new = false;
    };
    std::vector<size_t> left;
    for (size_t i = 0; i < runs.size(); ++i) {
        if (!(*outcomes)[i])
            left.push_back(i);
    }
    std::vector<Status> failures(left.size());
    Status keeping;
    std::mutex mutex;  // of what follows
    std::vector<Progress> latest(left.size());
    std::vector<size_t> finished;  // not kept yet
    int begun = done_;
    StopFlag stop;

    const auto task = [&](int index, Backend& backend) {
        const MemberRun& run = runs[left[static_cast<size_t>(index)]];
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
            if (outcome.ok()) {
                const std::scoped_lock lock(mutex);
                (*outcomes)[left[static_cast<size_t>(index)]] = std::move(*outcome);
                finished.push_back(left[static_cast<size_t>(index)]);
            } else {
                failures[static_cast<size_t>(index)] = outcome.status();
            }
        } catch (const std::bad_alloc&) {
            failures[static_cast<size_t>(index)] = {StatusCode::kOutOfMemory, "out of memory while training"};
        }
        if (!failures[static_cast<size_t>(index)].ok())
            stop.Raise();
    };
    // outcomes are written once and read here alone until all tasks are done
    const auto keep = [&] {
        std::vector<size_t> kept;
        {
            const std::scoped_lock lock(mutex);
            kept.swap(finished);
        }
        for (const size_t i : kept) {
            if (keeping.ok())
                keeping = KeepCheckpoint(keys[i], *(*outcomes)[i]);
        }
    };
    const auto watch = [&] {
        keep();
        if (cancel_.IsCancelled() || !keeping.ok())
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
                Report(reports[i].report, phase, runs[left[i]].member, done_ + fraction);
        }
    };
    DLENT_RETURN_IF_ERROR(pool_->Run(static_cast<int>(left.size()), task, watch));
    keep();
    DLENT_RETURN_IF_ERROR(keeping);
    if (cancel_.IsCancelled())
        return Status::Cancelled();
    // a failure cancels the others, whose own status says nothing then
    for (const Status& failure : failures) {
        if (!failure.ok() && failure.code() != StatusCode::kCancelled)
            return failure;
    }
    for (const Status& failure : failures)
        DLENT_RETURN_IF_ERROR(failure);
    for (const size_t i : left)
        done_ += (*outcomes)[i].has_value() ? 1 : 0;
    return Status::Ok();
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
