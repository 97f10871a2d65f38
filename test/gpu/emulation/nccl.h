#pragma once

// What src/gpu/cuda uses of NCCL, between threads of one process. Communicators do not block: a call takes
// effect when its caller follows it (ncclCommGetAsyncError), a sum in a stream stays undone until all ranks'
// streams have come to theirs, and a rank whose peer has aborted learns it by the asynchronous error alone.

#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

enum ncclResult_t { ncclSuccess = 0, ncclInternalError = 3, ncclRemoteError = 6, ncclInProgress = 7 };
enum ncclDataType_t { ncclFloat32, ncclFloat64 };
enum ncclRedOp_t { ncclSum };
struct ncclUniqueId {
    char internal[128];
};
struct ncclConfig_t {
    int blocking;
};
#define NCCL_CONFIG_INITIALIZER \
    { 1 }

namespace nccl_emulation {

struct Group {
    struct Sum {
        std::vector<std::vector<char>> parts;  ///< by rank
        int arrived = 0;
    };
    explicit Group(int ranks_) : ranks(ranks_) {}
    const int ranks;
    std::mutex mutex;
    int joined = 0;
    int finalized = 0;
    bool aborted = false;
    std::map<uint64_t, Sum> sums;  ///< by number
};

inline std::mutex groups_mutex;
inline std::map<uint64_t, std::shared_ptr<Group>> groups;
inline uint64_t next_group = 1;

[[noreturn]] inline void Misuse(const char* what) {
    std::fprintf(stderr, "NCCL: %s\n", what);
    std::abort();
}

template <typename T>
void AddUp(const Group::Sum& sum, size_t count, void* to) {
    std::vector<T> total(count, T());
    for (const std::vector<char>& part : sum.parts)
        for (size_t i = 0; i < count; ++i) {
            T value;
            std::memcpy(&value, part.data() + i * sizeof(T), sizeof(T));
            total[i] += value;
        }
    std::memcpy(to, total.data(), count * sizeof(T));
}

}  // namespace nccl_emulation

struct nccl_emulation_communicator {
    std::shared_ptr<nccl_emulation::Group> group;
    int rank = 0;
    uint64_t next_sum = 0;
    bool is_finalized = false;
    std::shared_ptr<bool> aborted = std::make_shared<bool>(false);
    /// What the last call is to bring about, until it has; a result but ncclInProgress when it has.
    std::function<ncclResult_t()> pending;

    ncclResult_t Start(std::function<ncclResult_t()> call) {
        if (pending)
            nccl_emulation::Misuse("a call before the last one has taken effect");
        pending = std::move(call);
        return ncclInProgress;
    }
};
typedef nccl_emulation_communicator* ncclComm_t;

inline ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
    const std::scoped_lock lock(nccl_emulation::groups_mutex);
    *id = {};
    std::memcpy(id->internal, &nccl_emulation::next_group, sizeof(nccl_emulation::next_group));
    ++nccl_emulation::next_group;
    return ncclSuccess;
}

inline ncclResult_t ncclCommInitRankConfig(ncclComm_t* communicator, int ranks, ncclUniqueId id, int rank,
                                           ncclConfig_t* config) {
    if (config->blocking != 0)
        nccl_emulation::Misuse("a communicator that blocks could not be told to end");
    uint64_t number;
    std::memcpy(&number, id.internal, sizeof(number));
    *communicator = new nccl_emulation_communicator;
    const std::scoped_lock lock(nccl_emulation::groups_mutex);
    std::shared_ptr<nccl_emulation::Group>& group = nccl_emulation::groups[number];
    if (group == nullptr)
        group = std::make_shared<nccl_emulation::Group>(ranks);
    (*communicator)->group = group;
    (*communicator)->rank = rank;
    {
        const std::scoped_lock members(group->mutex);
        ++group->joined;
    }
    return (*communicator)->Start([group = group.get()] {
        const std::scoped_lock members(group->mutex);
        return group->aborted ? ncclRemoteError : group->joined < group->ranks ? ncclInProgress : ncclSuccess;
    });
}

inline ncclResult_t ncclCommGetAsyncError(ncclComm_t communicator, ncclResult_t* state) {
    if (communicator->pending) {
        *state = communicator->pending();
        if (*state != ncclInProgress)
            communicator->pending = nullptr;
        return ncclSuccess;
    }
    const std::scoped_lock lock(communicator->group->mutex);
    *state = communicator->group->aborted ? ncclRemoteError : ncclSuccess;
    return ncclSuccess;
}

inline ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t,
                                  ncclComm_t communicator, cudaStream_t stream) {
    if (stream->recording != nullptr)
        nccl_emulation::Misuse("a sum while a graph is recorded, which all ranks would have to do at a time");
    const uint64_t number = communicator->next_sum++;
    const size_t bytes = count * (type == ncclFloat32 ? sizeof(float) : sizeof(double));
    auto sum_up = [=, group = communicator->group, rank = communicator->rank, aborted = communicator->aborted,
                   arrived = false]() mutable {
        const std::scoped_lock lock(group->mutex);
        if (*aborted)
            return true;
        nccl_emulation::Group::Sum& sum = group->sums[number];
        if (!std::exchange(arrived, true)) {
            sum.parts.resize(static_cast<size_t>(group->ranks));
            sum.parts[static_cast<size_t>(rank)].assign(static_cast<const char*>(from),
                                                        static_cast<const char*>(from) + bytes);
            ++sum.arrived;
        }
        if (sum.arrived < group->ranks)
            return false;
        for (const std::vector<char>& part : sum.parts) {
            if (part.size() != bytes)
                nccl_emulation::Misuse("ranks add up different counts");
        }
        if (type == ncclFloat32)
            nccl_emulation::AddUp<float>(sum, count, to);
        else
            nccl_emulation::AddUp<double>(sum, count, to);
        return true;
    };
    return communicator->Start([stream, sum_up = std::move(sum_up)]() mutable {
        stream->EnqueueLate(std::move(sum_up));
        return ncclSuccess;
    });
}

inline ncclResult_t ncclCommFinalize(ncclComm_t communicator) {
    communicator->is_finalized = true;
    {
        const std::scoped_lock lock(communicator->group->mutex);
        ++communicator->group->finalized;
    }
    return communicator->Start([group = communicator->group.get()] {
        const std::scoped_lock lock(group->mutex);
        return group->aborted                    ? ncclRemoteError
               : group->finalized < group->ranks ? ncclInProgress
                                                 : ncclSuccess;
    });
}

inline ncclResult_t ncclCommDestroy(ncclComm_t communicator) {
    if (!communicator->is_finalized || communicator->pending)
        nccl_emulation::Misuse("a communicator is destroyed before it is finalized");
    delete communicator;
    return ncclSuccess;
}

inline ncclResult_t ncclCommAbort(ncclComm_t communicator) {
    {
        const std::scoped_lock lock(communicator->group->mutex);
        communicator->group->aborted = true;
        *communicator->aborted = true;
    }
    delete communicator;
    return ncclSuccess;
}

inline const char* ncclGetErrorString(ncclResult_t result) {
    return result == ncclRemoteError ? "remote error" : "emulated error";
}
