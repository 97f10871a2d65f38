#include "core/features/dictionary.h"

#include <algorithm>
#include <cstring>

#include "core/features/text_hash.h"

namespace dlent {
namespace {

constexpr size_t kInitialSlots = 64;
constexpr size_t kBlockBytes = 64 << 10;
constexpr int32_t kFree = -1;

}  // namespace

Dictionary::Dictionary(int32_t max_levels) : max_levels_(max_levels), slots_(kInitialSlots, kFree) {}

int32_t Dictionary::Find(std::string_view text) const {
    const uint32_t hash = static_cast<uint32_t>(HashText(text));
    const size_t mask = slots_.size() - 1;
    for (size_t slot = hash & mask;; slot = (slot + 1) & mask) {
        const int32_t code = slots_[slot];
        if (code == kFree)
            return kAbsent;
        const Entry& entry = entries_[code];
        if (entry.hash == hash && entry.length == text.size() &&
            (text.empty() || std::memcmp(entry.data, text.data(), text.size()) == 0))
            return code;
    }
}

int32_t Dictionary::Intern(std::string_view text) {
    const int32_t known = Find(text);
    if (known != kAbsent)
        return known;
    if (size() >= max_levels_) {
        ++overflow_count_;
        return kOverflow;
    }
    if ((entries_.size() + 1) * 2 > slots_.size())
        Grow();
    const uint32_t hash = static_cast<uint32_t>(HashText(text));
    const size_t mask = slots_.size() - 1;
    size_t slot = hash & mask;
    while (slots_[slot] != kFree)
        slot = (slot + 1) & mask;
    const int32_t code = size();
    entries_.push_back({Store(text), static_cast<uint32_t>(text.size()), hash});
    slots_[slot] = code;
    return code;
}

std::string_view Dictionary::Text(int32_t code) const {
    return {entries_[code].data, entries_[code].length};
}

size_t Dictionary::memory_bytes() const {
    return arena_bytes_ + entries_.capacity() * sizeof(Entry) + slots_.capacity() * sizeof(int32_t);
}

const char* Dictionary::Store(std::string_view text) {
    if (text.empty())
        return "";
    if (block_used_ + text.size() > block_size_) {
        block_size_ = std::max(kBlockBytes, text.size());
        blocks_.push_back(std::make_unique_for_overwrite<char[]>(block_size_));
        arena_bytes_ += block_size_;
        block_used_ = 0;
    }
    char* stored = blocks_.back().get() + block_used_;
    std::memcpy(stored, text.data(), text.size());
    block_used_ += text.size();
    return stored;
}

void Dictionary::Grow() {
    std::vector<int32_t> slots(slots_.size() * 2, kFree);
    const size_t mask = slots.size() - 1;
    for (int32_t code = 0; code < size(); ++code) {
        size_t slot = entries_[code].hash & mask;
        while (slots[slot] != kFree)
            slot = (slot + 1) & mask;
        slots[slot] = code;
    }
    slots_ = std::move(slots);
}

}  // namespace dlent
