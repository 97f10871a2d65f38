#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/random.h"
#include "core/profile/distinct.h"

namespace dlent {

/// What values a column has, as a profile looks at them.
enum class ProfileKind { kNumeric, kBoolean, kText, kTime };
const char* ProfileKindName(ProfileKind kind);

/// Everything that one pass over a column's values can tell, in bounded memory (some 400 kB).
class ColumnProfile {
 public:
    explicit ColumnProfile(ProfileKind kind) : kind_(kind), random_(1) {}

    void AddNull() { ++rows_, ++nulls_; }
    /// kNumeric; NaN and infinities are counted apart.
    void AddNumber(double value);
    /// kText and kBoolean.
    void AddText(std::string_view text);
    /// kTime: microseconds since 2000-01-01.
    void AddTime(int64_t microseconds);

    ProfileKind kind() const { return kind_; }
    uint64_t rows() const { return rows_; }
    uint64_t nulls() const { return nulls_; }
    uint64_t present() const { return rows_ - nulls_; }
    /// Exact for few values, else within a percent or two; at most present().
    double distinct() const;
    double singleton_share() const { return singletons_.SingletonShare(); }
    double minimum() const { return minimum_; }
    double maximum() const { return maximum_; }
    uint64_t finite() const { return moments_; }
    /// Of a random sample of 10,000 values, by linear interpolation; NaN without values.
    double Quantile(double share) const;
    int64_t first_time() const { return first_time_; }
    int64_t last_time() const { return last_time_; }

    struct TopValue {
        std::string text;
        uint64_t count = 0;
    };
    /// Most frequent first. `complete`: they are all there are.
    std::vector<TopValue> Top(size_t most) const;
    bool counts_exact() const { return kind_ == ProfileKind::kNumeric ? numbers_.exact() : texts_.exact(); }
    size_t counted() const {
        return kind_ == ProfileKind::kNumeric ? numbers_.counts().size() : texts_.counts().size();
    }

    /// Times are left to the caller, who knows how to write them.
    Json ToJson() const;

 private:
    void AddHash(uint64_t hash);
    std::optional<double> Entropy() const;

    ProfileKind kind_;
    uint64_t rows_ = 0;
    uint64_t nulls_ = 0;
    HyperLogLog distinct_;
    SingletonSample singletons_;

    FrequentItems<double> numbers_;
    FrequentItems<std::string> texts_;
    uint64_t nans_ = 0;
    uint64_t infinities_ = 0;
    uint64_t zeros_ = 0;
    uint64_t negatives_ = 0;
    double minimum_ = 0.0;
    double maximum_ = 0.0;
    uint64_t moments_ = 0;  ///< values that these are of
    double mean_ = 0.0;
    double m2_ = 0.0;
    double m3_ = 0.0;
    double m4_ = 0.0;
    RandomStream random_;
    mutable std::vector<double> sample_;
    mutable bool sample_sorted_ = false;

    uint64_t empty_ = 0;
    uint64_t shortest_ = 0;
    uint64_t longest_ = 0;
    double length_sum_ = 0.0;
    uint64_t look_like_integers_ = 0;
    uint64_t look_like_numbers_ = 0;

    int64_t first_time_ = 0;
    int64_t last_time_ = 0;
};

}  // namespace dlent
