#include "core/profile/column_profile.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "core/features/text_hash.h"

namespace dlent {
namespace {

constexpr size_t kSampleValues = 10000;
constexpr size_t kTopValues = 20;
constexpr size_t kLongestKey = 200;
constexpr double kQuantiles[] = {0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99};

std::string NumberText(double value) {
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value);
    return std::string(buffer, end.ptr);
}

}  // namespace

const char* ProfileKindName(ProfileKind kind) {
    constexpr const char* kNames[] = {"numeric", "boolean", "text", "time"};
    return kNames[static_cast<int>(kind)];
}

void ColumnProfile::AddHash(uint64_t hash) {
    distinct_.Add(hash);
    singletons_.Add(hash);
}

void ColumnProfile::AddNumber(double value) {
    ++rows_;
    if (value == 0.0)
        value = 0.0;  // −0 is 0
    AddHash(
        Mix64(std::bit_cast<uint64_t>(std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value)));
    if (std::isnan(value)) {
        ++nans_;
        return;
    }
    if (std::isinf(value)) {
        ++infinities_;
        return;
    }
    numbers_.Add(value);
    zeros_ += value == 0.0;
    negatives_ += value < 0.0;
    minimum_ = moments_ == 0 ? value : std::min(minimum_, value);
    maximum_ = moments_ == 0 ? value : std::max(maximum_, value);
    // Pébay 2008
    const double before = static_cast<double>(moments_);
    ++moments_;
    const double n = static_cast<double>(moments_);
    const double delta = value - mean_;
    const double step = delta / n;
    const double step2 = step * step;
    const double term = delta * step * before;
    mean_ += step;
    m4_ += term * step2 * (n * n - 3.0 * n + 3.0) + 6.0 * step2 * m2_ - 4.0 * step * m3_;
    m3_ += term * step * (n - 2.0) - 3.0 * step * m2_;
    m2_ += term;
    if (sample_.size() < kSampleValues) {
        sample_.push_back(value);
    } else if (const uint64_t place = random_.NextU64() % moments_; place < kSampleValues) {
        sample_[place] = value;
    }
    sample_sorted_ = false;
}

void ColumnProfile::AddText(std::string_view text) {
    ++rows_;
    AddHash(Mix64(HashText(text)));
    texts_.Add(text.substr(0, kLongestKey));
    empty_ += text.empty();
    shortest_ = present() == 1 ? text.size() : std::min<uint64_t>(shortest_, text.size());
    longest_ = std::max<uint64_t>(longest_, text.size());
    length_sum_ += static_cast<double>(text.size());
    if (kind_ == ProfileKind::kText && !text.empty()) {
        double number = 0.0;
        const auto end = std::from_chars(text.data(), text.data() + text.size(), number);
        const bool is_number = end.ec == std::errc() && end.ptr == text.data() + text.size();
        look_like_numbers_ += is_number;
        look_like_integers_ += is_number && text.find_first_of(".eEnNiI") == std::string_view::npos;
    }
}

void ColumnProfile::AddTime(int64_t microseconds) {
    ++rows_;
    AddHash(Mix64(static_cast<uint64_t>(microseconds)));
    first_time_ = present() == 1 ? microseconds : std::min(first_time_, microseconds);
    last_time_ = present() == 1 ? microseconds : std::max(last_time_, microseconds);
}

double ColumnProfile::distinct() const {
    if (kind_ != ProfileKind::kTime && counts_exact() && longest_ <= kLongestKey)
        return static_cast<double>(counted() + (nans_ > 0) + (infinities_ > 0));
    return std::min(std::round(distinct_.Estimate()), static_cast<double>(present()));
}

double ColumnProfile::Quantile(double share) const {
    if (sample_.empty())
        return std::numeric_limits<double>::quiet_NaN();
    if (!sample_sorted_) {
        std::sort(sample_.begin(), sample_.end());
        sample_sorted_ = true;
    }
    const double position = share * static_cast<double>(sample_.size() - 1);
    const size_t below = static_cast<size_t>(position);
    const size_t above = std::min(below + 1, sample_.size() - 1);
    return sample_[below] + (sample_[above] - sample_[below]) * (position - static_cast<double>(below));
}

std::vector<ColumnProfile::TopValue> ColumnProfile::Top(size_t most) const {
    std::vector<TopValue> top;
    if (kind_ == ProfileKind::kNumeric) {
        std::vector<std::pair<double, uint64_t>> values(numbers_.counts().begin(), numbers_.counts().end());
        std::sort(values.begin(), values.end(), [](const auto& a, const auto& b) {
            return a.second != b.second ? a.second > b.second : a.first < b.first;
        });
        for (size_t i = 0; i < std::min(most, values.size()); ++i)
            top.push_back({NumberText(values[i].first), values[i].second});
    } else {
        for (const auto& [text, count] : texts_.counts())
            top.push_back({text, count});
        std::sort(top.begin(), top.end(), [](const TopValue& a, const TopValue& b) {
            return a.count != b.count ? a.count > b.count : a.text < b.text;
        });
        top.resize(std::min(most, top.size()));
    }
    return top;
}

std::optional<double> ColumnProfile::Entropy() const {
    if (kind_ == ProfileKind::kTime || !counts_exact())
        return std::nullopt;
    double total = 0.0;
    double sum = 0.0;
    const auto add = [&](uint64_t count) {
        total += static_cast<double>(count);
        sum += static_cast<double>(count) * std::log(static_cast<double>(count));
    };
    for (const auto& [value, count] : numbers_.counts())
        add(count);
    for (const auto& [text, count] : texts_.counts())
        add(count);
    if (total == 0.0)
        return std::nullopt;
    return std::max(0.0, std::log(total) - sum / total);
}

Json ColumnProfile::ToJson() const {
    Json json = Json::object();
    const double present_rows = static_cast<double>(present());
    json["null_share"] = rows_ > 0 ? static_cast<double>(nulls_) / static_cast<double>(rows_) : 0.0;
    if (present() > 0) {
        json["distinctness"] = distinct() / present_rows;
        json["uniqueness"] = singleton_share() * distinct() / present_rows;
        json["unique_value_ratio"] = singleton_share();
    }
    if (kind_ == ProfileKind::kNumeric && moments_ > 0) {
        const double n = static_cast<double>(moments_);
        json["min"] = minimum_;
        json["max"] = maximum_;
        json["mean"] = mean_;
        if (moments_ > 1)
            json["sd"] = std::sqrt(m2_ / (n - 1.0));
        if (m2_ > 0.0) {
            json["skewness"] = std::sqrt(n) * m3_ / std::pow(m2_, 1.5);
            json["kurtosis"] = n * m4_ / (m2_ * m2_) - 3.0;
        }
        Json quantiles = Json::object();
        for (const double share : kQuantiles)
            quantiles[std::to_string(static_cast<int>(std::lround(share * 100.0)))] = Quantile(share);
        json["quantiles"] = std::move(quantiles);
        json["zeros"] = zeros_;
        json["negatives"] = negatives_;
    }
    if (kind_ == ProfileKind::kNumeric) {
        json["nan"] = nans_;
        json["infinite"] = infinities_;
    }
    if (kind_ == ProfileKind::kText && present() > 0) {
        json["min_length"] = shortest_;
        json["max_length"] = longest_;
        json["mean_length"] = length_sum_ / present_rows;
        json["empty"] = empty_;
        json["look_like_numbers"] = static_cast<double>(look_like_numbers_) / present_rows;
        json["look_like_integers"] = static_cast<double>(look_like_integers_) / present_rows;
    }
    if (const std::optional<double> entropy = Entropy())
        json["entropy"] = *entropy;
    if (kind_ != ProfileKind::kTime) {
        Json list = Json::array();
        for (TopValue& value : Top(kTopValues))
            list.push_back({{"value", std::move(value.text)}, {"count", value.count}});
        json["top"] = std::move(list);
        json["top_exact"] = counts_exact();
    }
    return json;
}

}  // namespace dlent
