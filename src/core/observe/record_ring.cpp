#include "core/observe/record_ring.h"

#include <algorithm>
#include <cstring>

namespace dlent {
namespace {

/// Slots that a producer tries. Some are long in use where the consumer is behind: then all around them are.
constexpr int kTries = 16;
constexpr size_t kAlignment = 64;

size_t Aligned(size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

size_t RecordRing::MemoryBytes(uint32_t slots) {
    return Aligned(sizeof(Header)) + Aligned(slots * sizeof(std::atomic<uint64_t>)) + slots * sizeof(Slot);
}

uint32_t RecordRing::SlotsIn(size_t bytes) {
    const size_t fixed = Aligned(sizeof(Header)) + kAlignment;
    const size_t each = sizeof(std::atomic<uint64_t>) + sizeof(Slot);
    return bytes <= fixed ? 0 : static_cast<uint32_t>((bytes - fixed) / each);
}

RecordRing::RecordRing(void* memory, uint32_t slots) : slots_(slots) {
    auto* bytes = static_cast<std::byte*>(memory);
    header_ = reinterpret_cast<Header*>(bytes);
    bytes += Aligned(sizeof(Header));
    words_ = reinterpret_cast<std::atomic<uint64_t>*>(bytes);
    bytes += Aligned(slots * sizeof(std::atomic<uint64_t>));
    data_ = reinterpret_cast<Slot*>(bytes);
}

uint32_t RecordRing::Take(uint32_t owner) {
    for (int i = 0; i < kTries; ++i) {
        const uint64_t position = header_->next.fetch_add(1, std::memory_order_relaxed);
        const auto slot = static_cast<uint32_t>(position % slots_);
        uint64_t free = Word(kFree, 0);
        if (words_[slot].compare_exchange_strong(free, Word(kWriting, owner), std::memory_order_acquire,
                                                 std::memory_order_relaxed)) {
            header_->used.fetch_add(1, std::memory_order_relaxed);
            return slot;
        }
    }
    return slots_;
}

void RecordRing::Free(uint32_t slot) {
    header_->used.fetch_sub(1, std::memory_order_relaxed);
    words_[slot].store(Word(kFree, 0), std::memory_order_release);
}

bool RecordRing::Push(uint32_t owner, std::span<const std::byte> record) {
    constexpr size_t kData = sizeof(Slot::data);
    const size_t parts = std::max<size_t>((record.size() + kData - 1) / kData, 1);
    const uint32_t first = record.size() > kMaxRecordBytes || slots_ == 0 ? slots_ : Take(owner);
    uint32_t last = first;
    for (size_t part = 0; last != slots_; ++part) {
        const std::span<const std::byte> piece =
            record.subspan(part * kData, std::min(kData, record.size() - part * kData));
        if (!piece.empty())
            std::memcpy(data_[last].data, piece.data(), piece.size());
        if (part + 1 == parts)
            break;
        const uint32_t next = Take(owner);
        if (next == slots_) {
            // what was taken goes back, part by part
            for (uint32_t slot = first; slot != last; slot = data_[slot].next)
                Free(slot);
            Free(last);
            last = slots_;
            break;
        }
        words_[next].store(Word(kPart, owner), std::memory_order_relaxed);
        data_[last].next = next;
        last = next;
    }
    if (last == slots_) {
        CountDropped(1);
        return false;
    }
    data_[first].bytes = static_cast<uint32_t>(record.size());
    words_[first].store(Word(kComplete, owner), std::memory_order_release);
    header_->written.fetch_add(1, std::memory_order_relaxed);
    return true;
}

std::vector<RecordRing::Entry> RecordRing::Collect(size_t most) {
    std::vector<Entry> entries;
    const uint32_t begin = header_->cursor.load(std::memory_order_relaxed);
    for (; walked_ < slots_ && entries.size() < most; ++walked_) {
        const uint32_t slot = (begin + walked_) % slots_;
        if (StateOf(words_[slot].load(std::memory_order_acquire)) == kComplete) {
            entries.push_back({slot});
            behind_ = walked_ + 1;
        }
    }
    return entries;
}

void RecordRing::Read(Entry entry, std::vector<std::byte>* record) const {
    constexpr size_t kData = sizeof(Slot::data);
    record->resize(data_[entry.slot].bytes);
    uint32_t slot = entry.slot;
    for (size_t done = 0; done < record->size(); done += kData) {
        std::memcpy(record->data() + done, data_[slot].data, std::min(kData, record->size() - done));
        slot = data_[slot].next;
    }
}

void RecordRing::Release(std::span<const Entry> entries) {
    constexpr size_t kData = sizeof(Slot::data);
    for (const Entry& entry : entries) {
        size_t left = data_[entry.slot].bytes;
        uint32_t slot = entry.slot;
        for (;;) {
            const uint32_t next = data_[slot].next;
            Free(slot);
            if (left <= kData)
                break;
            left -= kData;
            slot = next;
        }
    }
    header_->released.fetch_add(entries.size(), std::memory_order_relaxed);
    const uint64_t cursor = header_->cursor.load(std::memory_order_relaxed);
    header_->cursor.store(static_cast<uint32_t>((cursor + behind_) % slots_), std::memory_order_relaxed);
    Rewind();
}

void RecordRing::Rewind() {
    walked_ = 0;
    behind_ = 0;
}

int RecordRing::Reclaim(bool (*alive)(uint32_t owner, void* argument), void* argument) {
    const auto unfinished = [](uint64_t word) { return StateOf(word) == kWriting || StateOf(word) == kPart; };
    std::vector<uint32_t> dead;
    std::vector<uint32_t> known;
    for (uint32_t slot = 0; slot < slots_; ++slot) {
        const uint64_t word = words_[slot].load(std::memory_order_acquire);
        const uint32_t owner = OwnerOf(word);
        if (!unfinished(word) || std::find(known.begin(), known.end(), owner) != known.end())
            continue;
        known.push_back(owner);
        if (!alive(owner, argument))
            dead.push_back(owner);
    }
    if (dead.empty())
        return 0;
    // What they completed, they completed before: its parts are not left behind.
    std::vector<bool> kept(slots_);
    constexpr size_t kData = sizeof(Slot::data);
    for (uint32_t first = 0; first < slots_; ++first) {
        if (StateOf(words_[first].load(std::memory_order_acquire)) != kComplete)
            continue;
        uint32_t slot = first;
        for (size_t done = 0; done < data_[first].bytes; done += kData) {
            kept[slot] = true;
            slot = data_[slot].next;
        }
    }
    int lost = 0;
    for (uint32_t slot = 0; slot < slots_; ++slot) {
        const uint64_t word = words_[slot].load(std::memory_order_acquire);
        if (!unfinished(word) || kept[slot] ||
            std::find(dead.begin(), dead.end(), OwnerOf(word)) == dead.end())
            continue;
        lost += StateOf(word) == kWriting;
        Free(slot);
    }
    CountDropped(static_cast<uint64_t>(lost));
    return lost;
}

uint64_t RecordRing::waiting() const {
    const uint64_t gone = released();
    const uint64_t all = written();
    return all > gone ? all - gone : 0;
}

}  // namespace dlent
