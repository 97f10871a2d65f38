#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dlent {

/// Records on their way from many processes to one, in memory that they share. Nobody ever waits: a record
/// that finds no room is dropped and counted. Whoever dies, or is stopped, at whatever instruction, costs the
/// records at hand, and never stops another.
///
/// The memory is an array of slots of kSlotBytes; a record takes as many as it needs. A slot is free, being
/// written, a further part of a record, or the first part of a record that is complete. One word says which,
/// and by whom it was taken, so taking a slot and saying so are one step. Producers try slots in turn,
/// beginning at a shared position. The consumer walks round the array in the same order; it marks nothing, so
/// another that takes its place finds everything that was not released.
class RecordRing {
 public:
    static constexpr size_t kSlotBytes = 256;
    /// Longest record.
    static constexpr size_t kMaxRecordBytes = 64 * 1024;

    /// Bytes of memory for `slots` slots, and the most slots that fit into `bytes`.
    static size_t MemoryBytes(uint32_t slots);
    static uint32_t SlotsIn(size_t bytes);

    RecordRing() = default;
    /// Of memory of MemoryBytes(slots), aligned to 64 bytes and zero when it is new. Copies are the same
    /// ring.
    RecordRing(void* memory, uint32_t slots);

    uint32_t slots() const { return slots_; }

    // ---- producers ----

    /// False: dropped, for want of room. `owner` is this process, not 0.
    bool Push(uint32_t owner, std::span<const std::byte> record);

    // ---- the consumer ----

    /// A complete record. Its bytes stay where they are until it is released.
    struct Entry {
        uint32_t slot = 0;
    };
    /// The records that are complete now, at most `most`, nearly in the order in which they came, which are
    /// not among those that Collect() has returned since the last Release() or Rewind().
    std::vector<Entry> Collect(size_t most);
    /// Copies a record's bytes.
    void Read(Entry entry, std::vector<std::byte>* record) const;
    /// Frees the slots of records.
    void Release(std::span<const Entry> entries);
    /// Has Collect() return what was not released again.
    void Rewind();
    /// Frees what processes left behind that are no more; to be called now and then while nothing is
    /// collected and not released. `alive` says whether a process may still be at work. The number of records
    /// lost.
    int Reclaim(bool (*alive)(uint32_t owner, void* argument), void* argument);

    // ---- everybody ----

    uint64_t written() const { return header_->written.load(std::memory_order_relaxed); }
    uint64_t dropped() const { return header_->dropped.load(std::memory_order_relaxed); }
    uint64_t released() const { return header_->released.load(std::memory_order_relaxed); }
    /// Records that wait.
    uint64_t waiting() const;
    /// Slots in use: a gauge, for deciding whether to look.
    uint32_t used_slots() const { return header_->used.load(std::memory_order_relaxed); }
    /// Counts records that were never pushed, or that the consumer could not use.
    void CountDropped(uint64_t count) { header_->dropped.fetch_add(count, std::memory_order_relaxed); }

 private:
    enum State : uint32_t { kFree, kWriting, kPart, kComplete };

    struct Header {
        alignas(64) std::atomic<uint64_t> next;  ///< slot that the next producer tries first
        alignas(64) std::atomic<uint64_t> written;
        std::atomic<uint64_t> dropped;
        std::atomic<uint64_t> released;
        std::atomic<uint32_t> used;
        std::atomic<uint32_t> cursor;  ///< of the consumer
    };
    struct Slot {
        uint32_t bytes;  ///< of the record, in its first slot
        uint32_t next;   ///< the record's next slot
        std::byte data[kSlotBytes - 2 * sizeof(uint32_t)];
    };
    static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(Slot) == kSlotBytes);

    static uint64_t Word(State state, uint32_t owner) { return uint64_t{owner} << 32 | state; }
    static State StateOf(uint64_t word) { return static_cast<State>(word & 0xffffffffu); }
    static uint32_t OwnerOf(uint64_t word) { return static_cast<uint32_t>(word >> 32); }

    /// A slot of this producer's; slots_ when there is none.
    uint32_t Take(uint32_t owner);
    void Free(uint32_t slot);

    Header* header_ = nullptr;
    std::atomic<uint64_t>* words_ = nullptr;  ///< state and owner of each slot
    Slot* data_ = nullptr;
    uint32_t slots_ = 0;
    // of the consumer, since the last Release() or Rewind()
    uint32_t walked_ = 0;  ///< slots that were looked at
    uint32_t behind_ = 0;  ///< of these, up to the last that was returned
};

}  // namespace dlent
