#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/features/table.h"

namespace dlent {

/// One answer of a version, or what it would have answered, on its way to the table of predictions. A text
/// without data is NULL.
struct PredictionRecord {
    uint32_t catalog = 0;  ///< whose version it is, where numbers begin anew
    int64_t version_id = 0;
    int64_t rollout_id = 0;  ///< 0: none
    int32_t arm = -1;        ///< −1: takes no part
    bool shadow = false;
    int64_t request = 0;  ///< shared by the answer of a row and those of shadows
    int64_t time = 0;     ///< microseconds since 2000-01-01 UTC
    uint64_t digest = 0;  ///< DigestOfCells()
    float score = std::numeric_limits<float>::quiet_NaN();    ///< value, or probability
    int32_t label = -1;                                       ///< class; −1: none
    float latency = std::numeric_limits<float>::quiet_NaN();  ///< microseconds
    std::string_view unit;
    std::string_view key;
    std::string_view error;
    std::span<const Cell> cells;           ///< empty: not recorded
    std::span<const float> probabilities;  ///< of each class, at most kMostProbabilities; likewise

    static constexpr size_t kMostProbabilities = 1000;

    /// Replaces `bytes`.
    void Encode(std::vector<std::byte>* bytes) const;
    /// Texts, cells and probabilities stay in `bytes`, which are aligned as a Cell. False when they are no
    /// record.
    static bool Decode(std::span<const std::byte> bytes, PredictionRecord* record);
};

/// A 64-bit hash of a row's features as a version saw them; NULLs are all alike.
uint64_t DigestOfCells(std::span<const Cell> cells);

/// How a unit or a key is recorded: as it is, or, beyond kLongestRecordedText bytes, as "sha256:" and the hex
/// digits of its SHA-256, by which it can still be found.
constexpr size_t kLongestRecordedText = 512;
std::string RecordedText(std::string_view text);

}  // namespace dlent
