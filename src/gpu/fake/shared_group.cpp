#include "gpu/fake/shared_group.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>
#include <utility>

namespace dlent::gpu {
namespace {

constexpr size_t kSlotBytes = size_t{64} << 10;  ///< that a rank adds at a time
constexpr size_t kHeaderBytes = 64;
constexpr int kEagerLooks = 200;  ///< before a rank that waits sleeps between looks
constexpr std::chrono::microseconds kNap{50};

size_t BytesFor(int ranks) {
    return kHeaderBytes + static_cast<size_t>(ranks) * kSlotBytes;
}

Status HasLeft() {
    return {StatusCode::kCancelled, "another device of the group has left it"};
}

}  // namespace

/// Zeroed when the memory is made.
struct SharedGroup::Header {
    std::atomic<uint32_t> arrived;   ///< in this round
    std::atomic<uint32_t> round;     ///< counts meetings
    std::atomic<uint32_t> has_left;  ///< some rank has
};
static_assert(std::atomic<uint32_t>::is_always_lock_free, "ranks may be processes");

SharedGroup::SharedGroup(SharedMemory memory, std::string id, int rank, int ranks, MustEnd must_end)
    : memory_(std::move(memory)),
      id_(std::move(id)),
      rank_(rank),
      ranks_(ranks),
      must_end_(std::move(must_end)) {
    static_assert(sizeof(Header) <= kHeaderBytes);
}

SharedGroup::~SharedGroup() {
    header().has_left = 1;
}

SharedGroup::Header& SharedGroup::header() const {
    return *reinterpret_cast<Header*>(const_cast<std::byte*>(memory_.data()));
}

std::byte* SharedGroup::Slot(int rank) const {
    return const_cast<std::byte*>(memory_.data()) + kHeaderBytes + static_cast<size_t>(rank) * kSlotBytes;
}

Expected<std::unique_ptr<SharedGroup>> SharedGroup::Create(int ranks, MustEnd must_end) {
    DLENT_ASSIGN_OR_RETURN(SharedMemory memory, SharedMemory::Create(BytesFor(ranks), NeverCancelled()));
    // without a name of its own, it is gone with the last process that has it open
    std::string id = std::to_string(getpid()) + " " + std::to_string(memory.fd());
    return std::unique_ptr<SharedGroup>(
        new SharedGroup(std::move(memory), std::move(id), 0, ranks, std::move(must_end)));
}

Expected<std::unique_ptr<SharedGroup>> SharedGroup::Join(const std::string& id, int rank, int ranks,
                                                         MustEnd must_end) {
    int pid = 0;
    int number = -1;
    if (std::sscanf(id.c_str(), "%d %d", &pid, &number) != 2)
        return Status::Corrupt("a group's id of another form");
    const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(number);
    FileDescriptor fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd.valid())
        return HasLeft();
    DLENT_ASSIGN_OR_RETURN(SharedMemory memory,
                           SharedMemory::Map(std::move(fd), BytesFor(ranks), SharedMemory::Access::kWrite));
    return std::unique_ptr<SharedGroup>(
        new SharedGroup(std::move(memory), id, rank, ranks, std::move(must_end)));
}

Status SharedGroup::Meet() {
    Header& shared = header();
    if (shared.has_left != 0)
        return HasLeft();
    const uint32_t round = shared.round;
    if (shared.arrived.fetch_add(1) + 1 == static_cast<uint32_t>(ranks_)) {
        shared.arrived = 0;
        shared.round = round + 1;
        return Status::Ok();
    }
    for (int looks = 0; shared.round == round; ++looks) {
        const bool over = must_end_() || shared.has_left != 0;
        // one that has left may have been the last to arrive
        if (over && shared.round == round) {
            shared.has_left = 1;
            return HasLeft();
        }
        if (looks < kEagerLooks)
            std::this_thread::yield();
        else
            std::this_thread::sleep_for(kNap);
    }
    return Status::Ok();
}

template <typename T>
Status SharedGroup::SumOf(size_t count, T* values) {
    constexpr size_t kMost = kSlotBytes / sizeof(T);
    for (size_t begin = 0; begin < count; begin += kMost) {
        const size_t some = std::min(kMost, count - begin);
        std::memcpy(Slot(rank_), values + begin, some * sizeof(T));
        DLENT_RETURN_IF_ERROR(Meet());
        std::memcpy(values + begin, Slot(0), some * sizeof(T));
        for (int rank = 1; rank < ranks_; ++rank) {
            const T* const more = reinterpret_cast<const T*>(Slot(rank));
            for (size_t i = 0; i < some; ++i)
                values[begin + i] += more[i];
        }
        DLENT_RETURN_IF_ERROR(Meet());
    }
    return Status::Ok();
}

Status SharedGroup::Sum(size_t count, float* values) {
    return SumOf(count, values);
}

Status SharedGroup::Sum(size_t count, double* values) {
    return SumOf(count, values);
}

}  // namespace dlent::gpu
