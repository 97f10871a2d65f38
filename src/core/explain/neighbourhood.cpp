#include <algorithm>
#include <cmath>

#include "core/explain/surrogate.h"

namespace dlent {
namespace {

constexpr int kWordBits = 64;
constexpr int kLanes = 8;
constexpr int kPolledFeatures = 16;  ///< whose sums take well below 20 ms

/// Rows as bits. They are sorted by the number of features in which they differ from the instance, which is
/// all that their weight depends on; each such group begins a word.
class BinaryNeighbourhood final : public Neighbourhood {
 public:
    BinaryNeighbourhood(int features, int row_count, const ExplainerKernels& kernels)
        : Neighbourhood(kernels) {
        moments_.features = features;
        rows_ = row_count + 1;
        instance_.assign(static_cast<size_t>(features), 1.0);
        blocks_ = (features + kWordBits - 1) / kWordBits;
        stride_ = blocks_ * kWordBits;
    }

    Status Build(std::span<const uint64_t> equal, double kernel_width, const CancelToken& cancel) {
        const int words = (rows_ - 1 + kWordBits - 1) / kWordBits;
        // by row, one word for each 64 features
        std::vector<uint64_t> by_row(static_cast<size_t>(words) * kWordBits * blocks_);
        std::vector<uint64_t> square(kWordBits);
        for (int block = 0; block < blocks_; ++block) {
            const int first = block * kWordBits;
            const int count = std::min(features() - first, kWordBits);
            std::fill(square.begin(), square.end(), 0);
            for (int w = 0; w < words; ++w) {
                for (int f = 0; f < count; ++f)
                    square[f] = equal[static_cast<size_t>(first + f) * words + w];
                kernels_.transpose(square.data(), 1,
                                   by_row.data() + (static_cast<size_t>(w) * kWordBits) * blocks_ + block,
                                   blocks_);
            }
            if (cancel.IsCancelled())
                return Status::Cancelled();
        }
        AssignSlots(by_row, kernel_width);

        std::vector<uint64_t> sorted(weights_.size() * blocks_);
        std::fill_n(sorted.begin(), blocks_, ~uint64_t{0});
        if (features() % kWordBits != 0)
            sorted[blocks_ - 1] = (uint64_t{1} << features() % kWordBits) - 1;
        for (int row = 1; row < rows_; ++row)
            std::copy_n(by_row.data() + static_cast<size_t>(row - 1) * blocks_, blocks_,
                        sorted.data() + static_cast<size_t>(slot_[row]) * blocks_);
        bits_.resize(weights_.size() / kWordBits * stride_);
        for (int w = 0; w < word_count(); ++w) {
            for (int block = 0; block < blocks_; ++block)
                kernels_.transpose(sorted.data() + (static_cast<size_t>(w) * kWordBits) * blocks_ + block,
                                   blocks_,
                                   bits_.data() + static_cast<size_t>(w) * stride_ + block * kWordBits, 1);
        }
        return Sum(cancel);
    }

    std::vector<double> Arrange(std::span<const double> of_rows) const override {
        std::vector<double> arranged(weights_.size(), 0.0);
        for (int row = 0; row < rows_; ++row)
            arranged[slot_[row]] = of_rows[row];
        return arranged;
    }
    void ColumnSums(const double* values, double* sums) const override {
        kernels_.masked_sums(bits_.data(), stride_, features(), word_count(), values, sums);
    }
    void Column(int f, double* values) const override {
        for (int w = 0; w < word_count(); ++w) {
            const uint64_t word = bits_[static_cast<size_t>(w) * stride_ + f];
            for (int bit = 0; bit < kWordBits; ++bit)
                values[w * kWordBits + bit] = static_cast<double>(word >> bit & 1);
        }
    }

 private:
    int word_count() const { return static_cast<int>(weights_.size()) / kWordBits; }

    /// The slot of each row, the groups and the weights.
    void AssignSlots(const std::vector<uint64_t>& by_row, double kernel_width) {
        std::vector<int32_t> differences(static_cast<size_t>(rows_), 0);
        std::vector<int32_t> group_size(static_cast<size_t>(features()) + 1, 0);
        group_size[0] = 1;
        for (int row = 1; row < rows_; ++row) {
            int equal = 0;
            for (int block = 0; block < blocks_; ++block)
                equal += __builtin_popcountll(by_row[static_cast<size_t>(row - 1) * blocks_ + block]);
            differences[row] = features() - equal;
            ++group_size[differences[row]];
        }
        std::vector<int32_t> next(group_size.size(), 0);
        int slots = 0;
        for (size_t m = 0; m < group_size.size(); ++m) {
            if (group_size[m] == 0)
                continue;
            const double weight = KernelWeight(static_cast<double>(m), kernel_width);
            next[m] = slots;
            const int end = slots + (group_size[m] + kWordBits - 1) / kWordBits * kWordBits;
            groups_.push_back({slots / kWordBits, end / kWordBits, weight});
            weights_.resize(static_cast<size_t>(end), 0.0);
            std::fill_n(weights_.begin() + slots, group_size[m], weight);
            moments_.weight_sum += weight * group_size[m];
            slots = end;
        }
        slot_.resize(static_cast<size_t>(rows_));
        for (int row = 0; row < rows_; ++row)
            slot_[row] = next[differences[row]]++;
    }

    Status Sum(const CancelToken& cancel) {
        const int d = features();
        moments_.gram.resize(static_cast<size_t>(d) * d);
        for (int first = 0; first < d; first += kPolledFeatures) {
            if (cancel.IsCancelled())
                return Status::Cancelled();
            kernels_.joint_weights(bits_.data(), stride_, d, first, std::min(first + kPolledFeatures, d),
                                   groups_.data(), static_cast<int>(groups_.size()), moments_.gram.data());
        }
        for (int f = 0; f < d; ++f)
            moments_.means.push_back(moments_.gram_at(f, f) / moments_.weight_sum);
        for (int i = 0; i < d; ++i) {
            for (int j = 0; j < d; ++j)
                moments_.gram[static_cast<size_t>(i) * d + j] -=
                    moments_.means[i] * moments_.means[j] * moments_.weight_sum;
        }
        return Status::Ok();
    }

    int blocks_ = 0;  ///< of 64 features
    int stride_ = 0;
    std::vector<int32_t> slot_;  ///< of each row
    std::vector<WeightGroup> groups_;
    std::vector<uint64_t> bits_;  ///< [words × stride]
};

/// Rows as columns of numbers.
class NumericNeighbourhood final : public Neighbourhood {
 public:
    NumericNeighbourhood(int features, int rows, const ExplainerKernels& kernels) : Neighbourhood(kernels) {
        moments_.features = features;
        rows_ = rows;
    }

    Status Build(std::span<const double> columns, double kernel_width, const CancelToken& cancel) {
        const int d = features();
        const int slots = (rows_ + kLanes - 1) / kLanes * kLanes;
        const size_t stride = static_cast<size_t>(slots);
        columns_.assign(static_cast<size_t>(d) * stride, 0.0);
        std::vector<double> distances(stride, 0.0);
        for (int f = 0; f < d; ++f) {
            const double* from = columns.data() + static_cast<size_t>(f) * rows_;
            std::copy_n(from, rows_, columns_.begin() + static_cast<ptrdiff_t>(f * stride));
            instance_.push_back(from[0]);
            for (int row = 0; row < rows_; ++row)
                distances[row] += (from[row] - from[0]) * (from[row] - from[0]);
        }
        weights_.assign(stride, 0.0);
        for (int row = 0; row < rows_; ++row)
            weights_[row] = KernelWeight(distances[row], kernel_width);
        const std::vector<double> ones(stride, 1.0);
        kernels_.dot_products(weights_.data(), ones.data(), 1, slots, &moments_.weight_sum);
        moments_.means.resize(static_cast<size_t>(d));
        ColumnSums(weights_.data(), moments_.means.data());

        // centred on the way, for numbers far from zero
        std::vector<double> centred(columns_.size());
        std::vector<double> weighted(stride);
        moments_.gram.resize(static_cast<size_t>(d) * d);
        for (int f = 0; f < d; ++f) {
            moments_.means[f] /= moments_.weight_sum;
            for (size_t s = 0; s < stride; ++s)
                centred[f * stride + s] = columns_[f * stride + s] - moments_.means[f];
        }
        for (int i = 0; i < d; ++i) {
            if (cancel.IsCancelled())
                return Status::Cancelled();
            for (size_t s = 0; s < stride; ++s)
                weighted[s] = weights_[s] * centred[i * stride + s];
            double* row = moments_.gram.data() + static_cast<size_t>(i) * d;
            kernels_.dot_products(weighted.data(), centred.data(), i + 1, slots, row);
            for (int j = 0; j < i; ++j)
                moments_.gram[static_cast<size_t>(j) * d + i] = row[j];
        }
        return Status::Ok();
    }

    std::vector<double> Arrange(std::span<const double> of_rows) const override {
        std::vector<double> arranged(of_rows.begin(), of_rows.end());
        arranged.resize(weights_.size(), 0.0);
        return arranged;
    }
    void ColumnSums(const double* values, double* sums) const override {
        kernels_.dot_products(values, columns_.data(), features(), slots(), sums);
    }
    void Column(int f, double* values) const override {
        std::copy_n(columns_.begin() + static_cast<ptrdiff_t>(f) * slots(), slots(), values);
    }

 private:
    std::vector<double> columns_;  ///< [features × slots]
};

}  // namespace

Expected<std::unique_ptr<Neighbourhood>> MakeBinaryNeighbourhood(int features, int row_count,
                                                                 std::span<const uint64_t> equal,
                                                                 double kernel_width,
                                                                 const ExplainerKernels& kernels,
                                                                 const CancelToken& cancel) {
    auto neighbourhood = std::make_unique<BinaryNeighbourhood>(features, row_count, kernels);
    DLENT_RETURN_IF_ERROR(neighbourhood->Build(equal, kernel_width, cancel));
    return std::unique_ptr<Neighbourhood>(std::move(neighbourhood));
}

Expected<std::unique_ptr<Neighbourhood>> MakeNumericNeighbourhood(int features, int rows,
                                                                  std::span<const double> columns,
                                                                  double kernel_width,
                                                                  const ExplainerKernels& kernels,
                                                                  const CancelToken& cancel) {
    auto neighbourhood = std::make_unique<NumericNeighbourhood>(features, rows, kernels);
    DLENT_RETURN_IF_ERROR(neighbourhood->Build(columns, kernel_width, cancel));
    return std::unique_ptr<Neighbourhood>(std::move(neighbourhood));
}

}  // namespace dlent
