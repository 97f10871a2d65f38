#pragma once

#include <vector>

#include "core/explain/explained_features.h"
#include "core/features/pipeline.h"

namespace dlent {

/// What one feature of one row may be changed to: numbers between the least and the largest training value,
/// on the side that a direction allows; named levels that training saw. Nothing is ever changed to NULL.
class ChangeDomain {
 public:
    /// Empty: the feature stays as it is.
    ChangeDomain() = default;
    /// `from` as ExplainerStatistics::Value gives it. `direction`: +1 may only rise, -1 may only fall. About
    /// `points` candidates are proposed.
    ChangeDomain(const ExplainedFeature& feature, const Pipeline& pipeline, double from, int direction,
                 int points);

    bool empty() const { return candidates_.empty(); }
    bool categorical() const { return categorical_; }
    double from() const { return from_; }
    /// Values to try, nearest first; levels by falling frequency.
    const std::vector<double>& candidates() const { return candidates_; }

    /// In training deviations; 1 for another level or truth value. A NULL is as far from a number as the mean
    /// is, and 1 more.
    double Distance(double to) const;
    /// Where a change of a number starts from: its value, or the mean where it is NULL.
    double anchor() const { return anchor_; }
    /// The value of the feature's unit nearest to `value`, within the domain.
    double Snap(double value) const;
    /// A value about halfway, on the feature's unit; NaN when they are neighbours or as good as.
    double Between(double near, double far) const;
    /// The number that lies `distance` from where it was, on the side of `toward`, or the last one before the
    /// domain ends.
    double AtDistance(double distance, double toward) const;
    /// Rounder numbers that lie a little further out than `value`, the roundest first.
    std::vector<double> Rounded(double value) const;

 private:
    void ProposeLevels(const ExplainedFeature& feature, const Pipeline& pipeline);
    void ProposeNumbers(const ExplainedFeature& feature, int points);

    bool categorical_ = false;
    ColumnKind kind_ = ColumnKind::kNumeric;
    double from_ = 0.0;
    double anchor_ = 0.0;
    double low_ = 0.0;
    double high_ = 0.0;
    double scale_ = 1.0;
    double unit_ = 0.0;  ///< numbers are multiples of it; 0: any number
    std::vector<double> candidates_;
};

}  // namespace dlent
