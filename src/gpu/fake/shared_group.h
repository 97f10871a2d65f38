#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "core/base/status.h"
#include "gpu/protocol/shared_memory.h"

namespace dlent::gpu {

/// The ranks of a stand-in's group, threads or processes of one machine: they add up in memory that all of
/// them map, in the order of ranks, so that all have the same bits. A rank is an object; when one goes, those
/// that wait for it are told.
class SharedGroup {
 public:
    /// Whether to give up, asked time and again while others are waited for.
    using MustEnd = std::function<bool()>;

    /// The first of `ranks`, which is to outlive the joining of the others.
    static Expected<std::unique_ptr<SharedGroup>> Create(int ranks, MustEnd must_end);
    /// Another one, by the first one's id(), in whatever process of the same user.
    static Expected<std::unique_ptr<SharedGroup>> Join(const std::string& id, int rank, int ranks,
                                                       MustEnd must_end);
    SharedGroup(const SharedGroup&) = delete;
    SharedGroup& operator=(const SharedGroup&) = delete;
    ~SharedGroup();

    const std::string& id() const { return id_; }
    int rank() const { return rank_; }
    int ranks() const { return ranks_; }

    /// values = Σ over the ranks. kCancelled when a rank has left, or this one must end; then always.
    Status Sum(size_t count, float* values);
    Status Sum(size_t count, double* values);

 private:
    struct Header;

    SharedGroup(SharedMemory memory, std::string id, int rank, int ranks, MustEnd must_end);
    Header& header() const;
    std::byte* Slot(int rank) const;
    template <typename T>
    Status SumOf(size_t count, T* values);
    /// Waits until all ranks have come here.
    Status Meet();

    SharedMemory memory_;
    const std::string id_;
    const int rank_;
    const int ranks_;
    const MustEnd must_end_;
};

}  // namespace dlent::gpu
