// RankGroup by NCCL. The communicator does not block: each call is followed until it has taken effect, so
// that a rank whose peers are gone can be told to end at any point. docs/architecture.md, "One network on
// several cards".

#include <nccl.h>

#include <chrono>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "gpu/cuda/nccl_library.h"
#include "gpu/cuda/rank_group.h"

namespace dlent::cuda {
namespace {

static_assert(sizeof(ncclUniqueId) <= sizeof(DlentGroupId), "an id must fit into the plugin's");

constexpr int kEagerLooks = 2000;  ///< before a thread that waits sleeps between looks
constexpr std::chrono::microseconds kNap{20};

void Pause(int looks) {
    if (looks < kEagerLooks)
        std::this_thread::yield();
    else
        std::this_thread::sleep_for(kNap);
}

class NcclGroup final : public RankGroup {
 public:
    NcclGroup(const NcclLibrary& nccl, DlentGroup* group, cudaStream_t stream)
        : nccl_(nccl), group_(*group), stream_(stream) {}

    ~NcclGroup() override {
        cudaError_t ignored = cudaSuccess;
        [[maybe_unused]] const Status waited = Wait(&ignored);
        // peers may still read what this rank has to give: they part when all are done
        if (communicator_ != nullptr && Follow(nccl_.comm_finalize(communicator_)).ok())
            nccl_.comm_destroy(std::exchange(communicator_, nullptr));
        Abort();
        for (const Mark& mark : marks_) {
            cudaEventDestroy(mark.before);
            cudaEventDestroy(mark.after);
        }
    }

    Status Create() {
        ncclUniqueId id{};
        if (group_.rank == 0) {
            if (const ncclResult_t made = nccl_.get_unique_id(&id); made != ncclSuccess)
                return End(Failure(made));
            DlentGroupId named{};
            std::memcpy(named.bytes, &id, sizeof(id));
            group_.publish(group_.context, &named);
        } else {
            std::memcpy(&id, group_.id.bytes, sizeof(id));
        }
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 0;
        return Follow(nccl_.comm_init_rank_config(&communicator_, group_.ranks, id, group_.rank, &config));
    }

    int rank() const override { return group_.rank; }
    int ranks() const override { return group_.ranks; }
    Status Sum(size_t count, float* values) override { return SumOf(count, values, ncclFloat32); }
    Status Sum(size_t count, double* values) override { return SumOf(count, values, ncclFloat64); }
    Status Wait(cudaError_t* result) override {
        DLENT_RETURN_IF_ERROR(Poll([this] { return cudaStreamQuery(stream_); }, result));
        used_ = first_open_ = 0;
        return Status::Ok();
    }
    Status WaitFor(cudaEvent_t event, cudaError_t* result) override {
        return Poll([event] { return cudaEventQuery(event); }, result);
    }

 private:
    /// Where a sum stands in the stream.
    struct Mark {
        cudaEvent_t before = nullptr;
        cudaEvent_t after = nullptr;
    };

    Status Failure(ncclResult_t result) const {
        if (result == ncclRemoteError)
            return {StatusCode::kCancelled, "another GPU of the group has left it"};
        return Status::Internal(std::string("NCCL: ") + nccl_.get_error_string(result));
    }

    bool MustEnd(bool idle) const { return group_.must_end(group_.context, idle ? 1 : 0) != 0; }

    /// Ends the group, of which `why` is said from now on.
    Status End(Status why) {
        over_ = std::move(why);
        Abort();
        return over_;
    }

    /// Also ends what the stream waits for.
    void Abort() {
        if (communicator_ != nullptr)
            nccl_.comm_abort(std::exchange(communicator_, nullptr));
    }

    /// Waits until a call has taken effect.
    Status Follow(ncclResult_t result) {
        for (int looks = 0; result == ncclInProgress; ++looks) {
            if (MustEnd(true))
                return End(Status::Cancelled());
            Pause(looks);
            if (const ncclResult_t asked = nccl_.comm_get_async_error(communicator_, &result);
                asked != ncclSuccess)
                result = asked;
        }
        return result == ncclSuccess ? Status::Ok() : End(Failure(result));
    }

    template <typename T>
    Status SumOf(size_t count, T* values, ncclDataType_t type) {
        DLENT_RETURN_IF_ERROR(over_);
        if (used_ == marks_.size()) {
            Mark mark;
            if (cudaEventCreateWithFlags(&mark.before, cudaEventDisableTiming) != cudaSuccess ||
                cudaEventCreateWithFlags(&mark.after, cudaEventDisableTiming) != cudaSuccess)
                return End(Status::Internal("CUDA gave no event"));
            marks_.push_back(mark);
        }
        const Mark& mark = marks_[used_++];
        cudaEventRecord(mark.before, stream_);
        DLENT_RETURN_IF_ERROR(
            Follow(nccl_.all_reduce(values, values, count, type, ncclSum, communicator_, stream_)));
        cudaEventRecord(mark.after, stream_);
        return Status::Ok();
    }

    /// Whether the stream waits in a sum for others, or has got further since the last look. Where it does
    /// not, it computes, and only its own device can keep it from going on.
    bool IsIdleOrMoves() {
        const size_t first = first_open_;
        while (first_open_ < used_ && cudaEventQuery(marks_[first_open_].after) == cudaSuccess)
            ++first_open_;
        const bool moves = first_open_ > first ||
                           (first_open_ < used_ && cudaEventQuery(marks_[first_open_].before) == cudaSuccess);
        // Of a query, here or in Poll(), that is an answer; but it stays behind as the last error, which
        // libraries look at.
        if (cudaPeekAtLastError() == cudaErrorNotReady)
            cudaGetLastError();
        return moves;
    }

    template <typename Query>
    Status Poll(Query query, cudaError_t* result) {
        DLENT_RETURN_IF_ERROR(over_);
        for (int looks = 0; (*result = query()) == cudaErrorNotReady; ++looks) {
            if (MustEnd(IsIdleOrMoves()))
                return End(Status::Cancelled());
            ncclResult_t state = ncclSuccess;
            if (const ncclResult_t asked = nccl_.comm_get_async_error(communicator_, &state);
                asked != ncclSuccess)
                state = asked;
            if (state != ncclSuccess && state != ncclInProgress)
                return End(Failure(state));
            Pause(looks);
        }
        return Status::Ok();
    }

    const NcclLibrary& nccl_;
    DlentGroup& group_;
    const cudaStream_t stream_;
    ncclComm_t communicator_ = nullptr;
    Status over_;  ///< why the group is
    std::vector<Mark> marks_;
    size_t used_ = 0;        ///< of the marks, since the stream was last at rest
    size_t first_open_ = 0;  ///< before that, sums are done
};

}  // namespace

Expected<std::unique_ptr<RankGroup>> RankGroup::Join(DlentGroup* group, cudaStream_t stream) {
    std::string problem;
    const NcclLibrary* const nccl = NcclLibrary::Load(&problem);
    if (nccl == nullptr)
        return Status(StatusCode::kUnsupported, "NCCL cannot be used: " + problem);
    auto joined = std::make_unique<NcclGroup>(*nccl, group, stream);
    DLENT_RETURN_IF_ERROR(joined->Create());
    return std::unique_ptr<RankGroup>(std::move(joined));
}

}  // namespace dlent::cuda
