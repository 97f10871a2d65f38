#include "core/train/embedding_choice.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace dlent {
namespace {

constexpr double kClearDifference = 2.0;
/// Rows that depend on their neighbours are cut into so many stretches.
constexpr size_t kStretches = 20;
constexpr float kLeastProbability = 1e-7f;

}  // namespace

std::vector<float> RowLosses(Task task, std::span<const float> answers, std::span<const float> values,
                             std::span<const int32_t> classes, std::span<const float> weights) {
    const size_t rows = values.size();
    const size_t outputs = rows > 0 ? answers.size() / rows : 1;
    std::vector<float> losses(rows);
    for (size_t row = 0; row < rows; ++row) {
        switch (task) {
            case Task::kBinary:
                losses[row] = -std::log(
                    std::max(values[row] > 0.5f ? answers[row] : 1.0f - answers[row], kLeastProbability));
                break;
            case Task::kMulticlass:
                losses[row] = -std::log(std::max(answers[row * outputs + classes[row]], kLeastProbability));
                break;
            default:
                losses[row] = (answers[row] - values[row]) * (answers[row] - values[row]);
        }
        if (!weights.empty())
            losses[row] *= weights[row];
    }
    return losses;
}

bool PairedDifference::IsClear() const {
    return std::abs(mean) > kClearDifference * standard_error;
}

PairedDifference CompareLosses(std::span<const float> a, std::span<const float> b,
                               std::span<const uint32_t> positions) {
    std::vector<uint32_t> order(a.size());
    std::iota(order.begin(), order.end(), 0u);
    size_t stretch = 1;
    if (!positions.empty()) {
        std::sort(order.begin(), order.end(),
                  [&](uint32_t x, uint32_t y) { return positions[x] < positions[y]; });
        stretch = std::max<size_t>(1, a.size() / kStretches);
    }
    std::vector<double> samples;
    for (size_t begin = 0; begin < order.size(); begin += stretch) {
        const size_t end = std::min(begin + stretch, order.size());
        double sum = 0.0;
        for (size_t i = begin; i < end; ++i)
            sum += static_cast<double>(b[order[i]]) - a[order[i]];
        samples.push_back(sum / static_cast<double>(end - begin));
    }
    const double n = static_cast<double>(samples.size());
    PairedDifference difference;
    difference.mean = std::accumulate(samples.begin(), samples.end(), 0.0) / n;
    double squares = 0.0;
    for (const double sample : samples)
        squares += (sample - difference.mean) * (sample - difference.mean);
    difference.standard_error = n > 1.0 ? std::sqrt(squares / (n - 1.0) / n) : INFINITY;
    return difference;
}

std::vector<NamedTensorData> WithIdleEmbedding(const std::vector<NamedTensorData>& plain,
                                               const std::vector<NamedTensorData>& like,
                                               const std::string& reader) {
    std::vector<NamedTensorData> result = like;
    int64_t width = 1;
    int64_t numbers = 0;
    for (NamedTensorData& tensor : result) {
        if (tensor.name == "numbers.edges" || !tensor.name.starts_with("numbers."))
            continue;
        std::fill(tensor.values.begin(), tensor.values.end(), 0.0f);
        if (tensor.name == "numbers.linear") {
            numbers = tensor.shape[0];
            width = tensor.shape[1];
            for (int64_t i = 0; i < numbers; ++i)
                tensor.values[i * width] = 1.0f;
        }
    }
    for (NamedTensorData& tensor : result) {
        if (tensor.name.starts_with("numbers."))
            continue;
        const auto same = std::find_if(plain.begin(), plain.end(), [&](const NamedTensorData& candidate) {
            return candidate.name == tensor.name;
        });
        if (tensor.name != reader + ".weight") {
            tensor.values = same->values;
            continue;
        }
        const int64_t outputs = tensor.shape[1];
        std::fill(tensor.values.begin(), tensor.values.end(), 0.0f);
        for (int64_t i = 0; i < numbers; ++i)
            std::copy_n(&same->values[i * outputs], outputs, &tensor.values[i * width * outputs]);
        std::copy(same->values.begin() + numbers * outputs, same->values.end(),
                  tensor.values.begin() + numbers * width * outputs);
    }
    return result;
}

}  // namespace dlent
