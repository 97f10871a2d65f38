#include "core/observe/prediction_record.h"

#include <cmath>
#include <cstring>

#include "core/base/random.h"
#include "core/formats/sha256.h"

namespace dlent {
namespace {

constexpr uint32_t kNull = std::numeric_limits<uint32_t>::max();

/// What stands at the beginning of a record; cells and probabilities follow, then the three texts.
struct Head {
    int64_t version_id;
    int64_t rollout_id;
    int64_t request;
    int64_t time;
    uint64_t digest;
    uint32_t catalog;
    int32_t arm;
    float score;
    int32_t label;
    float latency;
    uint16_t shadow;
    uint16_t probabilities;
    uint32_t cells;
    uint32_t texts[3];  ///< bytes, or kNull
};

/// NaN and zero have several forms; codes, which are small or −1, look like none of them.
uint32_t CanonicalBits(Cell cell) {
    const auto bits = static_cast<uint32_t>(cell.code);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u && cell.code != -1)
        return 0x7fc00000u;
    return magnitude == 0 ? 0 : bits;
}

uint32_t LengthOf(std::string_view text) {
    return text.data() == nullptr ? kNull : static_cast<uint32_t>(text.size());
}

}  // namespace

void PredictionRecord::Encode(std::vector<std::byte>* bytes) const {
    Head head{version_id,
              rollout_id,
              request,
              time,
              digest,
              catalog,
              arm,
              score,
              label,
              latency,
              shadow,
              static_cast<uint16_t>(probabilities.size()),
              static_cast<uint32_t>(cells.size()),
              {LengthOf(unit), LengthOf(key), LengthOf(error)}};
    bytes->resize(sizeof(head) + cells.size_bytes() + probabilities.size_bytes() + unit.size() + key.size() +
                  error.size());
    std::byte* out = bytes->data();
    const auto put = [&out](const void* data, size_t size) {
        if (size > 0)
            std::memcpy(out, data, size);
        out += size;
    };
    put(&head, sizeof(head));
    put(cells.data(), cells.size_bytes());
    put(probabilities.data(), probabilities.size_bytes());
    for (const std::string_view text : {unit, key, error})
        put(text.data(), text.size());
}

bool PredictionRecord::Decode(std::span<const std::byte> bytes, PredictionRecord* record) {
    Head head;
    if (bytes.size() < sizeof(head))
        return false;
    std::memcpy(&head, bytes.data(), sizeof(head));
    size_t expected = sizeof(head) + head.cells * sizeof(Cell) + head.probabilities * sizeof(float);
    for (const uint32_t length : head.texts)
        expected += length == kNull ? 0 : length;
    if (bytes.size() != expected)
        return false;
    const std::byte* in = bytes.data() + sizeof(head);
    record->cells = {reinterpret_cast<const Cell*>(in), head.cells};
    in += head.cells * sizeof(Cell);
    record->probabilities = {reinterpret_cast<const float*>(in), head.probabilities};
    in += head.probabilities * sizeof(float);
    std::string_view* const texts[] = {&record->unit, &record->key, &record->error};
    for (size_t i = 0; i < 3; ++i) {
        const bool is_null = head.texts[i] == kNull;
        *texts[i] =
            is_null ? std::string_view() : std::string_view(reinterpret_cast<const char*>(in), head.texts[i]);
        in += is_null ? 0 : head.texts[i];
    }
    record->catalog = head.catalog;
    record->version_id = head.version_id;
    record->rollout_id = head.rollout_id;
    record->arm = head.arm;
    record->shadow = head.shadow != 0;
    record->request = head.request;
    record->time = head.time;
    record->digest = head.digest;
    record->score = head.score;
    record->label = head.label;
    record->latency = head.latency;
    return true;
}

uint64_t DigestOfCells(std::span<const Cell> cells) {
    uint64_t hash = cells.size();
    size_t i = 0;
    for (; i + 2 <= cells.size(); i += 2)
        hash = Mix64(hash ^
                     (static_cast<uint64_t>(CanonicalBits(cells[i + 1])) << 32 | CanonicalBits(cells[i])));
    return i < cells.size() ? Mix64(hash ^ CanonicalBits(cells[i])) : hash;
}

std::string RecordedText(std::string_view text) {
    if (text.size() <= kLongestRecordedText)
        return std::string(text);
    return "sha256:" + Sha256Hex(text);
}

}  // namespace dlent
