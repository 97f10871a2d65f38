#include "core/drift/detectors.h"

#include <algorithm>
#include <cmath>

#include "core/base/cancel.h"
#include "core/drift/tests.h"

namespace dlent {
namespace {

constexpr size_t kMaxBuckets = 5;
constexpr int64_t kClock = 32;
constexpr double kGrace = 10.0;
constexpr double kMinWindow = 5.0;

/// Squared deviations that joining two sets of n0 and n1 values adds, by their means.
double Between(double n0, double mean0, double n1, double mean1) {
    return n0 * n1 * (mean0 - mean1) * (mean0 - mean1) / (n0 + n1);
}

}  // namespace

bool Adwin::Update(double value) {
    if (rows_.empty())
        rows_.emplace_back();
    if (width_ > 0.0)
        variance_ += Between(width_, total_ / width_, 1.0, value);
    rows_[0].push_back({value, 0.0});
    total_ += value;
    width_ += 1.0;
    Compress();
    ++tick_;
    if (tick_ % kClock != 0 || width_ <= kGrace)
        return false;
    bool changed = false;
    while (Shrink())
        changed = true;
    return changed;
}

void Adwin::Compress() {
    for (size_t row = 0; row < rows_.size() && rows_[row].size() > kMaxBuckets; ++row) {
        if (row + 1 == rows_.size())
            rows_.emplace_back();
        std::vector<Bucket>& buckets = rows_[row];
        const double size = std::ldexp(1.0, static_cast<int>(row));
        rows_[row + 1].push_back({buckets[0].total + buckets[1].total,
                                  buckets[0].variance + buckets[1].variance +
                                      Between(size, buckets[0].total / size, size, buckets[1].total / size)});
        buckets.erase(buckets.begin(), buckets.begin() + 2);
    }
}

void Adwin::DropOldest() {
    const double size = std::ldexp(1.0, static_cast<int>(rows_.size()) - 1);
    const Bucket oldest = rows_.back().front();
    width_ -= size;
    total_ -= oldest.total;
    variance_ -= oldest.variance + Between(size, oldest.total / size, width_, total_ / width_);
    rows_.back().erase(rows_.back().begin());
    if (rows_.back().empty())
        rows_.pop_back();
}

/// Drops the oldest bucket when some cut separates two different means.
bool Adwin::Shrink() {
    double n0 = 0.0;
    double u0 = 0.0;
    for (size_t row = rows_.size(); row > 0; --row) {
        const double size = std::ldexp(1.0, static_cast<int>(row) - 1);
        // the newest bucket of a row is never cut off alone
        for (size_t i = 0; i + 1 < rows_[row - 1].size(); ++i) {
            n0 += size;
            u0 += rows_[row - 1][i].total;
            const double n1 = width_ - n0;
            if (n0 >= kMinWindow && n1 >= kMinWindow && IsCut(n0, n1, u0 / n0 - (total_ - u0) / n1)) {
                DropOldest();
                return true;
            }
        }
    }
    return false;
}

bool Adwin::IsCut(double n0, double n1, double difference) const {
    const double spread = std::log(2.0 * std::log(width_) / delta_);
    const double recip = 1.0 / (n0 - kMinWindow + 1.0) + 1.0 / (n1 - kMinWindow + 1.0);
    const double bound = std::sqrt(2.0 * recip * (variance_ / width_) * spread) + 2.0 / 3.0 * spread * recip;
    return std::abs(difference) > bound;
}

bool PageHinkley::Update(double value) {
    if (alarm_) {
        count_ = 1;
        mean_ = 0.0;
        sum_ = 0.0;
    }
    mean_ += (value - mean_) / static_cast<double>(count_);
    sum_ = std::max(0.0, alpha_ * sum_ + (value - mean_ - delta_));
    ++count_;
    alarm_ = count_ >= min_instances_ && sum_ >= threshold_;
    return alarm_;
}

bool Kswin::Update(double value) {
    values_.push_back(value);
    if (values_.size() > window_)
        values_.pop_front();
    alarm_ = false;
    if (values_.size() < window_)
        return false;
    std::vector<double> older(values_.begin(), values_.end() - static_cast<ptrdiff_t>(recent_));
    std::vector<double> recent(values_.end() - static_cast<ptrdiff_t>(recent_), values_.end());
    random_.Shuffle(older.data(), older.size());
    older.resize(std::min(recent_, older.size()));
    std::sort(older.begin(), older.end());
    std::vector<double> sorted = recent;
    std::sort(sorted.begin(), sorted.end());
    const Expected<TestResult> test =
        KolmogorovSmirnovTest(older, sorted, SmirnovMethod::kExact, NeverCancelled());
    alarm_ = test.ok() && test->p_value <= alpha_ && test->statistic > 0.1;
    if (alarm_)
        values_.assign(recent.begin(), recent.end());
    return alarm_;
}

Ddm::State Ddm::Update(bool error) {
    if (state_ == State::kDrift) {
        count_ = 0;
        errors_ = 0.0;
        has_minimum_ = false;
    }
    state_ = State::kQuiet;
    ++count_;
    errors_ += error ? 1.0 : 0.0;
    if (count_ <= kWarmUp)
        return state_;
    const double p = errors_ / static_cast<double>(count_);
    const double s = std::sqrt(p * (1.0 - p) / static_cast<double>(count_));
    if (!has_minimum_ || p + s <= p_min_ + s_min_) {
        p_min_ = p;
        s_min_ = s;
        has_minimum_ = true;
    }
    if (p + s > p_min_ + 3.0 * s_min_)
        state_ = State::kDrift;
    else if (p + s > p_min_ + 2.0 * s_min_)
        state_ = State::kWarning;
    return state_;
}

}  // namespace dlent
