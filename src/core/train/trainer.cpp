#include "core/train/trainer.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "core/base/float_environment.h"
#include "core/base/permutation.h"
#include "core/train/batch_feeder.h"
#include "core/train/calibration.h"
#include "core/train/share.h"
#include "core/train/step_cost.h"
#include "core/train/validation_loss.h"

namespace dlent {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kProgressSeconds = 0.5;              ///< within an epoch
constexpr size_t kExchangedLogits = size_t{1} << 18;  ///< between ranks, at a time
constexpr uint64_t kShuffleStream = 0x5348554c;       ///< of the seed; the epoch is added
constexpr uint64_t kRankSeeds = 0x9E3779B97F4A7C15;   ///< how far the seeds of two ranks' dropout are apart

double Seconds(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
}

/// Sets the network's cancel token for a scope.
class CancelScope {
 public:
    CancelScope(Network& network, const CancelToken& cancel) : network_(network) {
        network.SetCancelToken(&cancel);
    }
    ~CancelScope() { network_.SetCancelToken(nullptr); }
    CancelScope(const CancelScope&) = delete;
    CancelScope& operator=(const CancelScope&) = delete;

 private:
    Network& network_;
};

/// Forward over `rows` in batches; logits to host memory. `resident`: the same row numbers on the device,
/// where the feeder has all rows there.
Status RunBatches(Network& network, Backend& backend, BatchFeeder& feeder, std::span<const uint32_t> rows,
                  const uint32_t* resident, float* logits, const CancelToken& cancel) {
    const size_t per_row = static_cast<size_t>(network.members()) * static_cast<size_t>(network.outputs());
    const size_t batch = static_cast<size_t>(network.max_batch());
    for (size_t begin = 0; begin < rows.size(); begin += batch) {
        if (cancel.IsCancelled()) {
            return Status::Cancelled();
        }
        const size_t count = std::min(batch, rows.size() - begin);
        DLENT_RETURN_IF_ERROR(network.Forward(
            resident != nullptr ? feeder.FeedResident(resident, begin, static_cast<int>(count))
                                : feeder.Feed(rows.subspan(begin, count)),
            false));
        backend.Download(logits + begin * per_row, network.logits(), count * per_row * sizeof(float));
        DLENT_RETURN_IF_ERROR(backend.Synchronize());
    }
    return Status::Ok();
}

/// One run of TrainNetwork: what it allocates before the first step, and its steps.
class TrainingRun {
 public:
    TrainingRun(Network& network, Backend& backend, const TrainingData& data,
                std::span<const uint32_t> train_rows, std::span<const uint32_t> validation_rows,
                const TrainerOptions& options, const CancelToken& cancel, const ProgressCallback& progress)
        : network_(network),
          backend_(backend),
          data_(data),
          train_rows_(train_rows),
          validation_rows_(validation_rows),
          options_(options),
          cancel_(cancel),
          progress_(progress),
          feeder_(backend, data) {}

    Expected<TrainerResult> Run() {
        start_ = Clock::now();
        DLENT_RETURN_IF_ERROR(CheckOptions());
        DLENT_RETURN_IF_ERROR(Prepare());
        while (step_ < last_step_) {
            DLENT_RETURN_IF_ERROR(Epoch());
            if (timed_out_) {
                result_.stop_reason = StopReason::kTimeLimit;
                break;
            }
            if (has_validation() && stopping_->ShouldStop()) {
                result_.stop_reason = StopReason::kEarlyStopping;
                break;
            }
        }
        return Finish();
    }

 private:
    bool has_validation() const { return !validation_rows_.empty(); }
    bool averages() const { return options_.ema_decay > 0.0; }
    bool has_peers() const { return backend_.ranks() > 1; }
    Share OwnShare(size_t count) const { return ShareOf(count, backend_.rank(), backend_.ranks()); }
    size_t logits_per_row() const {
        return static_cast<size_t>(network_.members()) * static_cast<size_t>(network_.outputs());
    }
    bool integer_labels() const {
        return IsClassification(options_.loss.kind) && network_.outputs() > 1 &&
               options_.loss.kind != LossKind::kBinaryCrossEntropy;
    }

    Status CheckOptions() const {
        const TrainerOptions& o = options_;
        const auto finite_at_least = [](double value, double low) {
            return std::isfinite(value) && value >= low;
        };
        if (!network_.for_training() || network_.parameter_data_count() == 0) {
            return Status::Invalid("the network has nothing to train");
        }
        const size_t most = static_cast<size_t>(network_.max_batch());
        if (o.batch_size < 1 || LargestShare(static_cast<size_t>(o.batch_size), backend_.ranks()) > most) {
            return Status::Invalid("batch_size must be between 1 and the network's " +
                                   std::to_string(most * static_cast<size_t>(backend_.ranks())));
        }
        if (o.max_epochs < 1 || o.min_steps < 0) {
            return Status::Invalid("max_epochs must be at least 1");
        }
        if (!finite_at_least(o.learning_rate, 0.0) || o.learning_rate == 0.0) {
            return Status::Invalid("learning_rate must be greater than 0");
        }
        if (!finite_at_least(o.clip_norm, 0.0) || !finite_at_least(o.max_seconds, 0.0) ||
            !finite_at_least(o.optimizer.weight_decay, 0.0)) {
            return Status::Invalid("clip_norm, max_seconds and weight_decay must not be negative");
        }
        if (!(o.stop_fraction > 0.0 && o.stop_fraction <= 1.0) || !(o.warmup >= 0.0 && o.warmup < 1.0) ||
            !(o.ema_decay >= 0.0 && o.ema_decay < 1.0)) {
            return Status::Invalid("stop_fraction must be in (0, 1], warmup and ema_decay in [0, 1)");
        }
        const size_t classes = static_cast<size_t>(std::max(network_.outputs(), 2));
        if (!o.class_weights.empty() && o.class_weights.size() != classes) {
            return Status::Invalid("there must be one class weight for each of " + std::to_string(classes) +
                                   " classes");
        }
        if (train_rows_.empty()) {
            return {StatusCode::kInsufficientData, "there are no rows to train on"};
        }
        const size_t steps = StepsPerEpoch();
        if (network_.HasLayer("batch_norm") && has_peers()) {
            return Status::Invalid("a network with batch normalization cannot be trained by several devices",
                                   "Each would normalize by its own share of a batch.");
        }
        if (network_.HasLayer("batch_norm") && train_rows_.size() / steps < 2) {
            return {StatusCode::kInsufficientData, "batch normalization needs at least two rows in a batch"};
        }
        return Status::Ok();
    }

    size_t StepsPerEpoch() const {
        const size_t batch = static_cast<size_t>(options_.batch_size);
        return (train_rows_.size() + batch - 1) / batch;
    }

    Status Prepare() {
        steps_per_epoch_ = static_cast<int64_t>(StepsPerEpoch());
        const int64_t wanted = std::max(options_.max_epochs * steps_per_epoch_, options_.min_steps);
        total_epochs_ = (wanted + steps_per_epoch_ - 1) / steps_per_epoch_;
        budget_ = total_epochs_ * steps_per_epoch_;
        last_step_ = std::clamp<int64_t>(std::llround(options_.stop_fraction * static_cast<double>(budget_)),
                                         1, budget_);
        schedule_ = std::make_unique<Schedule>(options_.schedule, budget_, options_.warmup);
        stopping_ = std::make_unique<EarlyStopping>(options_.stopping, *schedule_);
        DLENT_ASSIGN_OR_RETURN(optimizer_, Optimizer::Create(options_.optimizer, network_, backend_));
        DLENT_RETURN_IF_ERROR(feeder_.Prepare(network_.spec(), network_.max_batch(), true));
        DLENT_RETURN_IF_ERROR(accumulator_.Allocate(backend_, 2));
        DLENT_RETURN_IF_ERROR(clip_scale_.Allocate(backend_, 1));
        if (has_peers()) {
            DLENT_RETURN_IF_ERROR(agreed_.Allocate(backend_, 1));
            DLENT_RETURN_IF_ERROR(exchanged_.Allocate(
                backend_, std::min(kExchangedLogits, validation_rows_.size() * logits_per_row())));
        }
        loss_ = options_.loss;
        loss_.class_weights = nullptr;
        if (!options_.class_weights.empty()) {
            DLENT_RETURN_IF_ERROR(class_weights_.Allocate(backend_, options_.class_weights.size()));
            backend_.Upload(class_weights_.data(), options_.class_weights.data(), class_weights_.bytes());
            loss_.class_weights = class_weights_.data();
        }
        const size_t parameters = network_.parameter_data_count();
        if (averages()) {
            DLENT_RETURN_IF_ERROR(average_.Allocate(backend_, parameters));
            DLENT_RETURN_IF_ERROR(aside_.Allocate(backend_, parameters));
            backend_.Copy(average_.data(), network_.parameter_data(), average_.bytes());
        }
        if (has_validation()) {
            DLENT_RETURN_IF_ERROR(best_parameters_.Allocate(backend_, parameters));
            DLENT_RETURN_IF_ERROR(best_state_.Allocate(backend_, network_.state_data_count()));
            DLENT_RETURN_IF_ERROR(PrepareValidation());
        }
        DLENT_RETURN_IF_ERROR(PrepareSteps());
        result_.log.reserve(static_cast<size_t>(std::min<int64_t>(total_epochs_, 1 << 20)));
        return backend_.Synchronize();
    }

    /// On a device that holds the data, steps need nothing from the host; others are fed.
    Status PrepareSteps() {
        DLENT_ASSIGN_OR_RETURN(resident_, feeder_.MakeResident(cancel_));
        if (resident_) {
            DLENT_RETURN_IF_ERROR(device_train_rows_.Allocate(backend_, train_rows_.size()));
            backend_.Upload(device_train_rows_.data(), train_rows_.data(), device_train_rows_.bytes());
            DLENT_RETURN_IF_ERROR(device_order_.Allocate(backend_, train_rows_.size()));
            if (has_validation()) {
                DLENT_RETURN_IF_ERROR(device_validation_rows_.Allocate(backend_, validation_rows_.size()));
                backend_.Upload(device_validation_rows_.data(), validation_rows_.data(),
                                device_validation_rows_.bytes());
            }
        } else {
            batch_rows_.resize(static_cast<size_t>(options_.batch_size));
        }
        const double rows_a_step =
            std::ceil(static_cast<double>(train_rows_.size()) / static_cast<double>(steps_per_epoch_));
        steps_ahead_ =
            StepsToEnqueue(TrainingFlopsPerRow(network_.trainable_count(), network_.members()) * rows_a_step,
                           backend_.StepsAhead());
        steps_.reserve(static_cast<size_t>(steps_ahead_));
        program_ = backend_.MakeStepProgram([this](const StepScalars& step) {
            const int rows = OwnRows(step);
            return Enqueue(step, resident_ ? feeder_.FeedResident(device_order_.data(), step.first_row, rows)
                                           : feeder_.Fed(rows));
        });
        return Status::Ok();
    }

    Status PrepareValidation() {
        const size_t rows = validation_rows_.size();
        validation_logits_.resize(rows * logits_per_row());
        result_.validation_logits.resize(rows * logits_per_row());
        validation_targets_.resize(rows);
        validation_weights_.resize(data_.has_weights() ? rows : 0);
        constexpr size_t kChunk = 65536;
        for (size_t begin = 0; begin < rows; begin += kChunk) {
            if (cancel_.IsCancelled()) {
                return Status::Cancelled();
            }
            HostBatch batch;
            batch.targets = validation_targets_.data() + begin;
            batch.weights = data_.has_weights() ? validation_weights_.data() + begin : nullptr;
            data_.Gather(validation_rows_.subspan(begin, std::min(kChunk, rows - begin)), batch);
        }
        labelled_.rows = rows;
        labelled_.members = network_.members();
        labelled_.outputs = network_.outputs();
        labelled_.logits = validation_logits_.data();
        if (integer_labels()) {
            labelled_.labels = reinterpret_cast<const int32_t*>(validation_targets_.data());
        } else {
            labelled_.targets = reinterpret_cast<const float*>(validation_targets_.data());
        }
        labelled_.row_weights = data_.has_weights() ? validation_weights_.data() : nullptr;
        labelled_.class_weights = options_.class_weights.empty() ? nullptr : options_.class_weights.data();
        return Status::Ok();
    }

    Status Epoch() {
        const Clock::time_point begin = Clock::now();
        ++result_.epochs;
        epoch_start_ = begin;
        epoch_first_step_ = step_;
        epoch_rows_ = 0;
        Shuffle();
        backend_.Zero(accumulator_.data(), accumulator_.bytes());
        const int64_t end = std::min(epoch_first_step_ + steps_per_epoch_, last_step_);
        while (step_ < end && !timed_out_) {
            DLENT_RETURN_IF_ERROR(Steps(end));
        }
        backend_.AllReduceSum(accumulator_.count(), accumulator_.data());
        DLENT_RETURN_IF_ERROR(ReadTrainLoss());
        if (!std::isfinite(train_loss_)) {
            return Diverged("the loss", step_);
        }
        training_seconds_ += Seconds(begin, Clock::now());
        trained_rows_ += epoch_rows_;
        DLENT_RETURN_IF_ERROR(Evaluate());
        result_.log.push_back({0, result_.epochs, train_loss_, validation_loss_, learning_rate_,
                               Seconds(start_, Clock::now())});
        Report(true);
        return Status::Ok();
    }

    /// A new order each epoch, as a function of seed and epoch.
    void Shuffle() {
        order_ = RandomPermutation(static_cast<uint32_t>(train_rows_.size()), options_.seed,
                                   kShuffleStream + static_cast<uint64_t>(result_.epochs));
        if (resident_) {
            backend_.PermuteRows(order_, device_train_rows_.data(), device_order_.data());
        }
    }

    /// The numbers of step `step`, which is of the current epoch.
    StepScalars ScalarsOf(int64_t step) const {
        const size_t index = static_cast<size_t>(step - epoch_first_step_);
        const size_t rows = train_rows_.size();
        const size_t steps = static_cast<size_t>(steps_per_epoch_);
        StepScalars scalars;
        const size_t first_row = index * rows / steps;
        const size_t batch_rows = (index + 1) * rows / steps - first_row;
        scalars.rows = static_cast<int>(batch_rows);
        scalars.first_row = first_row + OwnShare(batch_rows).begin;
        scalars.step = static_cast<uint64_t>(step);
        scalars.learning_rate = static_cast<float>(options_.learning_rate * schedule_->Factor(step));
        scalars.optimizer_step = step + 1;
        // Young averages follow the weights closely, or they would remember the initial ones.
        const double n = static_cast<double>(step + 1);
        scalars.average_weight =
            static_cast<float>(1.0 - std::min(options_.ema_decay, (1.0 + n) / (10.0 + n)));
        return scalars;
    }

    /// How many rows of a step's batch are this rank's.
    int OwnRows(const StepScalars& step) const {
        return static_cast<int>(OwnShare(static_cast<size_t>(step.rows)).count);
    }

    /// Ranks drop other units of other rows.
    uint64_t DropoutSeed() const {
        return options_.seed + kRankSeeds * static_cast<uint64_t>(backend_.rank());
    }

    /// The operators of a step. All that differs between ranks is in the gradients before they are added up:
    /// from there on they compute the same numbers.
    Status Enqueue(const StepScalars& step, const BatchInputs& batch) {
        if (batch.rows > 0) {
            DLENT_RETURN_IF_ERROR(ComputeGradients(step, batch));
        } else {
            backend_.Zero(network_.gradient_data(), (network_.parameter_data_count() + 1) * sizeof(float));
        }
        backend_.AllReduceSum(network_.parameter_data_count() + 1, network_.gradient_data());
        backend_.GradientClipScale(network_.parameter_data_count(), network_.gradient_data(),
                                   has_peers() ? network_.gradient_weight() : nullptr,
                                   static_cast<float>(options_.clip_norm), clip_scale_.data());
        optimizer_->Step(step.learning_rate, step.optimizer_step, clip_scale_.data());
        if (averages()) {
            backend_.Lerp(average_.count(), step.average_weight, network_.parameter_data(), average_.data());
        }
        return Status::Ok();
    }

    /// Of the mean over the batch, or, with peers, of the sum over this rank's share of it.
    Status ComputeGradients(const StepScalars& step, const BatchInputs& batch) {
        DLENT_RETURN_IF_ERROR(network_.Forward(batch, true, DropoutSeed(), step.step));
        backend_.Loss(loss_, batch.rows * network_.members(), network_.outputs(), network_.members(),
                      network_.logits(), feeder_.targets(), feeder_.weights(), accumulator_.data(),
                      network_.logits_gradient(), has_peers() ? network_.gradient_weight() : nullptr);
        for (int output = 1; output < network_.output_count(); ++output) {
            const ValueShape& shape = network_.output_shape(output);
            backend_.Zero(network_.output_gradient(output),
                          sizeof(float) * batch.rows * shape.members * static_cast<size_t>(shape.width()));
        }
        return network_.Backward();
    }

    /// As many steps as may go ahead, none behind `end`.
    Status Steps(int64_t end) {
        const int64_t count = std::min(end - step_, steps_ahead_);
        steps_.clear();
        for (int64_t i = 0; i < count; ++i) {
            steps_.push_back(ScalarsOf(step_ + i));
        }
        DLENT_RETURN_IF_ERROR(resident_ ? RunResident() : RunFed());
        CountSteps(count);
        DLENT_RETURN_IF_ERROR(CheckGradients());
        return Tick();
    }

    Status RunResident() { return cancel_.IsCancelled() ? Status::Cancelled() : program_->Run(steps_); }

    Status RunFed() {
        for (const StepScalars& step : steps_) {
            if (cancel_.IsCancelled()) {
                return Status::Cancelled();
            }
            const std::span<uint32_t> rows = std::span(batch_rows_).first(static_cast<size_t>(OwnRows(step)));
            order_.Permute(train_rows_.data(), static_cast<uint32_t>(step.first_row), rows);
            feeder_.Feed(rows);
            DLENT_RETURN_IF_ERROR(program_->Run(std::span(&step, 1)));
        }
        return Status::Ok();
    }

    void CountSteps(int64_t count) {
        const size_t rows = train_rows_.size();
        const size_t steps = static_cast<size_t>(steps_per_epoch_);
        const size_t first = static_cast<size_t>(step_ - epoch_first_step_);
        step_ += count;
        learning_rate_ = options_.learning_rate * schedule_->Factor(step_ - 1);
        epoch_rows_ += (first + static_cast<size_t>(count)) * rows / steps - first * rows / steps;
    }

    /// The time limit, and progress within an epoch: of peers, this rank's own loss.
    Status Tick() {
        const Clock::time_point now = Clock::now();
        DLENT_RETURN_IF_ERROR(CheckTime(now));
        if (progress_ && Seconds(last_report_, now) >= kProgressSeconds) {
            DLENT_RETURN_IF_ERROR(ReadTrainLoss());
            Report(false);
        }
        return Status::Ok();
    }

    /// Whether the time limit is reached. Clocks of ranks differ, and the first one's counts: they all stop
    /// after the same step.
    Status CheckTime(Clock::time_point now) {
        if (options_.max_seconds <= 0.0) {
            return Status::Ok();
        }
        double is_over = Seconds(start_, now) >= options_.max_seconds ? 1.0 : 0.0;
        if (has_peers()) {
            is_over = backend_.rank() == 0 ? is_over : 0.0;
            backend_.Upload(agreed_.data(), &is_over, sizeof(is_over));
            backend_.AllReduceSum(1, agreed_.data());
            backend_.Download(&is_over, agreed_.data(), sizeof(is_over));
            DLENT_RETURN_IF_ERROR(backend_.Synchronize());
        }
        timed_out_ = is_over > 0.0;
        return Status::Ok();
    }

    /// Waits for the steps. The last one's clip factor tells of all: once one is not finite, neither are the
    /// weights, nor any later factor.
    Status CheckGradients() {
        float scale = 0.0f;
        backend_.Download(&scale, clip_scale_.data(), sizeof(scale));
        DLENT_RETURN_IF_ERROR(backend_.Synchronize());
        return std::isfinite(scale) ? Status::Ok() : Diverged("the gradient", step_);
    }

    Status Diverged(const std::string& what, int64_t step) const {
        return {StatusCode::kNonFinite,
                "training diverged: " + what + " is not finite in epoch " + std::to_string(result_.epochs) +
                    ", step " + std::to_string(step),
                "The learning rate was " + Json(learning_rate_).dump() + ".",
                "Lower \"learning_rate\", or look for extreme values in the numeric columns and the target."};
    }

    Status ReadTrainLoss() {
        std::array<double, 2> sums{};
        backend_.Download(sums.data(), accumulator_.data(), accumulator_.bytes());
        DLENT_RETURN_IF_ERROR(backend_.Synchronize());
        train_loss_ = sums[1] != 0.0 ? sums[0] / sums[1] : sums[0];
        return Status::Ok();
    }

    /// The logits of the validation rows. Each rank runs a share of them and gets the other ones, so that all
    /// have the same bits, and decide alike.
    Status RunValidation(float* logits) {
        const Share share = OwnShare(validation_rows_.size());
        DLENT_RETURN_IF_ERROR(RunBatches(network_, backend_, feeder_,
                                         validation_rows_.subspan(share.begin, share.count),
                                         resident_ ? device_validation_rows_.data() + share.begin : nullptr,
                                         logits + share.begin * logits_per_row(), cancel_));
        return has_peers() ? ExchangeLogits(share, logits) : Status::Ok();
    }

    /// Fills in the logits of other rows than those of `own`: sums with zeros, which are exact.
    Status ExchangeLogits(const Share& own, float* logits) {
        const size_t count = validation_rows_.size() * logits_per_row();
        std::fill(logits, logits + own.begin * logits_per_row(), 0.0f);
        std::fill(logits + (own.begin + own.count) * logits_per_row(), logits + count, 0.0f);
        for (size_t begin = 0; begin < count; begin += kExchangedLogits) {
            const size_t some = std::min(kExchangedLogits, count - begin);
            backend_.Upload(exchanged_.data(), logits + begin, some * sizeof(float));
            backend_.AllReduceSum(some, exchanged_.data());
            backend_.Download(logits + begin, exchanged_.data(), some * sizeof(float));
        }
        return backend_.Synchronize();
    }

    /// Runs the validation rows, with the averaged weights where there are, and keeps the best.
    Status Evaluate() {
        if (!has_validation()) {
            return Status::Ok();
        }
        if (averages()) {
            backend_.Copy(aside_.data(), network_.parameter_data(), aside_.bytes());
            backend_.Copy(network_.parameter_data(), average_.data(), average_.bytes());
        }
        DLENT_RETURN_IF_ERROR(RunValidation(validation_logits_.data()));
        labelled_.logits = validation_logits_.data();
        DLENT_ASSIGN_OR_RETURN(validation_loss_, ValidationLoss(loss_, labelled_, cancel_));
        if (!std::isfinite(validation_loss_)) {
            return Diverged("the validation loss", step_);
        }
        const double fraction = static_cast<double>(step_) / static_cast<double>(budget_);
        if (stopping_->Observe(result_.epochs, fraction, validation_loss_)) {
            result_.best_fraction = fraction;
            backend_.Copy(best_parameters_.data(), network_.parameter_data(), best_parameters_.bytes());
            if (best_state_.count() > 0) {
                backend_.Copy(best_state_.data(), network_.state_data(), best_state_.bytes());
            }
            std::swap(validation_logits_, result_.validation_logits);
        }
        if (averages()) {
            backend_.Copy(network_.parameter_data(), aside_.data(), aside_.bytes());
        }
        return Status::Ok();
    }

    void Report(bool epoch_ended) {
        const Clock::time_point now = Clock::now();
        last_report_ = now;
        if (!progress_) {
            return;
        }
        TrainingProgress report;
        report.phase = "training";
        report.epoch = result_.epochs;
        report.epochs = static_cast<int>(std::min<int64_t>(total_epochs_, std::numeric_limits<int>::max()));
        report.fraction = static_cast<double>(step_) / static_cast<double>(last_step_);
        report.train_loss = train_loss_;
        report.validation_loss = validation_loss_;
        report.rows_per_second =
            epoch_ended ? RowsPerSecond()
                        : static_cast<double>(epoch_rows_) / std::max(Seconds(epoch_start_, now), 1e-9);
        report.seconds_elapsed = Seconds(start_, now);
        report.seconds_left = report.seconds_elapsed * (1.0 - report.fraction) / report.fraction;
        if (options_.max_seconds > 0.0) {
            report.seconds_left =
                std::min(report.seconds_left, std::max(options_.max_seconds - report.seconds_elapsed, 0.0));
        }
        report.epoch_ended = epoch_ended;
        progress_(report);
    }

    double RowsPerSecond() const {
        return static_cast<double>(trained_rows_) / std::max(training_seconds_, 1e-9);
    }

    Expected<TrainerResult> Finish() {
        result_.best_epoch = result_.epochs;
        result_.best_validation_loss = validation_loss_;
        if (has_validation() && options_.restore_best) {
            result_.best_epoch = stopping_->best_epoch();
            result_.best_validation_loss = stopping_->best_loss();
            backend_.Copy(network_.parameter_data(), best_parameters_.data(), best_parameters_.bytes());
            if (best_state_.count() > 0) {
                backend_.Copy(network_.state_data(), best_state_.data(), best_state_.bytes());
            }
        } else {
            result_.best_fraction = static_cast<double>(step_) / static_cast<double>(budget_);
            if (averages()) {
                backend_.Copy(network_.parameter_data(), average_.data(), average_.bytes());
            }
            if (has_validation()) {
                // The logits of the last weights: recomputed, since a best epoch swaps the buffers.
                DLENT_RETURN_IF_ERROR(RunValidation(result_.validation_logits.data()));
            }
        }
        DLENT_RETURN_IF_ERROR(backend_.Synchronize());
        result_.steps = step_;
        result_.rows_per_second = RowsPerSecond();
        result_.seconds = Seconds(start_, Clock::now());
        return std::move(result_);
    }

    Network& network_;
    Backend& backend_;
    const TrainingData& data_;
    std::span<const uint32_t> train_rows_;
    std::span<const uint32_t> validation_rows_;
    const TrainerOptions& options_;
    const CancelToken& cancel_;
    const ProgressCallback& progress_;

    BatchFeeder feeder_;
    std::unique_ptr<Schedule> schedule_;
    std::unique_ptr<EarlyStopping> stopping_;
    std::unique_ptr<Optimizer> optimizer_;
    LossSpec loss_;
    DeviceBuffer<float> class_weights_;
    DeviceBuffer<double> accumulator_;  ///< Σ weight·loss, Σ weight
    DeviceBuffer<float> clip_scale_;    ///< of the last step
    DeviceBuffer<double> agreed_;       ///< what the first of several ranks says
    DeviceBuffer<float> exchanged_;     ///< logits on their way between ranks
    DeviceBuffer<float> average_;
    DeviceBuffer<float> aside_;  ///< the weights while their average is evaluated
    DeviceBuffer<float> best_parameters_;
    DeviceBuffer<float> best_state_;
    RandomPermutation order_{0, 0, 0};  ///< of train_rows_, in this epoch
    bool resident_ = false;             ///< the data are on the device
    // These are null unless they are:
    DeviceBuffer<uint32_t> device_train_rows_;
    DeviceBuffer<uint32_t> device_order_;
    DeviceBuffer<uint32_t> device_validation_rows_;
    std::vector<uint32_t> batch_rows_;  ///< of the batch that is fed
    int64_t steps_ahead_ = 1;           ///< that are enqueued at once
    std::vector<StepScalars> steps_;
    std::unique_ptr<StepProgram> program_;
    std::vector<float> validation_logits_;
    std::vector<float> validation_targets_;  ///< or the bits of int32 labels
    std::vector<float> validation_weights_;
    LabelledLogits labelled_;

    int64_t steps_per_epoch_ = 0;
    int64_t total_epochs_ = 0;
    int64_t budget_ = 0;     ///< steps
    int64_t last_step_ = 0;  ///< at which the run ends
    int64_t step_ = 0;
    int64_t epoch_first_step_ = 0;
    bool timed_out_ = false;
    double train_loss_ = 0.0;
    double validation_loss_ = std::numeric_limits<double>::quiet_NaN();
    double learning_rate_ = 0.0;
    uint64_t epoch_rows_ = 0;
    uint64_t trained_rows_ = 0;
    double training_seconds_ = 0.0;
    Clock::time_point start_;
    Clock::time_point epoch_start_;
    Clock::time_point last_report_;
    TrainerResult result_;
};

}  // namespace

const char* StopReasonName(StopReason reason) {
    switch (reason) {
        case StopReason::kEarlyStopping:
            return "early_stopping";
        case StopReason::kTimeLimit:
            return "time_limit";
        case StopReason::kBudget:
            break;
    }
    return "budget";
}

Expected<TrainerResult> TrainNetwork(Network& network, Backend& backend, const TrainingData& data,
                                     std::span<const uint32_t> train_rows,
                                     std::span<const uint32_t> validation_rows, const TrainerOptions& options,
                                     const CancelToken& cancel, const ProgressCallback& progress) {
    try {
        const ScopedFlushToZero flush_to_zero;
        const CancelScope cancel_scope(network, cancel);
        return TrainingRun(network, backend, data, train_rows, validation_rows, options, cancel, progress)
            .Run();
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory while training");
    }
}

Status PredictLogits(Network& network, Backend& backend, const TrainingData& data,
                     std::span<const uint32_t> rows, std::span<float> logits, const CancelToken& cancel) {
    if (logits.size() !=
        rows.size() * static_cast<size_t>(network.members()) * static_cast<size_t>(network.outputs())) {
        return Status::Internal("room for " + std::to_string(logits.size()) +
                                " logits does not fit the rows");
    }
    try {
        const ScopedFlushToZero flush_to_zero;
        const CancelScope cancel_scope(network, cancel);
        BatchFeeder feeder(backend, data);
        DLENT_RETURN_IF_ERROR(feeder.Prepare(network.spec(), network.max_batch(), false));
        return RunBatches(network, backend, feeder, rows, nullptr, logits.data(), cancel);
    } catch (const std::bad_alloc&) {
        return {StatusCode::kOutOfMemory, "out of memory while predicting"};
    }
}

}  // namespace dlent
