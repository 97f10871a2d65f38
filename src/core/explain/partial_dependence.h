#pragma once

#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/explain/explained_features.h"
#include "core/explain/row_set.h"
#include "core/model/scorer.h"

namespace dlent {

/// The quantiles of the rows' curves that are kept.
inline constexpr double kCurveQuantiles[] = {0.05, 0.25, 0.5, 0.75, 0.95};

/// One point of a plot: what the network answers when a feature of every row has this value.
struct DependencePoint {
    double value = 0.0;      ///< explained value: a number, a category's code, NaN for NULL
    int label = 0;           ///< class of several; 1 (the positive class) of two; 0 of a regression
    double mean = 0.0;       ///< over the rows: the partial dependence (Friedman 2001)
    double std_error = 0.0;  ///< of that mean
    double quantiles[5] =
        {};  ///< of the rows' own curves (individual conditional expectation, Goldstein 2015)
};

/// Of feature `f`, at about `points` values: numbers evenly by training frequency between the least and the
/// largest, categories at their `points` most frequent levels, and NULL where training saw it. By value, then
/// label; levels by falling frequency. kInvalidArgument, kNonFinite, kCancelled, kOutOfMemory.
Expected<std::vector<DependencePoint>> DependOn(const ExplainerStatistics& statistics, Scorer& scorer,
                                                const RowSet& rows, int f, int points,
                                                const CancelToken& cancel);

}  // namespace dlent
