#pragma once

#include "core/base/json.h"

namespace dlent {

// The long form of a "dlent.explanation/1": rows of tables, their columns by name, NULL as null. What a
// document does not say (one for customers) is null.

/// What a row for the whole explanation takes from the document: class, predicted, probability, threshold,
/// prediction, baseline, local_prediction, residual, fidelity_r2, min_rank_gap_z, grade, probe_id. Of several
/// classes the first.
Json ExplanationRow(const Json& document);

/// A row for each feature of each class: label (from 1), class, rank, feature, value_text, value_num,
/// condition, contribution, std_error, direction, rank_tied, reason_code, reason_text.
Json FeatureRows(const Json& document);

/// A row for each change: n and position (from 1), feature, from, to, new_value, class, value, flips.
Json CounterfactualRows(const Json& document);

}  // namespace dlent
