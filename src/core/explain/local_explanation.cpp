#include "core/explain/local_explanation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/explain/elementary.h"

namespace dlent {
namespace {

constexpr const char* kLinkNames[] = {"probability", "logit", "identity"};

/// Ranks from 1, ties share their mean.
std::vector<double> Ranks(const std::vector<double>& values) {
    std::vector<size_t> order(values.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
    std::vector<double> ranks(values.size());
    for (size_t begin = 0; begin < order.size();) {
        size_t end = begin;
        while (end < order.size() && values[order[end]] == values[order[begin]])
            ++end;
        for (size_t i = begin; i < end; ++i)
            ranks[order[i]] = (static_cast<double>(begin + end) + 1.0) / 2.0;
        begin = end;
    }
    return ranks;
}

double Correlation(const std::vector<double>& a, const std::vector<double>& b) {
    const double count = static_cast<double>(a.size());
    const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / count;
    const double mean_b = std::accumulate(b.begin(), b.end(), 0.0) / count;
    double product = 0.0;
    double square_a = 0.0;
    double square_b = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
        product += (a[i] - mean_a) * (b[i] - mean_b);
        square_a += (a[i] - mean_a) * (a[i] - mean_a);
        square_b += (b[i] - mean_b) * (b[i] - mean_b);
    }
    return square_a > 0.0 && square_b > 0.0 ? product / std::sqrt(square_a * square_b) : 0.0;
}

std::vector<double> ByFeature(const LabelExplanation& explanation, int feature_count) {
    std::vector<double> values(static_cast<size_t>(feature_count), 0.0);
    for (const Contribution& contribution : explanation.contributions)
        values[contribution.feature] = contribution.contribution;
    return values;
}

}  // namespace

const char* LinkName(Link link) {
    return kLinkNames[static_cast<int>(link)];
}

Expected<Link> ParseLink(std::string_view name) {
    for (int i = 0; i < 3; ++i) {
        if (name == kLinkNames[i])
            return static_cast<Link>(i);
    }
    return Status::Invalid("unknown link \"" + std::string(name.substr(0, 64)) + "\"", {},
                           "Valid links are \"probability\", \"logit\", \"identity\" (regression).");
}

Expected<std::vector<int>> ChooseLabels(const TargetEncoder& target, const std::vector<int>& labels,
                                        int top_labels, const float* outputs) {
    if (target.task() == Task::kRegression) {
        if (std::any_of(labels.begin(), labels.end(), [](int label) { return label != 0; }))
            return Status::Invalid("a regression has no classes to choose from");
        return std::vector<int>{0};
    }
    const int classes = static_cast<int>(target.labels().size());
    for (const int label : labels) {
        if (label < 0 || label >= classes)
            return Status::Invalid("there is no class " + std::to_string(label), {},
                                   "The target has " + std::to_string(classes) + " classes, from 0.");
    }
    if (top_labels < 0)
        return Status::Invalid("the number of classes to explain cannot be negative");
    if (!labels.empty() && top_labels == 0)
        return labels;
    const auto probability = [&](int label) {
        return LinkedValue(Link::kProbability, target, label, outputs[OutputOf(target, label)]);
    };
    std::vector<int> order(static_cast<size_t>(classes));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return probability(a) > probability(b); });
    // of two equally probable classes, the positive one is the decision
    if (target.task() == Task::kBinary && outputs[0] == 0.5f)
        std::swap(order[0], order[1]);
    order.resize(static_cast<size_t>(std::clamp(top_labels, 1, classes)));
    return order;
}

int OutputOf(const TargetEncoder& target, int label) {
    return target.task() == Task::kMulticlass ? label : 0;
}

double LinkedValue(Link link, const TargetEncoder& target, int label, double output) {
    if (target.task() == Task::kRegression)
        return output;
    const double probability = target.task() == Task::kBinary && label == 0 ? 1.0 - output : output;
    if (link != Link::kLogit)
        return probability;
    const double inside = std::clamp(probability, kNearestProbability, 1.0 - kNearestProbability);
    return ExplainerLog(inside / (1.0 - inside));
}

Agreement CompareExplanations(const LabelExplanation& first, const LabelExplanation& second,
                              int feature_count, int top) {
    const std::vector<double> a = ByFeature(first, feature_count);
    const std::vector<double> b = ByFeature(second, feature_count);
    Agreement agreement;
    agreement.rank_correlation = Correlation(Ranks(a), Ranks(b));
    const auto count = std::min(
        {static_cast<size_t>(std::max(top, 0)), first.contributions.size(), second.contributions.size()});
    agreement.top = static_cast<int>(count);
    if (count == 0)
        return agreement;
    int shared = 0;
    int same_sign = 0;
    for (size_t i = 0; i < count; ++i) {
        const int feature = first.contributions[i].feature;
        for (size_t j = 0; j < count; ++j)
            shared += second.contributions[j].feature == feature;
        same_sign += a[feature] * b[feature] > 0.0;
    }
    agreement.top_overlap = static_cast<double>(shared) / static_cast<double>(count);
    agreement.sign_agreement = static_cast<double>(same_sign) / static_cast<double>(count);
    return agreement;
}

}  // namespace dlent
