#pragma once

#include <cstdint>

namespace dlent {

/// Rows of one weight lie together: words [begin, end) of 64 rows each.
struct WeightGroup {
    int begin = 0;
    int end = 0;
    double weight = 0.0;
};

/// The inner loops of the explainer, one text (explainer_kernels.inl) compiled once per instruction set. All
/// sums run in eight lanes of double, joined in one order, without fused products: every set gives the same
/// bits.
struct ExplainerKernels {
    const char* name;

    /// Turns 64 words of 64 bits: bit i of to[j · to_stride] = bit j of from[i · from_stride].
    void (*transpose)(const uint64_t* from, int from_stride, uint64_t* to, int to_stride);
    /// gram[i · features + j] and its mirror = Σ weight · (rows whose bits i and j are both set), for i in
    /// [first, last) and j >= i. bits[w · stride + f] holds 64 rows of feature f; `stride` is a multiple of 8
    /// and at least `features`. Exact but for the last product and sum.
    void (*joint_weights)(const uint64_t* bits, int stride, int features, int first, int last,
                          const WeightGroup* groups, int group_count, double* gram);
    /// sums[f] = Σ values[row] over the rows whose bit is set.
    void (*masked_sums)(const uint64_t* bits, int stride, int features, int words, const double* values,
                        double* sums);
    /// products[i] = Σ_r a[r] · columns[i · count + r], i < column_count; `count` is a multiple of 8.
    void (*dot_products)(const double* a, const double* columns, int column_count, int count,
                         double* products);
    /// values[i] = NormalQuantile(values[i]) (core/explain/elementary.h).
    void (*normal_quantiles)(int count, double* values);
    /// Residuals e = y − Σ_j coefficients[j] · columns[j · count + r]: returns Σ w·e², and adds up meat[i · k
    /// + j] = Σ w²·e²·x_i·x_j for j <= i. `count` is a multiple of 8.
    double (*residuals)(int k, int count, const double* columns, const double* coefficients,
                        const double* weights, const double* y, double* meat);
};

/// For processors that we know nothing of.
const ExplainerKernels& PortableExplainerKernels();

}  // namespace dlent
