#include "core/train/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/nn/network_spec.h"
#include "core/train/rough_log_loss.h"

namespace dlent {
namespace {

/// log of the mean of e^x.
double LogMeanExp(const double* x, int count) {
    if (count == 1) {
        return x[0];
    }
    const double largest = *std::max_element(x, x + count);
    double sum = 0.0;
    for (int i = 0; i < count; ++i) {
        sum += std::exp(x[i] - largest);
    }
    return largest + std::log(sum / count);
}

/// The log-probabilities of one row at one inverse temperature, averaged over members.
class RowProbabilities {
 public:
    RowProbabilities(const LabelledLogits& data, double inverse_temperature)
        : data_(data), inverse_temperature_(inverse_temperature) {}

    void Load(size_t row) {
        row_ = data_.logits + row * data_.members * data_.outputs;
        for (int member = 0; member < data_.members; ++member) {
            if (data_.outputs == 1) {
                // log(1 + e^z) = max(z, 0) + log(1 + e^-|z|), where z of the other label is -z
                log_sum_[member] = std::log1p(std::exp(-std::abs(row_[member] * inverse_temperature_)));
                continue;
            }
            const float* z = row_ + static_cast<size_t>(member) * data_.outputs;
            const double largest = *std::max_element(z, z + data_.outputs);
            double sum = 0.0;
            for (int j = 0; j < data_.outputs; ++j) {
                sum += std::exp((z[j] - largest) * inverse_temperature_);
            }
            log_sum_[member] = largest * inverse_temperature_ + std::log(sum);
        }
    }

    double LogProbability(int label) {
        for (int member = 0; member < data_.members; ++member) {
            if (data_.outputs == 1) {
                const double z = row_[member] * inverse_temperature_;
                log_probability_[member] = -(std::max(label == 1 ? -z : z, 0.0) + log_sum_[member]);
            } else {
                log_probability_[member] =
                    row_[static_cast<size_t>(member) * data_.outputs + label] * inverse_temperature_ -
                    log_sum_[member];
            }
        }
        return LogMeanExp(log_probability_.data(), data_.members);
    }

    /// The mean of it over labels, of which `label` has 1 - smoothing, and all of them share the rest.
    double LogProbability(int label, double smoothing) {
        if (smoothing == 0.0) {
            return LogProbability(label);
        }
        double sum = 0.0;
        double own = 0.0;
        for (int other = 0; other < data_.classes(); ++other) {
            const double log_probability = LogProbability(other);
            sum += log_probability;
            own = other == label ? log_probability : own;
        }
        return (1.0 - smoothing) * own + smoothing * sum / data_.classes();
    }

 private:
    const LabelledLogits& data_;
    double inverse_temperature_;
    const float* row_ = nullptr;
    std::array<double, NetworkSpec::kMaxMembers> log_sum_;
    std::array<double, NetworkSpec::kMaxMembers> log_probability_;
};

/// LogLoss that polls `cancel`.
Expected<double> CancellableLogLoss(const LabelledLogits& data, double inverse_temperature, double smoothing,
                                    const CancelToken& cancel) {
    const size_t rows_per_poll = std::max<size_t>(
        1, 65536 / (static_cast<size_t>(data.members) * static_cast<size_t>(data.classes())));
    RowProbabilities probabilities(data, inverse_temperature);
    double total = 0.0;
    double weights = 0.0;
    for (size_t row = 0; row < data.rows; ++row) {
        if (row % rows_per_poll == 0 && cancel.IsCancelled()) {
            return Status::Cancelled();
        }
        const int label = data.Label(row);
        const double weight = data.Weight(row, label);
        probabilities.Load(row);
        total -= weight * probabilities.LogProbability(label, smoothing);
        weights += weight;
    }
    return weights > 0.0 ? total / weights : 0.0;
}

}  // namespace

double LogLoss(const LabelledLogits& data, double inverse_temperature, double smoothing) {
    return *CancellableLogLoss(data, inverse_temperature, smoothing, NeverCancelled());
}

Expected<double> BestTemperatureLogLoss(const LabelledLogits& data, const CancelToken& cancel) {
    // Only those that may be the smallest are computed to the last bit.
    DLENT_ASSIGN_OR_RETURN(const GridLosses rough, RoughLogLosses(data, cancel));
    const double least = *std::min_element(rough.begin(), rough.end());
    const double most = least + RoughError(least);
    double best = std::numeric_limits<double>::quiet_NaN();
    for (int i = 0; i < TemperatureGrid::kCount; ++i) {
        if (rough[i] - RoughError(rough[i]) > most) {
            continue;
        }
        DLENT_ASSIGN_OR_RETURN(const double loss,
                               CancellableLogLoss(data, TemperatureGrid::Inverse(i), 0.0, cancel));
        best = std::isnan(best) || loss < best ? loss : best;
        if (std::isnan(loss)) {
            return loss;
        }
    }
    return best;
}

Expected<double> FitTemperature(const LabelledLogits& data, const CancelToken& cancel) {
    if (data.rows == 0) {
        return 1.0;
    }
    const double smoothing = 1.0 / (static_cast<double>(data.rows) + 1.0);
    const auto loss = [&](double log_temperature) {
        return CancellableLogLoss(data, std::exp(-log_temperature), smoothing, cancel);
    };
    // Golden-section search: the loss is convex in 1/T, hence has one valley in log T.
    constexpr double kGolden = 0.6180339887498949;
    constexpr double kTolerance = 1e-4;
    double low = std::log(0.05);
    double high = std::log(20.0);
    double left = high - kGolden * (high - low);
    double right = low + kGolden * (high - low);
    DLENT_ASSIGN_OR_RETURN(double left_loss, loss(left));
    DLENT_ASSIGN_OR_RETURN(double right_loss, loss(right));
    while (high - low > kTolerance) {
        if (left_loss < right_loss) {
            high = right;
            right = left;
            right_loss = left_loss;
            left = high - kGolden * (high - low);
            DLENT_ASSIGN_OR_RETURN(left_loss, loss(left));
        } else {
            low = left;
            left = right;
            left_loss = right_loss;
            right = low + kGolden * (high - low);
            DLENT_ASSIGN_OR_RETURN(right_loss, loss(right));
        }
    }
    const double fitted = 0.5 * (low + high);
    DLENT_ASSIGN_OR_RETURN(const double fitted_loss, loss(fitted));
    DLENT_ASSIGN_OR_RETURN(const double plain_loss, loss(0.0));
    if (!std::isfinite(plain_loss)) {
        return Status(StatusCode::kNonFinite,
                      "the network's predictions on the validation rows are not finite");
    }
    // Averaged members need not have one valley: never worse than not to calibrate.
    return fitted_loss < plain_loss ? std::exp(fitted) : 1.0;
}

}  // namespace dlent
