#include "pg/bridge/postgres.h"

#include "pg/workers/job_training.h"

#include "pg/bridge/text.h"

namespace dlent::pg {
namespace {

/// The job's checkpoints, each in a transaction of its own. An error cancels the training and is thrown
/// behind it.
class JobCheckpoints final : public CheckpointStore {
 public:
    JobCheckpoints(JobContext* context, TrainingMonitor* monitor) : context_(context), monitor_(monitor) {}

    Expected<std::optional<Checkpoint>> Find(const std::string& key) override {
        std::optional<Checkpoint> found;
        DLENT_RETURN_IF_ERROR(InTransaction([&] { found = FindCheckpoint(context_->job().id, key); }));
        return found;
    }
    Status Keep(const std::string& key, const Checkpoint& checkpoint) override {
        return InTransaction([&] { KeepCheckpoint(context_->job().id, key, checkpoint); });
    }

 private:
    template <typename Function>
    Status InTransaction(Function function) {
        const bool done = monitor_->Guard([&] {
            context_->Begin();
            function();
            context_->Commit();
        });
        return done ? Status::Ok() : Status::Cancelled();
    }

    JobContext* const context_;
    TrainingMonitor* const monitor_;
};

Json ProgressJson(const TrainingProgress& progress) {
    Json json = {{"phase", progress.phase}, {"fraction", progress.fraction}};
    if (progress.epochs > 0) {
        json["member"] = progress.member + 1;
        json["members"] = progress.members;
        json["epoch"] = progress.epoch;
        json["epochs"] = progress.epochs;
        json["train_loss"] = progress.train_loss;
        json["rows_per_second"] = progress.rows_per_second;
    }
    json["seconds_left"] = progress.seconds_left;
    return json;
}

}  // namespace

StoredVersion TrainInJob(JobContext& context, const TrainingRequest& request, TrainedOnDevice* trained) {
    ProgressDisplay display(request.model);
    TrainingMonitor monitor(request.model, false, &display, [&context](const TrainingProgress& progress) {
        context.Report(ProgressJson(progress));
    });
    context.Report({{"phase", "reading"}});
    context.Commit();
    context.Begin();
    TrainingRows rows = ReadTrainingRows(request, &display);
    // no snapshot is held, no lock on the source, while the networks learn
    context.Commit();
    JobCheckpoints checkpoints(&context, &monitor);
    Expected<TrainedOnDevice> done = TrainOnRows(request, rows, &monitor, &checkpoints);
    rows.table.reset();
    display.ShowPhase("storing");
    context.Report({{"phase", "storing"}});
    context.Begin();
    *trained = ValueOrThrow(std::move(done));
    return StoreTraining(request, rows, trained);
}

}  // namespace dlent::pg
