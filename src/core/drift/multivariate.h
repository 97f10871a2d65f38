#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"

namespace dlent {

/// Rows of numbers, [rows × columns], finite and of comparable scale.
struct RowsView {
    const float* values = nullptr;
    size_t rows = 0;
    size_t columns = 0;
    const float* row(size_t i) const { return values + i * columns; }
};

/// Unbiased squared maximum mean discrepancy with the kernel exp(−d² / (2 σ²)). `sigma_squared` 0: half the
/// median squared distance of all pairs. NaN with fewer than two rows on a side.
double MmdUnbiased(const RowsView& x, const RowsView& y, double sigma_squared = 0.0);

struct MmdResult {
    double statistic = 0.0;
    double p_value = 1.0;  ///< (k + 1) / (permutations + 1): never 0
    double sigma_squared = 0.0;
    int permutations = 0;
};
/// The kernel matrix of all rows is held: 8 (n + m)² bytes. kCancelled.
Expected<MmdResult> MmdTest(const RowsView& x, const RowsView& y, int permutations, uint64_t seed,
                            const CancelToken& cancel);

struct ClassifierTestResult {
    double roc_auc = 0.5;  ///< out of fold
    double p_value = 1.0;  ///< one-sided, by the normal limit of the rank sum
};
/// Can a small network (one hidden layer) tell the samples apart? Trained in 5 folds, judged on the rows each
/// has not seen (Lopez-Paz and Oquab 2017). kCancelled.
Expected<ClassifierTestResult> ClassifierTest(const RowsView& x, const RowsView& y, uint64_t seed,
                                              const CancelToken& cancel);

}  // namespace dlent
