#include "core/features/row_hash.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "core/base/random.h"
#include "core/base/sort.h"
#include "core/features/text_hash.h"

namespace dlent {
namespace {

/// One multiplication a cell; Mix64 finishes each row.
uint64_t Combine(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9fb21c651e98df25ULL;
    return hash ^ (hash >> 32);
}

/// NaNs are one NULL, and the two zeros one number.
uint64_t FloatBits(float value) {
    if (std::isnan(value))
        return 0x7fc00000u;
    return std::bit_cast<uint32_t>(value + 0.0f);
}

}  // namespace

Expected<std::vector<uint64_t>> HashRows(const ColumnarTable& table, const CancelToken& cancel) {
    std::vector<uint64_t> hashes(table.rows(), 0x6a09e667f3bcc909ULL);
    for (size_t c = 0; c < table.columns().size(); ++c) {
        const ColumnDefinition& column = table.columns()[c];
        if (column.role == ColumnRole::kIgnored)
            continue;
        const int first = table.first_cell(static_cast<int>(c));
        std::vector<uint64_t> texts;
        if (column.kind == ColumnKind::kCategory) {
            const Dictionary& dictionary = table.dictionary(static_cast<int>(c));
            for (int32_t code = 0; code < dictionary.size(); ++code)
                texts.push_back(HashText(dictionary.Text(code)));
        }
        for (int cell = first; cell < first + column.width; ++cell) {
            for (size_t chunk = 0; chunk < table.chunk_count(); ++chunk) {
                if (cancel.IsCancelled())
                    return Status::Cancelled();
                const size_t begin = chunk * ColumnarTable::kChunkRows;
                const size_t count =
                    std::min(ColumnarTable::kChunkRows, table.rows() - std::min(begin, table.rows()));
                uint64_t* out = hashes.data() + begin;
                if (column.kind == ColumnKind::kCategory) {
                    const int32_t* codes = table.CodeChunk(cell, chunk);
                    for (size_t i = 0; i < count; ++i)
                        out[i] = Combine(out[i],
                                         codes[i] >= 0 ? texts[codes[i]] : static_cast<uint64_t>(-codes[i]));
                } else {
                    const float* values = table.FloatChunk(cell, chunk);
                    for (size_t i = 0; i < count; ++i)
                        out[i] = Combine(out[i], FloatBits(values[i]));
                }
            }
        }
    }
    for (uint64_t& hash : hashes)
        hash = Mix64(hash);
    return hashes;
}

std::string DataFingerprint(std::span<const uint64_t> hashes) {
    uint64_t sum = hashes.size();
    uint64_t mixed_sum = Mix64(hashes.size());
    for (const uint64_t hash : hashes) {
        sum += hash;
        mixed_sum += Mix64(hash ^ 0x5851f42d4c957f2dULL);
    }
    std::string hex;
    for (const uint64_t part : {Mix64(sum), Mix64(mixed_sum)}) {
        for (int shift = 60; shift >= 0; shift -= 4)
            hex += "0123456789abcdef"[(part >> shift) & 15];
    }
    return hex;
}

Expected<std::vector<uint32_t>> CanonicalOrder(std::span<const uint64_t> hashes, std::vector<uint32_t> rows,
                                               const CancelToken& cancel) {
    // Rows are dealt by the first bits of their hash into buckets in order, and each bucket is sorted alone:
    // what that takes beside the rows fits the cache, however many rows there are.
    constexpr size_t kBucketRows = 1 << 13;
    const int bits = std::bit_width(std::min<size_t>(rows.size() / kBucketRows, 1 << 15));
    const auto bucket_of = [&hashes, bits](uint32_t row) {
        return bits == 0 ? 0 : static_cast<size_t>(hashes[row] >> (64 - bits));
    };
    std::vector<size_t> ends((size_t{1} << bits) + 1);
    for (const uint32_t row : rows)
        ++ends[bucket_of(row) + 1];
    std::partial_sum(ends.begin(), ends.end(), ends.begin());
    std::vector<uint32_t> ordered(rows.size());
    for (const uint32_t row : rows)
        ordered[ends[bucket_of(row)]++] = row;  // what was a bucket's beginning becomes its end
    std::vector<uint32_t>().swap(rows);
    if (cancel.IsCancelled())
        return Status::Cancelled();

    // pairs sort without a look-up a comparison
    std::vector<std::pair<uint64_t, uint32_t>> keyed;
    size_t begin = 0;
    for (size_t bucket = 0; bucket + 1 < ends.size(); ++bucket) {
        const size_t end = ends[bucket];
        keyed.clear();
        for (size_t i = begin; i < end; ++i)
            keyed.emplace_back(hashes[ordered[i]], ordered[i]);
        if (!CancellableSort(&keyed, cancel))
            return Status::Cancelled();
        for (size_t i = begin; i < end; ++i)
            ordered[i] = keyed[i - begin].second;
        begin = end;
    }
    return ordered;
}

}  // namespace dlent
