#pragma once

#include <vector>

namespace dlent {

/// Sorts finite floats by radix, several times faster than by comparison. `scratch` is resized to the same
/// length.
void SortFloats(std::vector<float>* values, std::vector<float>* scratch);

/// A quantile of sorted values by linear interpolation between order statistics (numpy's default).
float SortedQuantile(const std::vector<float>& sorted, double quantile);

/// Strictly increasing edges for a piecewise-linear embedding of sorted values (docs/recipe.md, "Bin edges"):
/// where few distinct values occur, cuts at them; else the union of quantiles of the rows and of the distinct
/// values. Fewer than two edges when there is nothing to cut.
std::vector<float> EmbeddingEdges(const std::vector<float>& sorted);

}  // namespace dlent
