#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/features/pipeline.h"
#include "core/features/split.h"
#include "core/nn/named_tensor.h"
#include "core/nn/network_spec.h"
#include "core/train/checkpoint.h"
#include "core/train/network_trainer.h"
#include "core/train/trainer.h"
#include "core/train/training_pool.h"

namespace dlent {

/// One training of one network of a model.
struct MemberRun {
    const NetworkSpec* network = nullptr;
    int member = 0;
    const Split* split = nullptr;
    double stop_fraction = 1.0;  ///< of the budget, as TrainerOptions has it
    /// Tensors that training begins with; null: drawn by the seed.
    const std::vector<NamedTensorData>* initial = nullptr;
    bool may_be_skipped = false;  ///< when the time limit is reached before it begins
};

struct MemberOutcome {
    std::vector<NamedTensorData> tensors;
    TrainerResult trained;
};

/// Where finished runs are kept, and what names them beside network, rows and numbers of the run itself.
struct RunCheckpoints {
    CheckpointStore* store = nullptr;      ///< null: nowhere
    std::string facts;                     ///< pipeline, target and recipe, as text
    std::span<const uint64_t> row_hashes;  ///< of the rows of the data
    size_t logits_per_row = 0;             ///< that a network gives
};

/// What all trainings of a model have in common.
struct MemberRunContext {
    const TrainingData* data = nullptr;
    const Pipeline* pipeline = nullptr;
    TrainerOptions trainer;  ///< but for what differs between runs
    uint64_t seed = 0;
    int members = 1;                    ///< to be shown
    std::optional<double> max_seconds;  ///< of the whole model, since `start`
    std::chrono::steady_clock::time_point start;
    NetworkTrainer* device = nullptr;  ///< carries the trainings out, where it is not null; it has begun
    RunCheckpoints checkpoints;
};

/// Carries out the trainings of a model: one after another on this thread and `backend`, or, with a pool,
/// beside each other on its threads, or at the places of a device's trainer. The first two give the same
/// bytes, and so does a device however many places it has, unless a time limit cuts trainings short.
/// Cancelling is noticed, progress reported, and the store of checkpoints called, on this thread alone.
class MemberRunner {
 public:
    /// `pool` may be null, `progress` empty; everything passed must outlive the runner.
    MemberRunner(MemberRunContext context, Backend& backend, TrainingPool* pool, const CancelToken& cancel,
                 const ProgressCallback& progress)
        : context_(std::move(context)),
          backend_(backend),
          pool_(pool),
          cancel_(cancel),
          progress_(progress) {}

    /// How many runs the model will have in all, as far as is known: time left is shared by what is left.
    void ExpectRuns(int count) { expected_ = count; }
    int runs_done() const { return done_; }
    int runs_expected() const { return expected_; }

    /// The outcome of each; absent where it was skipped.
    Expected<std::vector<std::optional<MemberOutcome>>> Run(std::span<const MemberRun> runs,
                                                            const char* phase);

    bool OutOfTime() const;

 private:
    class DeviceRuns;
    using Outcomes = std::vector<std::optional<MemberOutcome>>;
    /// A run that can begin.
    struct PreparedRun {
        std::unique_ptr<Network> network;  ///< with the weights that it begins with
        TrainerOptions options;
        double begun_at = 0.0;  ///< seconds since the model's start
    };

    /// These carry out the runs that have no outcome yet; `keys` name their checkpoints.
    Status RunHere(std::span<const MemberRun> runs, const std::vector<std::string>& keys, const char* phase,
                   Outcomes* outcomes);
    Status RunOnPool(std::span<const MemberRun> runs, const std::vector<std::string>& keys, const char* phase,
                     Outcomes* outcomes);
    std::string CheckpointKey(const MemberRun& run) const;
    /// What is damaged counts as not there: the network is trained anew.
    Expected<std::optional<MemberOutcome>> FindCheckpoint(const MemberRun& run, const std::string& key) const;
    Status KeepCheckpoint(const std::string& key, const MemberOutcome& outcome) const;
    Expected<PreparedRun> Prepare(const MemberRun& run, Backend& backend, double max_seconds) const;
    /// Of a run whose network has been trained.
    Expected<MemberOutcome> Outcome(const MemberRun& run, const PreparedRun& prepared,
                                    TrainerResult trained) const;
    Expected<MemberOutcome> RunOne(const MemberRun& run, Backend& backend, double max_seconds,
                                   const CancelToken& cancel, const ProgressCallback& progress) const;
    /// How many runs are carried out beside each other.
    int Width() const;
    /// Seconds that a run may take when `begun` began before it; 0: no limit.
    double ShareOfTime(int begun) const;
    double SecondsElapsed() const;
    /// Of one run; `runs` are those done in all, with fractions.
    void Report(TrainingProgress report, const char* phase, int member, double runs) const;

    const MemberRunContext context_;
    Backend& backend_;
    TrainingPool* const pool_;
    const CancelToken& cancel_;
    const ProgressCallback& progress_;
    int expected_ = 1;
    int done_ = 0;
};

}  // namespace dlent
