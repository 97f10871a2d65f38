#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/nn/backend.h"
#include "core/nn/network.h"
#include "core/train/early_stopping.h"
#include "core/train/optimizer.h"
#include "core/train/progress.h"
#include "core/train/schedule.h"

namespace dlent {

/// Where the rows of a mini-batch are written to, host memory of the trainer.
struct HostBatch {
    float* numeric = nullptr;  ///< [rows × spec.numeric]
    float* plain = nullptr;    ///< [rows × spec.plain]
    int32_t* codes = nullptr;  ///< [rows × fields]
    void* targets = nullptr;   ///< [rows] int32 labels for classes with more than one output, float otherwise
    float* weights = nullptr;  ///< [rows]; null when has_weights() is false
};

/// All rows of a TrainingData where they lie, each part as HostBatch has it; null where a batch's would be.
struct HostRows {
    const float* numeric = nullptr;
    const float* plain = nullptr;
    const int32_t* codes = nullptr;
    const void* targets = nullptr;
    const float* weights = nullptr;
};

/// Rows that a network learns from or is run on, on the host.
class TrainingData {
 public:
    virtual ~TrainingData() = default;
    virtual size_t rows() const = 0;
    virtual bool has_weights() const { return false; }
    /// Nothing where rows are made when they are gathered. A device that holds data copies them from here.
    virtual std::optional<HostRows> AllRows() const { return std::nullopt; }
    /// Writes the given rows. Null members of `batch` are not wanted. Must not allocate.
    virtual void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const = 0;
};

/// All numbers of one training run.
struct TrainerOptions {
    LossSpec loss;                     ///< its class_weights pointer is ignored
    std::vector<float> class_weights;  ///< empty, or one per class
    OptimizerOptions optimizer;
    double learning_rate = 1e-3;
    double clip_norm = 1.0;  ///< of the whole gradient; 0: not clipped
    int batch_size = 256;    ///< at most; an epoch's batches differ by one row at most
    int max_epochs = 100;
    int64_t min_steps = 0;  ///< the budget is max(max_epochs · steps per epoch, min_steps), in whole epochs
    ScheduleKind schedule = ScheduleKind::kCycles;
    double warmup = 0.0;  ///< share of the budget
    StoppingOptions stopping;
    bool restore_best = true;
    double ema_decay = 0.0;  ///< of a weight average that is evaluated and kept instead; 0: none
    double stop_fraction =
        1.0;                   ///< ends at this share of the budget, on the whole budget's schedule (refits)
    double max_seconds = 0.0;  ///< 0: no limit. Reached: stops, keeping the best
    uint64_t seed = 42;        ///< of the order of rows and of dropout; Network::Initialize has its own
};

enum class StopReason : uint8_t { kBudget, kEarlyStopping, kTimeLimit };

const char* StopReasonName(StopReason reason);

struct TrainerResult {
    int epochs = 0;  ///< that ran, the last perhaps cut short by the time limit
    int64_t steps = 0;
    int best_epoch = 0;  ///< whose weights the network holds; the last without validation rows
    /// Share of the budget at the end of best_epoch: the stop_fraction of a refit.
    double best_fraction = 0.0;
    double best_validation_loss = 0.0;  ///< NaN without validation rows
    /// Of the best weights on the validation rows: [rows × members × outputs].
    std::vector<float> validation_logits;
    std::vector<EpochRecord> log;
    StopReason stop_reason = StopReason::kBudget;
    double rows_per_second = 0.0;  ///< of training steps, evaluation not counted
    double seconds = 0.0;
};

/// Called on the trainer's thread; `member`, `members` and `phase` are the caller's to fill in.
using ProgressCallback = std::function<void(const TrainingProgress&)>;

/// Trains `network`, from the weights it holds, on `train_rows` of `data`, and leaves it with the best ones
/// by the loss on `validation_rows` (may be empty: then the last). That loss is the log-loss after the best
/// temperature for classes, averaged probabilities over members, and the plain loss of the averaged
/// prediction otherwise. Same network, data, options, seed: same bytes. Allocates nothing once under way.
/// kCancelled within 20 ms of work; kNonFinite names epoch and step; kInsufficientData without rows.
///
/// On a backend of several ranks, each calls it with the same network, rows and options, trains by its share
/// of every batch, and gets the same weights, logits and losses, to the bit; `batch_size` is of all of them
/// together, and the network's max_batch need only hold the largest share. What they sum up, they sum up in
/// another order than one would, and each drops units of its own rows, so the weights are not those that one
/// device trains. A rank that fails or is cancelled ends the others with kCancelled, as soon as its backend
/// is gone.
Expected<TrainerResult> TrainNetwork(Network& network, Backend& backend, const TrainingData& data,
                                     std::span<const uint32_t> train_rows,
                                     std::span<const uint32_t> validation_rows, const TrainerOptions& options,
                                     const CancelToken& cancel, const ProgressCallback& progress);

/// Runs the network on rows of `data`: logits [rows × members × outputs], in order of `rows`.
Status PredictLogits(Network& network, Backend& backend, const TrainingData& data,
                     std::span<const uint32_t> rows, std::span<float> logits, const CancelToken& cancel);

}  // namespace dlent
