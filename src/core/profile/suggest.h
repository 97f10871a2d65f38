#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/profile/column_profile.h"

namespace dlent {

/// The lower end of Wilson's interval for a share `hits` of n at 95 %.
double WilsonLowerBound(double hits, double n);

/// An expectation that a profile makes likely. `name` is a suffix: the caller puts the column before it.
struct Suggestion {
    std::string rule;  ///< "complete", "mostly_complete", "domain", "mostly_domain", "non_negative", "range",
                       ///< "unique"
    std::string predicate;  ///< SQL
    double tolerance = 0.0;
    Json observed;
    Json bound;
};

/// What rows of a column could be expected to be, after deequ's rules, with honest bounds: shares by Wilson's
/// interval, ranges beyond the 1 and 99 % quantiles by three interquartile ranges. `quoted` is the column as
/// SQL writes it. Rule "unique" is a guess that the caller verifies.
std::vector<Suggestion> SuggestExpectations(const ColumnProfile& profile, const std::string& quoted);

/// 'text' as SQL writes it, whatever standard_conforming_strings says.
std::string SqlLiteral(const std::string& text);

}  // namespace dlent
