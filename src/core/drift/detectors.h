#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "core/base/random.h"

namespace dlent {

// Detectors of change in a stream of values: errors, losses, outcomes. They have river's semantics and
// defaults; each starts anew with the value after an alarm (ADWIN only forgets what was before).

/// ADWIN (Bifet and Gavaldà 2007): a window that is cut as long as two of its parts have means that differ by
/// more than chance at level `delta`. Checked every 32 values; memory is logarithmic in the window.
class Adwin {
 public:
    explicit Adwin(double delta = 0.002) : delta_(delta) {}
    /// True when the window was cut.
    bool Update(double value);
    double mean() const { return width_ > 0.0 ? total_ / width_ : 0.0; }
    double width() const { return width_; }

 private:
    struct Bucket {
        double total;
        double variance;  ///< sum of squared deviations
    };
    void Compress();
    void DropOldest();
    bool Shrink();
    bool IsCut(double n0, double n1, double difference) const;

    double delta_;
    double total_ = 0.0;
    double variance_ = 0.0;
    double width_ = 0.0;
    int64_t tick_ = 0;
    /// Row r holds buckets of 2^r values, the oldest first; the oldest of all are in the last row.
    std::vector<std::vector<Bucket>> rows_;
};

/// Page and Hinkley's test for a rising mean.
class PageHinkley {
 public:
    explicit PageHinkley(double threshold = 50.0, double delta = 0.005, double alpha = 1.0 - 0.0001,
                         int64_t min_instances = 30)
        : threshold_(threshold), delta_(delta), alpha_(alpha), min_instances_(min_instances) {}
    bool Update(double value);

 private:
    double threshold_;
    double delta_;
    double alpha_;
    int64_t min_instances_;
    bool alarm_ = false;
    int64_t count_ = 1;
    double mean_ = 0.0;
    double sum_ = 0.0;
};

/// KSWIN (Raab et al. 2020): the last 30 of a window of 100 against 30 drawn from the older ones.
class Kswin {
 public:
    explicit Kswin(uint64_t seed, double alpha = 0.005, size_t window = 100, size_t recent = 30)
        : alpha_(alpha), window_(window), recent_(recent), random_(seed) {}
    bool Update(double value);

 private:
    double alpha_;
    size_t window_;
    size_t recent_;
    RandomStream random_;
    std::deque<double> values_;
    bool alarm_ = false;
};

/// DDM (Gama et al. 2004) on errors, 0 or 1.
class Ddm {
 public:
    enum class State { kQuiet, kWarning, kDrift };
    State Update(bool error);

 private:
    static constexpr int64_t kWarmUp = 30;
    State state_ = State::kQuiet;
    int64_t count_ = 0;
    double errors_ = 0.0;
    double p_min_ = 0.0;
    double s_min_ = 0.0;
    bool has_minimum_ = false;
};

}  // namespace dlent
