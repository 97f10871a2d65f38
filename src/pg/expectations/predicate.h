#pragma once

#include "pg/bridge/postgres.h"

namespace dlent::pg {

// Raises PostgreSQL errors: call it from frames without destructors.

/// What a predicate asks for beside the columns of the rows.
struct PredicateFacts {
    bool prediction = false;  ///< a column of that name: what dlent_predict() answers
    bool label = false;       ///< predicted_label: what dlent_classify() answers
};

/// Parses `text` as one SQL expression: not a list, a clause or a statement, so that it can stand between
/// parentheses in a query without changing what is around it. 42601 with the position within the predicate.
PredicateFacts ParsePredicate(const char* name, const char* text);

/// The schemas of the current search path, as a list that can be set again; temporary ones last.
const char* EffectiveSearchPath();

}  // namespace dlent::pg
