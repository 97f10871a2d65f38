#pragma once

#include <numeric>
#include <optional>
#include <span>
#include <vector>

#include "core/nn/network_spec.h"
#include "core/train/trainer.h"

namespace dlent {

/// The rows of other data, kept in memory one after another: what a device copies to itself.
class KeptRows final : public TrainingData {
 public:
    KeptRows(const TrainingData& data, const NetworkSpec& spec)
        : numeric_(data.rows() * static_cast<size_t>(spec.numeric)),
          plain_(data.rows() * static_cast<size_t>(spec.plain)),
          codes_(data.rows() * spec.codes.size()),
          targets_(data.rows()),
          weights_(data.has_weights() ? data.rows() : 0),
          data_(data) {
        std::vector<uint32_t> rows(data.rows());
        std::iota(rows.begin(), rows.end(), 0U);
        data.Gather(rows,
                    {OrNull(numeric_), OrNull(plain_), OrNull(codes_), targets_.data(), OrNull(weights_)});
    }
    size_t rows() const override { return data_.rows(); }
    bool has_weights() const override { return data_.has_weights(); }
    std::optional<HostRows> AllRows() const override {
        return HostRows{numeric_.data(), plain_.data(), codes_.data(), targets_.data(), weights_.data()};
    }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        data_.Gather(rows, batch);
    }

 private:
    template <typename T>
    static T* OrNull(std::vector<T>& values) {
        return values.empty() ? nullptr : values.data();
    }

    std::vector<float> numeric_;
    std::vector<float> plain_;
    std::vector<int32_t> codes_;
    std::vector<float> targets_;  ///< or the bits of int32 labels
    std::vector<float> weights_;
    const TrainingData& data_;
};

}  // namespace dlent
