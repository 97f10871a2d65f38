#include "core/drift/multivariate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/random.h"
#include "core/metrics/metrics.h"
#include "core/stats/distributions.h"

namespace dlent {
namespace {

double SquaredDistance(const float* a, const float* b, size_t columns) {
    double sum = 0.0;
    for (size_t i = 0; i < columns; ++i) {
        const double gap = static_cast<double>(a[i]) - b[i];
        sum += gap * gap;
    }
    return sum;
}

/// Squared distances of all pairs of rows of both samples, x first: [total × total].
Expected<std::vector<double>> Distances(const RowsView& x, const RowsView& y, const CancelToken& cancel) {
    const size_t total = x.rows + y.rows;
    std::vector<double> distances(total * total);
    const auto row = [&](size_t i) { return i < x.rows ? x.row(i) : y.row(i - x.rows); };
    for (size_t i = 0; i < total; ++i) {
        if (cancel.IsCancelled())
            return Status::Cancelled();
        for (size_t j = 0; j < i; ++j)
            distances[i * total + j] = distances[j * total + i] = SquaredDistance(row(i), row(j), x.columns);
    }
    return distances;
}

double HalfMedian(const std::vector<double>& distances, size_t total) {
    std::vector<double> pairs;
    pairs.reserve(total * (total - 1) / 2);
    for (size_t i = 0; i < total; ++i)
        pairs.insert(pairs.end(), distances.begin() + static_cast<ptrdiff_t>(i * total),
                     distances.begin() + static_cast<ptrdiff_t>(i * total + i));
    std::nth_element(pairs.begin(), pairs.begin() + static_cast<ptrdiff_t>(pairs.size() / 2), pairs.end());
    const double median = pairs[pairs.size() / 2];
    return median > 0.0 ? 0.5 * median : 1.0;
}

/// The statistic when the first n of `order` are one sample.
double Statistic(const std::vector<double>& kernel, std::span<const uint32_t> order, size_t n) {
    const size_t total = order.size();
    const size_t m = total - n;
    double xx = 0.0;
    double yy = 0.0;
    double xy = 0.0;
    for (size_t i = 0; i < total; ++i) {
        const double* row = &kernel[static_cast<size_t>(order[i]) * total];
        double same = 0.0;
        if (i < n) {
            for (size_t j = 0; j < i; ++j)
                same += row[order[j]];
            xx += 2.0 * same;
        } else {
            for (size_t j = 0; j < n; ++j)
                xy += row[order[j]];
            for (size_t j = n; j < i; ++j)
                same += row[order[j]];
            yy += 2.0 * same;
        }
    }
    const double count_n = static_cast<double>(n);
    const double count_m = static_cast<double>(m);
    return xx / (count_n * (count_n - 1.0)) + yy / (count_m * (count_m - 1.0)) -
           2.0 * xy / (count_n * count_m);
}

void ToKernel(double sigma_squared, std::vector<double>* distances) {
    for (double& distance : *distances)
        distance = std::exp(-distance / (2.0 * sigma_squared));
}

/// One hidden layer of rectified units and a logistic output, trained by Adam: enough to see any shift that a
/// scatter plot shows, and small enough for a few thousand rows in a second.
class SmallNetwork {
 public:
    SmallNetwork(size_t columns, uint64_t seed)
        : columns_(columns),
          random_(seed),
          weights_(kHidden * (columns + 2) + 1),
          gradient_(weights_.size()),
          first_(weights_.size()),
          second_(weights_.size()) {
        const float spread = std::sqrt(2.0f / static_cast<float>(std::max<size_t>(columns, 1)));
        for (size_t i = 0; i < kHidden * columns; ++i)
            weights_[i] = spread * random_.Normal();
        for (size_t i = kHidden * (columns + 1); i < kHidden * (columns + 2); ++i)
            weights_[i] = 0.2f * random_.Normal();
    }

    float Logit(const float* row) {
        const float* w = weights_.data();
        const float* bias = w + kHidden * columns_;
        const float* out = bias + kHidden;
        float sum = out[kHidden];
        for (size_t h = 0; h < kHidden; ++h) {
            float unit = bias[h];
            for (size_t i = 0; i < columns_; ++i)
                unit += w[h * columns_ + i] * row[i];
            hidden_[h] = std::max(unit, 0.0f);
            sum += out[h] * hidden_[h];
        }
        return sum;
    }

    void Accumulate(const float* row, float label, float weight) {
        const float error = weight * (1.0f / (1.0f + std::exp(-Logit(row))) - label);
        float* g = gradient_.data();
        float* g_bias = g + kHidden * columns_;
        float* g_out = g_bias + kHidden;
        const float* out = weights_.data() + kHidden * (columns_ + 1);
        g_out[kHidden] += error;
        for (size_t h = 0; h < kHidden; ++h) {
            g_out[h] += error * hidden_[h];
            if (hidden_[h] <= 0.0f)
                continue;
            const float back = error * out[h];
            g_bias[h] += back;
            for (size_t i = 0; i < columns_; ++i)
                g[h * columns_ + i] += back * row[i];
        }
    }

    void Step(float rate) {
        constexpr float kBeta1 = 0.9f;
        constexpr float kBeta2 = 0.999f;
        constexpr float kDecay = 1e-3f;
        ++steps_;
        const float correction1 = 1.0f - std::pow(kBeta1, static_cast<float>(steps_));
        const float correction2 = 1.0f - std::pow(kBeta2, static_cast<float>(steps_));
        for (size_t i = 0; i < weights_.size(); ++i) {
            first_[i] = kBeta1 * first_[i] + (1.0f - kBeta1) * gradient_[i];
            second_[i] = kBeta2 * second_[i] + (1.0f - kBeta2) * gradient_[i] * gradient_[i];
            weights_[i] -= rate * (first_[i] / correction1 / (std::sqrt(second_[i] / correction2) + 1e-8f) +
                                   kDecay * weights_[i]);
            gradient_[i] = 0.0f;
        }
    }

    RandomStream& random() { return random_; }

 private:
    static constexpr size_t kHidden = 16;
    size_t columns_;
    RandomStream random_;
    std::vector<float> weights_;
    std::vector<float> gradient_;
    std::vector<float> first_;
    std::vector<float> second_;
    float hidden_[kHidden] = {};
    int steps_ = 0;
};

}  // namespace

double MmdUnbiased(const RowsView& x, const RowsView& y, double sigma_squared) {
    if (x.rows < 2 || y.rows < 2)
        return std::numeric_limits<double>::quiet_NaN();
    std::vector<double> kernel = std::move(*Distances(x, y, NeverCancelled()));
    const size_t total = x.rows + y.rows;
    ToKernel(sigma_squared > 0.0 ? sigma_squared : HalfMedian(kernel, total), &kernel);
    std::vector<uint32_t> order(total);
    std::iota(order.begin(), order.end(), 0u);
    return Statistic(kernel, order, x.rows);
}

Expected<MmdResult> MmdTest(const RowsView& x, const RowsView& y, int permutations, uint64_t seed,
                            const CancelToken& cancel) {
    if (x.rows < 2 || y.rows < 2)
        return Status(StatusCode::kInsufficientData, "a kernel test needs at least two rows on each side");
    DLENT_ASSIGN_OR_RETURN(std::vector<double> kernel, Distances(x, y, cancel));
    const size_t total = x.rows + y.rows;
    MmdResult result;
    result.sigma_squared = HalfMedian(kernel, total);
    ToKernel(result.sigma_squared, &kernel);
    std::vector<uint32_t> order(total);
    std::iota(order.begin(), order.end(), 0u);
    result.statistic = Statistic(kernel, order, x.rows);
    RandomStream random(seed);
    int as_large = 0;
    for (int i = 0; i < permutations; ++i) {
        if (cancel.IsCancelled())
            return Status::Cancelled();
        random.Shuffle(order.data(), order.size());
        as_large += Statistic(kernel, order, x.rows) >= result.statistic;
    }
    result.permutations = permutations;
    result.p_value = (as_large + 1.0) / (permutations + 1.0);
    return result;
}

Expected<ClassifierTestResult> ClassifierTest(const RowsView& x, const RowsView& y, uint64_t seed,
                                              const CancelToken& cancel) {
    constexpr int kFolds = 5;
    constexpr int kEpochs = 15;
    constexpr size_t kBatch = 32;
    constexpr size_t kPollEvery = 512;
    const size_t total = x.rows + y.rows;
    if (x.rows < kFolds || y.rows < kFolds)
        return Status(StatusCode::kInsufficientData,
                      "a classifier test needs at least five rows on each side");
    const auto row = [&](size_t i) { return i < x.rows ? x.row(i) : y.row(i - x.rows); };
    const auto label = [&](size_t i) { return i < x.rows ? 0.0f : 1.0f; };
    // both samples weigh the same
    const float weight[] = {0.5f * static_cast<float>(total) / static_cast<float>(x.rows),
                            0.5f * static_cast<float>(total) / static_cast<float>(y.rows)};
    std::vector<int> fold(total);
    RandomStream random(seed);
    for (const auto& [first, count] : {std::pair(size_t{0}, x.rows), std::pair(x.rows, y.rows)}) {
        std::vector<uint32_t> order(count);
        std::iota(order.begin(), order.end(), static_cast<uint32_t>(first));
        random.Shuffle(order.data(), order.size());
        for (size_t i = 0; i < count; ++i)
            fold[order[i]] = static_cast<int>(i % kFolds);
    }
    // Ranks are compared within a fold: networks of different folds have different offsets.
    double wins = 0.0;
    double variance = 0.0;
    double pairs = 0.0;
    for (int held_out = 0; held_out < kFolds; ++held_out) {
        std::vector<uint32_t> train;
        for (uint32_t i = 0; i < total; ++i) {
            if (fold[i] != held_out)
                train.push_back(i);
        }
        SmallNetwork network(x.columns, Mix64(seed + static_cast<uint64_t>(held_out) + 1));
        for (int epoch = 0; epoch < kEpochs; ++epoch) {
            network.random().Shuffle(train.data(), train.size());
            for (size_t begin = 0; begin < train.size(); begin += kBatch) {
                if (begin % kPollEvery == 0 && cancel.IsCancelled())
                    return Status::Cancelled();
                const size_t end = std::min(begin + kBatch, train.size());
                for (size_t i = begin; i < end; ++i)
                    network.Accumulate(row(train[i]), label(train[i]),
                                       weight[train[i] < x.rows ? 0 : 1] / static_cast<float>(end - begin));
                network.Step(3e-3f);
            }
        }
        std::vector<float> scores;
        std::vector<int32_t> labels;
        for (uint32_t i = 0; i < total; ++i) {
            if (fold[i] == held_out) {
                scores.push_back(network.Logit(row(i)));
                labels.push_back(i < x.rows ? 0 : 1);
            }
        }
        const std::optional<double> auc = RocAuc(scores, labels);
        if (!auc)
            continue;
        const double positives = static_cast<double>(std::count(labels.begin(), labels.end(), 1));
        const double negatives = static_cast<double>(labels.size()) - positives;
        wins += *auc * positives * negatives;
        pairs += positives * negatives;
        variance += positives * negatives * (positives + negatives + 1.0) / 12.0;
    }
    ClassifierTestResult result;
    result.roc_auc = wins / pairs;
    result.p_value = NormalSf((result.roc_auc - 0.5) * pairs / std::sqrt(variance));
    return result;
}

}  // namespace dlent
