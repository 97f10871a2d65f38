#include <algorithm>
#include <cmath>
#include <limits>

#include "core/explain/binning.h"

namespace dlent {
namespace {

constexpr int kMaxDepth = 3;
/// scikit-learn's FEATURE_THRESHOLD: values this close are not told apart.
constexpr double kSameValue = 1e-7;
constexpr double kPure = std::numeric_limits<double>::epsilon();

/// Grows the tree over one sorted column, where every node is a range of rows.
class EntropyTree {
 public:
    EntropyTree(std::span<const double> sorted, std::span<const int32_t> labels) : labels_(labels) {
        int32_t classes = 0;
        for (const int32_t label : labels)
            classes = std::max(classes, label + 1);
        left_.resize(static_cast<size_t>(classes));
        right_.resize(left_.size());
        values_.assign(sorted.begin(), sorted.end());
        // c · log2(c), to see without a logarithm which cuts are worth the exact formula
        count_times_log_.resize(sorted.size() + 1);
        for (size_t c = 2; c <= sorted.size(); ++c)
            count_times_log_[c] = static_cast<double>(c) * std::log2(static_cast<double>(c));
    }

    std::vector<double> Thresholds() {
        Grow(0, values_.size(), 0);
        std::sort(thresholds_.begin(), thresholds_.end());
        return std::move(thresholds_);
    }

 private:
    /// scikit-learn's formula, in its order of operations, so that ties fall as they fall there.
    static double Entropy(const std::vector<uint32_t>& counts, size_t total) {
        double entropy = 0.0;
        for (const uint32_t count : counts) {
            if (count > 0) {
                const double share = static_cast<double>(count) / static_cast<double>(total);
                entropy -= share * (std::log(share) / std::log(2.0));
            }
        }
        return entropy;
    }

    void Grow(size_t begin, size_t end, int depth) {
        if (depth >= kMaxDepth || end - begin < 2)
            return;
        std::fill(left_.begin(), left_.end(), 0u);
        std::fill(right_.begin(), right_.end(), 0u);
        for (size_t i = begin; i < end; ++i)
            ++right_[labels_[i]];
        if (Entropy(right_, end - begin) <= kPure)
            return;
        const size_t cut = BestCut(begin, end);
        if (cut == end)
            return;
        double threshold = values_[cut - 1] / 2.0 + values_[cut] / 2.0;
        if (threshold == values_[cut])
            threshold = values_[cut - 1];
        thresholds_.push_back(threshold);
        Grow(begin, cut, depth + 1);
        Grow(cut, end, depth + 1);
    }

    /// Where the right child begins; `end` when no two values differ. right_ holds the node's counts.
    size_t BestCut(size_t begin, size_t end) {
        size_t best = end;
        double best_improvement = -std::numeric_limits<double>::infinity();
        double best_estimate = -std::numeric_limits<double>::infinity();
        double left_sum = 0.0;  // Σ c · log2(c)
        double right_sum = 0.0;
        for (const uint32_t count : right_)
            right_sum += count_times_log_[count];
        for (size_t cut = begin + 1; cut < end; ++cut) {
            uint32_t& left = left_[labels_[cut - 1]];
            uint32_t& right = right_[labels_[cut - 1]];
            left_sum += count_times_log_[left + 1] - count_times_log_[left];
            right_sum += count_times_log_[right - 1] - count_times_log_[right];
            ++left;
            --right;
            if (values_[cut] <= values_[cut - 1] + kSameValue)
                continue;
            const size_t left_total = cut - begin;
            const size_t right_total = end - cut;
            const double estimate =
                left_sum - count_times_log_[left_total] + right_sum - count_times_log_[right_total];
            if (estimate < best_estimate - 1e-7 * (1.0 + std::abs(best_estimate)))
                continue;
            best_estimate = std::max(best_estimate, estimate);
            const double improvement = -static_cast<double>(right_total) * Entropy(right_, right_total) -
                                       static_cast<double>(left_total) * Entropy(left_, left_total);
            if (improvement > best_improvement) {
                best_improvement = improvement;
                best = cut;
            }
        }
        return best;
    }

    std::span<const int32_t> labels_;
    std::vector<float> values_;
    std::vector<uint32_t> left_;  ///< rows of each class
    std::vector<uint32_t> right_;
    std::vector<double> count_times_log_;
    std::vector<double> thresholds_;
};

}  // namespace

std::vector<double> EntropyThresholds(std::span<const double> sorted, std::span<const int32_t> labels) {
    const bool valid = labels.size() == sorted.size() &&
                       std::all_of(labels.begin(), labels.end(), [](int32_t label) { return label >= 0; });
    if (!valid)
        return {};
    return EntropyTree(sorted, labels).Thresholds();
}

}  // namespace dlent
