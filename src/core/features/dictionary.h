#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace dlent {

/// Interns the distinct texts of a category column in order of first sight: text → code 0, 1, 2, ... and
/// back. An open-addressing table over an arena, so that a lookup of a known text allocates nothing. Beyond
/// `max_levels` distinct texts every new one gets kOverflow and is counted, not kept.
class Dictionary {
 public:
    static constexpr int32_t kOverflow = -2;
    static constexpr int32_t kAbsent = -3;

    explicit Dictionary(int32_t max_levels = 1 << 20);

    /// The code of `text`, new or known; kOverflow beyond max_levels.
    int32_t Intern(std::string_view text);
    /// The code of `text`, or kAbsent.
    int32_t Find(std::string_view text) const;
    std::string_view Text(int32_t code) const;
    int32_t size() const { return static_cast<int32_t>(entries_.size()); }
    int64_t overflow_count() const { return overflow_count_; }
    size_t memory_bytes() const;

 private:
    struct Entry {
        const char* data;
        uint32_t length;
        uint32_t hash;
    };
    const char* Store(std::string_view text);
    void Grow();

    int32_t max_levels_;
    int64_t overflow_count_ = 0;
    std::vector<Entry> entries_;
    std::vector<int32_t> slots_;  ///< power of two; -1 = free
    std::vector<std::unique_ptr<char[]>> blocks_;
    size_t block_used_ = 0;
    size_t block_size_ = 0;
    size_t arena_bytes_ = 0;
};

}  // namespace dlent
