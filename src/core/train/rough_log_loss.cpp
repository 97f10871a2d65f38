#include "core/train/rough_log_loss.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

namespace dlent {
namespace {

constexpr int kCount = TemperatureGrid::kCount;
constexpr double kStep = (TemperatureGrid::kHigh - TemperatureGrid::kLow) / (kCount - 1);
constexpr int kLanes = 16;            ///< rows that are computed beside each other
constexpr float kMostLogit = 250.0f;  ///< e^-(2·250·1.3) is a normal number

using Lanes = std::array<double, kLanes>;
using GridLanes = std::array<Lanes, kCount>;

/// ln x of a positive normal number, to 1e-10 of it, and of 1 where x is close to 1. Without a branch, on
/// bits that every instruction set has for vectors.
inline double RoughLog(double x) {
    constexpr uint64_t kRootHalf = 0x3fe6a09e667f3bcd;
    constexpr uint64_t kOffset = uint64_t{1024} << 52;
    constexpr uint64_t kTwoTo52 = 0x4330000000000000;
    const uint64_t bits = std::bit_cast<uint64_t>(x);
    // x = 2^n · m with m in [sqrt(1/2), sqrt(2))
    const uint64_t exponent = (bits - kRootHalf + kOffset) >> 52;
    const double n = std::bit_cast<double>(exponent | kTwoTo52) - (4503599627370496.0 + 1024.0);
    const double m = std::bit_cast<double>(bits - (exponent << 52) + kOffset);
    const double s = (m - 1.0) / (m + 1.0);  // ln m = 2·atanh(s), |s| <= 0.1716
    const double s2 = s * s;
    const double sum =
        1.0 + s2 * (1.0 / 3 + s2 * (1.0 / 5 + s2 * (1.0 / 7 + s2 * (1.0 / 9 + s2 * (1.0 / 11)))));
    return n * 0.6931471805599453 + 2.0 * s * sum;
}

/// Some rows of the data, the last of which may be missing, at all temperatures.
class Block {
 public:
    Block(const LabelledLogits& data, size_t first) : data_(data), first_(first) {
        rows_ = static_cast<int>(std::min<size_t>(kLanes, data.rows - first));
        for (int r = 0; r < kLanes; ++r) {
            const size_t row = first + static_cast<size_t>(r);
            labels_[r] = r < rows_ ? data.Label(row) : 0;
            weights_[r] = r < rows_ ? data.Weight(row, labels_[r]) : 0.0;
        }
    }

    /// Adds what the rows have to the sums of weighted losses; false when a logit is beyond the bounds.
    bool AddTo(GridLanes* losses) {
        for (int member = 0; member < data_.members; ++member) {
            if (!(data_.outputs == 1 ? AddBinary(member) : AddClasses(member))) {
                return false;
            }
        }
        const double scale = 1.0 / data_.members;
        for (int i = 0; i < kCount; ++i) {
            for (int r = 0; r < kLanes; ++r) {
                (*losses)[i][r] -= weights_[r] * RoughLog(probability_[i][r] * scale);
            }
        }
        return true;
    }
    double weight() const { return std::accumulate(weights_.begin(), weights_.end(), 0.0); }

 private:
    /// 0 of a row that is missing.
    float Logit(int r, int member, int output) const {
        if (r >= rows_) {
            return 0.0f;
        }
        const size_t row = (first_ + static_cast<size_t>(r)) * static_cast<size_t>(data_.members);
        return data_.logits[(row + static_cast<size_t>(member)) * static_cast<size_t>(data_.outputs) +
                            static_cast<size_t>(output)];
    }

    /// Of a logit that lies `distance` below the one that it is compared with: its exponential at the first
    /// temperature, and what takes it to the next one.
    void SetPowers(int r, double distance) {
        power_[r] = std::exp(-distance * TemperatureGrid::kLow);
        factor_[r] = std::exp(-distance * kStep);
    }

    bool AddBinary(int member) {
        Lanes right;  ///< 1 where the label is the likelier one
        for (int r = 0; r < kLanes; ++r) {
            const float z = Logit(r, member, 0);
            if (!(std::abs(z) <= kMostLogit)) {
                return false;
            }
            right[r] = (z >= 0.0f) == (labels_[r] == 1) ? 1.0 : 0.0;
            SetPowers(r, std::abs(z));
        }
        for (int i = 0; i < kCount; ++i) {
            for (int r = 0; r < kLanes; ++r) {
                probability_[i][r] += (right[r] + (1.0 - right[r]) * power_[r]) / (1.0 + power_[r]);
                power_[r] *= factor_[r];
            }
        }
        return true;
    }

    bool AddClasses(int member) {
        std::array<float, kLanes> largest;
        largest.fill(-std::numeric_limits<float>::infinity());
        for (int output = 0; output < data_.outputs; ++output) {
            for (int r = 0; r < kLanes; ++r) {
                const float z = Logit(r, member, output);
                if (!(std::abs(z) <= kMostLogit)) {
                    return false;
                }
                largest[r] = std::max(largest[r], z);
            }
        }
        GridLanes of_label{};
        GridLanes of_all{};
        for (int output = 0; output < data_.outputs; ++output) {
            Lanes is_label;
            for (int r = 0; r < kLanes; ++r) {
                is_label[r] = labels_[r] == output ? 1.0 : 0.0;
                SetPowers(r, static_cast<double>(largest[r]) - Logit(r, member, output));
            }
            for (int i = 0; i < kCount; ++i) {
                for (int r = 0; r < kLanes; ++r) {
                    of_all[i][r] += power_[r];
                    of_label[i][r] += is_label[r] * power_[r];
                    power_[r] *= factor_[r];
                }
            }
        }
        for (int i = 0; i < kCount; ++i) {
            for (int r = 0; r < kLanes; ++r) {
                probability_[i][r] += of_label[i][r] / of_all[i][r];
            }
        }
        return true;
    }

    const LabelledLogits& data_;
    const size_t first_;
    int rows_ = 0;
    std::array<int, kLanes> labels_;
    Lanes weights_;
    Lanes power_;
    Lanes factor_;
    GridLanes probability_{};  ///< of the label, summed over members
};

}  // namespace

Expected<GridLosses> RoughLogLosses(const LabelledLogits& data, const CancelToken& cancel) {
    GridLosses losses;
    losses.fill(std::numeric_limits<double>::quiet_NaN());
    const size_t logits_per_block =
        static_cast<size_t>(kLanes) * static_cast<size_t>(data.members) * static_cast<size_t>(data.outputs);
    const size_t blocks_per_poll = std::max<size_t>(1, 65536 / logits_per_block);
    GridLanes sums{};
    double weights = 0.0;
    for (size_t row = 0; row < data.rows; row += kLanes) {
        if (row / kLanes % blocks_per_poll == 0 && cancel.IsCancelled()) {
            return Status::Cancelled();
        }
        Block block(data, row);
        if (!block.AddTo(&sums)) {
            return losses;
        }
        weights += block.weight();
    }
    for (int i = 0; weights > 0.0 && i < kCount; ++i) {
        losses[i] = std::accumulate(sums[i].begin(), sums[i].end(), 0.0) / weights;
    }
    return losses;
}

}  // namespace dlent
