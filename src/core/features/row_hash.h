#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/features/table.h"

namespace dlent {

/// A 64-bit hash of each row's content: every column but the ignored ones, categories by their text. Equal
/// rows have equal hashes wherever they lie, so order and folds that follow from hashes do not depend on the
/// physical order. Fails only when cancelled.
Expected<std::vector<uint64_t>> HashRows(const ColumnarTable& table, const CancelToken& cancel);

/// 128 bits in hex over all rows, the same in any order of the rows.
std::string DataFingerprint(std::span<const uint64_t> hashes);

/// `rows` by hash, then number: the order in which training sees them before it shuffles. Fails only when
/// cancelled.
Expected<std::vector<uint32_t>> CanonicalOrder(std::span<const uint64_t> hashes, std::vector<uint32_t> rows,
                                               const CancelToken& cancel);

}  // namespace dlent
