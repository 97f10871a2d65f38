#include "core/explain/change_domain.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dlent {
namespace {

constexpr size_t kMaxLevels = 256;
/// A bisection ends when what is left is this share of the change.
constexpr double kResolution = 1e-3;
/// How much further a rounder number may lie.
constexpr double kRounding = 0.02;
constexpr double kMinutesADay = 1440.0;

/// The unit that changed values are multiples of: no finer than a user would say it.
double UnitOf(const ExplainedFeature& feature) {
    switch (feature.kind) {
        case ColumnKind::kDate:
        case ColumnKind::kTime:
            return 1.0;
        case ColumnKind::kTimestamp:
            return 1.0 / kMinutesADay;
        default:
            return feature.integral ? 1.0 : 0.0;
    }
}

/// Whether a network would see the same number.
bool SameCell(double a, double b) {
    return static_cast<float>(a) == static_cast<float>(b);
}

}  // namespace

ChangeDomain::ChangeDomain(const ExplainedFeature& feature, const Pipeline& pipeline, double from,
                           int direction, int points)
    : categorical_(feature.categorical), kind_(feature.kind), from_(from), anchor_(from) {
    if (feature.kind == ColumnKind::kCategory) {
        ProposeLevels(feature, pipeline);
        return;
    }
    unit_ = UnitOf(feature);
    low_ = feature.minimum;
    high_ = feature.maximum;
    if (categorical_) {  // false and true
        low_ = feature.level_counts[0] > 0 ? 0.0 : 1.0;
        high_ = feature.level_counts[1] > 0 ? 1.0 : 0.0;
    } else if (unit_ > 0.0) {
        low_ = std::ceil(low_ / unit_) * unit_;
        high_ = std::floor(high_ / unit_) * unit_;
    }
    if (std::isnan(from))
        anchor_ = feature.mean;
    else if (direction > 0)
        low_ = std::max(low_, from);
    else if (direction < 0)
        high_ = std::min(high_, from);
    scale_ = feature.standard_deviation > 0.0 ? feature.standard_deviation : 1.0;
    if (!(low_ <= high_))
        return;
    if (categorical_) {
        for (const double value : {high_, low_}) {
            if (value != from && (candidates_.empty() || candidates_.front() != value))
                candidates_.push_back(value);
        }
        return;
    }
    ProposeNumbers(feature, points);
}

void ChangeDomain::ProposeLevels(const ExplainedFeature& feature, const Pipeline& pipeline) {
    // codes after the levels are unseen texts and NULL, which nobody can be told to become
    const size_t levels =
        std::min(pipeline.inputs()[feature.input].levels.size(), feature.level_counts.size());
    std::vector<size_t> codes;
    for (size_t code = 0; code < levels; ++code) {
        if (feature.level_counts[code] > 0 && static_cast<double>(code) != from_)
            codes.push_back(code);
    }
    std::stable_sort(codes.begin(), codes.end(),
                     [&](size_t a, size_t b) { return feature.level_counts[a] > feature.level_counts[b]; });
    codes.resize(std::min(codes.size(), kMaxLevels));
    candidates_.assign(codes.begin(), codes.end());
}

void ChangeDomain::ProposeNumbers(const ExplainedFeature& feature, int points) {
    std::vector<double> values = {low_, high_};
    // evenly by frequency, ...
    std::vector<double> knots = {feature.minimum};
    knots.insert(knots.end(), feature.decile.edges.begin(), feature.decile.edges.end());
    knots.push_back(feature.maximum);
    const int pieces = std::max(1, points / 2 / static_cast<int>(knots.size()));
    for (size_t k = 0; k + 1 < knots.size(); ++k) {
        for (int piece = 0; piece < pieces; ++piece)
            values.push_back(knots[k] + (knots[k + 1] - knots[k]) * piece / pieces);
    }
    // ... where classes part, on both sides of the edge, ...
    for (const double edge : feature.entropy.edges) {
        values.push_back(edge);
        values.push_back(edge + 0.01 * scale_);
    }
    // ... and ever closer to where the row is
    for (int step = 0; step < points / 4; ++step) {
        const double offset = scale_ * std::exp2(2.0 - step * 0.75);
        values.push_back(anchor_ - offset);
        values.push_back(anchor_ + offset);
    }
    if (kind_ == ColumnKind::kTimestamp || kind_ == ColumnKind::kDate) {
        for (const double days : {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}) {  // the day of the week, the hour
            values.insert(values.end(), {anchor_ - days, anchor_ + days});
            if (kind_ == ColumnKind::kTimestamp)
                values.insert(values.end(), {anchor_ - days / 12.0, anchor_ + days / 12.0});
        }
    }
    for (double& value : values)
        value = Snap(value);
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end(), SameCell), values.end());
    for (const double value : values) {
        if (!SameCell(value, from_))
            candidates_.push_back(value);
    }
    std::stable_sort(candidates_.begin(), candidates_.end(),
                     [this](double a, double b) { return Distance(a) < Distance(b); });
}

double ChangeDomain::Distance(double to) const {
    if (categorical_)
        return to == from_ ? 0.0 : 1.0;
    return std::abs(to - anchor_) / scale_ + (std::isnan(from_) ? 1.0 : 0.0);
}

double ChangeDomain::Snap(double value) const {
    if (unit_ > 0.0)
        value = unit_ < 1.0 ? std::round(value * kMinutesADay) / kMinutesADay : std::round(value);
    return std::clamp(value, low_, high_);
}

double ChangeDomain::Between(double near, double far) const {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    const double tolerance = kResolution * std::max(std::abs(far - anchor_), kResolution * scale_);
    if (categorical_ || std::abs(far - near) <= std::max(tolerance, unit_ * 1.000001))
        return kNone;
    const double middle = Snap(near + (far - near) / 2.0);
    return SameCell(middle, near) || SameCell(middle, far) ? kNone : middle;
}

double ChangeDomain::AtDistance(double distance, double toward) const {
    const double offset = (distance - (std::isnan(from_) ? 1.0 : 0.0)) * scale_;
    if (offset <= 0.0)
        return Snap(anchor_);
    return Snap(toward >= anchor_ ? anchor_ + offset : anchor_ - offset);
}

std::vector<double> ChangeDomain::Rounded(double value) const {
    std::vector<double> rounded;
    const double slack = kRounding * std::abs(value - anchor_);
    if (categorical_ || slack <= 0.0)
        return rounded;
    const bool up = value > anchor_;
    auto offer = [&](double candidate) {
        if (std::abs(candidate - value) <= slack && candidate >= low_ && candidate <= high_)
            rounded.push_back(candidate);
    };
    auto multiple = [up](double quotient) {
        const double nearest = std::round(quotient);
        if (std::abs(quotient - nearest) < 1e-9 * std::max(1.0, std::abs(nearest)))
            return nearest;
        return up ? std::ceil(quotient) : std::floor(quotient);
    };
    if (kind_ == ColumnKind::kTimestamp || kind_ == ColumnKind::kTime) {
        const double day = kind_ == ColumnKind::kTimestamp ? 1.0 : 86400.0;
        for (const double a_day : {1.0, 24.0, 96.0, kMinutesADay})
            offer(multiple(value * (a_day / day)) / (a_day / day));
        return rounded;
    }
    constexpr int kDigits = 6;
    const int coarsest = static_cast<int>(std::floor(std::log10(slack))) + 1;
    for (int exponent = coarsest; exponent > coarsest - kDigits; --exponent) {
        if (exponent < 0 && unit_ > 0.0)
            break;
        // dividing by a whole power of ten gives the decimal's own double
        const double power = std::pow(10.0, std::abs(exponent));
        offer(exponent >= 0 ? multiple(value / power) * power : multiple(value * power) / power);
    }
    return rounded;
}

}  // namespace dlent
