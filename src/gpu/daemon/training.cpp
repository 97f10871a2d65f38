#include "gpu/daemon/training.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "core/nn/network.h"
#include "core/train/share.h"
#include "core/train/step_cost.h"
#include "core/train/trainer.h"

namespace dlent::gpu {
namespace {

/// Held-out rows are run in larger batches than training uses, while their activations stay small.
constexpr int kEvaluationRows = 4096;
constexpr const char* kMemoryHint = "Raise dlent.gpu_memory, use a smaller batch_size, or train on the CPU.";
static_assert(sizeof(DlentGroupId) == kGroupIdBytes);

/// The group that a job is one rank of, as the plugin asks for it.
class Membership {
 public:
    Membership(const RankOfJob& rank, const JobSignal& signal, const TrainingReports& reports)
        : signal_(signal), reports_(reports) {
        group_.rank = rank.rank;
        group_.ranks = rank.ranks;
        std::memcpy(group_.id.bytes, rank.id.data(), rank.id.size());
        group_.context = this;
        group_.publish = Publish;
        group_.must_end = MustEnd;
    }
    Membership(const Membership&) = delete;
    Membership& operator=(const Membership&) = delete;

    bool has_peers() const { return group_.ranks > 1; }

    /// Goes before the backend, which waits for the other ranks where the training has succeeded, and leaves
    /// them where it has not.
    class Stay {
     public:
        explicit Stay(Membership& membership) : membership_(membership) {}
        Stay(const Stay&) = delete;
        Stay& operator=(const Stay&) = delete;
        ~Stay() { membership_.has_failed_ = !has_succeeded_; }
        void Succeed() { has_succeeded_ = true; }

     private:
        Membership& membership_;
        bool has_succeeded_ = false;
    };

    /// Has its turn: waits until all ranks have theirs.
    Status Join(const Device& device, Backend& backend) {
        if (group_.rank > 0)
            reports_.turn({});
        return device.JoinGroup(backend, &group_);
    }

 private:
    static void Publish(void* context, const DlentGroupId* id) {
        const auto* const self = static_cast<const Membership*>(context);
        self->reports_.turn(std::string(reinterpret_cast<const char*>(id->bytes), sizeof(id->bytes)));
    }
    /// Shows that the job is alive only where that is so: a device that does not get on with its own work has
    /// to be noticed.
    static int MustEnd(void* context, int idle) {
        const auto* const self = static_cast<const Membership*>(context);
        if (idle != 0)
            self->signal_.Beat();
        return self->signal_.was_cancelled() || self->has_failed_ ? 1 : 0;
    }

    const JobSignal& signal_;
    const TrainingReports& reports_;
    bool has_failed_ = false;
    DlentGroup group_{};
};

}  // namespace

Expected<Parcel> RunTraining(Device& device, const TrainJob& job, const RankOfJob& rank,
                             const ImageData& data, const JobSignal& signal, const TrainingReports& reports) {
    Membership membership(rank, signal, reports);
    Lane::Place place_of_spread;
    Lane::Place place;
    if (membership.has_peers() && !Lane::Place::Take(device.spread_jobs(), signal, &place_of_spread))
        return Status::Cancelled();
    if (!Lane::Place::Take(device.jobs(), signal, &place))
        return Status::Cancelled();
    signal.Beat();
    JobMemory memory(device);
    DLENT_ASSIGN_OR_RETURN(const DeviceBackend backend, memory.MakeBackend(job.precision, kMemoryHint));
    Membership::Stay stay(membership);
    if (membership.has_peers())
        DLENT_RETURN_IF_ERROR(membership.Join(device, *backend));
    const auto run = [&]() -> Expected<Parcel> {
        const int batch_rows =
            static_cast<int>(LargestShare(static_cast<size_t>(job.options.batch_size), rank.ranks));
        const int evaluation_rows = static_cast<int>(
            std::min<size_t>(job.validation_rows.size(), kEvaluationRows / std::max(job.network.members, 1)));
        DLENT_ASSIGN_OR_RETURN(
            const std::unique_ptr<Network> network,
            Network::Create(job.network, *backend, std::max(batch_rows, evaluation_rows), true));
        DLENT_RETURN_IF_ERROR(network->Load(job.tensors));
        DLENT_RETURN_IF_ERROR(data.Check(job.network, network->outputs(), signal));
        DLENT_RETURN_IF_ERROR(CheckRows(job.train_rows, data));
        DLENT_RETURN_IF_ERROR(CheckRows(job.validation_rows, data));
        DLENT_ASSIGN_OR_RETURN(const TrainerResult result,
                               TrainNetwork(*network, *backend, data, job.train_rows, job.validation_rows,
                                            job.options, signal, reports.progress));
        // what several devices do together says little of one
        if (result.rows_per_second > 0.0 && result.steps > 0 && !membership.has_peers()) {
            const double steps_an_epoch =
                std::ceil(static_cast<double>(job.train_rows.size()) / job.options.batch_size);
            const double rows_a_step = static_cast<double>(job.train_rows.size()) / steps_an_epoch;
            device.Learn(
                TrainingFlopsPerRow(network->trainable_count(), network->members()) * result.rows_per_second,
                rows_a_step / result.rows_per_second);
        }
        DLENT_ASSIGN_OR_RETURN(const std::vector<NamedTensorData> tensors, network->Save());
        return PackResult(result, tensors, signal);
    };
    Expected<Parcel> result = run();
    if (!result.ok())
        return memory.Explain(result.status(), kMemoryHint);
    stay.Succeed();
    return result;
}

}  // namespace dlent::gpu
