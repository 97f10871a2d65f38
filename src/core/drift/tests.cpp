#include "core/drift/tests.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/stats/distributions.h"
#include "core/stats/kolmogorov.h"

namespace dlent {
namespace {

constexpr int64_t kExactValues = 10000;

/// Calls step(width, F, G) for every interval between neighbouring values of both samples, and for the points
/// themselves with width 0.
template <typename Step>
void WalkSteps(std::span<const double> x, std::span<const double> y, Step step) {
    size_t i = 0;
    size_t j = 0;
    while (i < x.size() || j < y.size()) {
        const double at = j == y.size() || (i < x.size() && x[i] <= y[j]) ? x[i] : y[j];
        while (i < x.size() && x[i] == at)
            ++i;
        while (j < y.size() && y[j] == at)
            ++j;
        double next = at;
        if (i < x.size() || j < y.size())
            next = j == y.size() || (i < x.size() && x[i] <= y[j]) ? x[i] : y[j];
        step(next - at, static_cast<double>(i) / static_cast<double>(x.size()),
             static_cast<double>(j) / static_cast<double>(y.size()));
    }
}

}  // namespace

double KolmogorovSmirnovDistance(std::span<const double> x, std::span<const double> y) {
    if (x.empty() || y.empty())
        return kNan;
    double largest = 0.0;
    WalkSteps(x, y, [&](double, double f, double g) { largest = std::max(largest, std::abs(f - g)); });
    return largest;
}

Expected<double> KolmogorovSmirnovSf(double distance, int64_t n, int64_t m, SmirnovMethod method,
                                     const CancelToken& cancel) {
    if (method == SmirnovMethod::kExact || (method == SmirnovMethod::kAuto && std::max(n, m) <= kExactValues))
        return SmirnovExactSf(distance, n, m, cancel);
    const double effective =
        static_cast<double>(n) * static_cast<double>(m) / (static_cast<double>(n) + static_cast<double>(m));
    if (method == SmirnovMethod::kLimit)
        return KolmogorovLimitSf(std::sqrt(effective) * distance);
    return KolmogorovSf(distance, std::max<int64_t>(std::llrint(effective), 1));
}

Expected<TestResult> KolmogorovSmirnovTest(std::span<const double> x, std::span<const double> y,
                                           SmirnovMethod method, const CancelToken& cancel) {
    TestResult result;
    result.statistic = KolmogorovSmirnovDistance(x, y);
    if (std::isnan(result.statistic)) {
        result.p_value = kNan;
        return result;
    }
    DLENT_ASSIGN_OR_RETURN(result.p_value,
                           KolmogorovSmirnovSf(result.statistic, static_cast<int64_t>(x.size()),
                                               static_cast<int64_t>(y.size()), method, cancel));
    return result;
}

double Wasserstein(std::span<const double> x, std::span<const double> y) {
    if (x.empty() || y.empty())
        return kNan;
    double area = 0.0;
    WalkSteps(x, y, [&](double width, double f, double g) { area += width * std::abs(f - g); });
    return area;
}

double NormalisedWasserstein(std::span<const double> x, std::span<const double> y) {
    if (x.empty() || y.empty())
        return kNan;
    const double count = static_cast<double>(x.size());
    const double mean = std::accumulate(x.begin(), x.end(), 0.0) / count;
    double squares = 0.0;
    for (const double value : x)
        squares += (value - mean) * (value - mean);
    return Wasserstein(x, y) / std::max(std::sqrt(squares / count), 0.001);
}

TestResult ChiSquaredFit(std::span<const double> reference, std::span<const double> current) {
    const double total_reference = std::accumulate(reference.begin(), reference.end(), 0.0);
    const double total_current = std::accumulate(current.begin(), current.end(), 0.0);
    if (reference.size() != current.size() || !(total_reference > 0.0) || !(total_current > 0.0))
        return {kNan, kNan};
    TestResult result;
    for (size_t i = 0; i < reference.size(); ++i) {
        const double expected = reference[i] * total_current / total_reference;
        const double gap = current[i] - expected;
        if (gap != 0.0)
            result.statistic += gap * gap / expected;
    }
    if (reference.size() > 1)
        result.p_value = ChiSquaredSf(result.statistic, static_cast<double>(reference.size() - 1));
    return result;
}

TestResult ChiSquaredContingency(std::span<const double> reference, std::span<const double> current,
                                 bool yates) {
    const double n = std::accumulate(reference.begin(), reference.end(), 0.0);
    const double m = std::accumulate(current.begin(), current.end(), 0.0);
    if (reference.size() != current.size() || !(n > 0.0) || !(m > 0.0))
        return {kNan, kNan};
    int columns = 0;
    for (size_t i = 0; i < reference.size(); ++i)
        columns += reference[i] + current[i] > 0.0;
    TestResult result;
    if (columns < 2)
        return result;
    const bool correct = yates && columns == 2;
    for (size_t i = 0; i < reference.size(); ++i) {
        const double total = reference[i] + current[i];
        if (total <= 0.0)
            continue;
        const double expected_n = total * n / (n + m);
        const double expected_m = total * m / (n + m);
        double gap = std::abs(reference[i] - expected_n);
        if (correct)
            gap -= std::min(0.5, gap);
        result.statistic += gap * gap / expected_n + gap * gap / expected_m;
    }
    result.p_value = ChiSquaredSf(result.statistic, columns - 1);
    return result;
}

TestResult DeequChiSquared(std::span<const double> reference, std::span<const double> current) {
    const double total_reference = std::accumulate(reference.begin(), reference.end(), 0.0);
    const double total_current = std::accumulate(current.begin(), current.end(), 0.0);
    if (reference.size() != current.size() || !(total_reference > 0.0) || !(total_current > 0.0))
        return {kNan, kNan};
    struct Category {
        double expected;
        double observed;
    };
    std::vector<Category> categories;
    for (size_t i = 0; i < reference.size(); ++i)
        categories.push_back({reference[i] * total_current / total_reference, current[i]});
    // the smallest last
    std::sort(categories.begin(), categories.end(),
              [](const Category& a, const Category& b) { return a.expected > b.expected; });
    const auto regular = [&] {
        const auto below = [&](double bound) {
            return std::count_if(categories.begin(), categories.end(),
                                 [bound](const Category& category) { return category.expected < bound; });
        };
        return categories.size() == 2
                   ? below(10.0) == 0
                   : static_cast<double>(below(5.0)) <= 0.2 * static_cast<double>(categories.size());
    };
    while (categories.size() > 1 && !regular()) {
        const Category merged{categories.back().expected + (categories.end() - 2)->expected,
                              categories.back().observed + (categories.end() - 2)->observed};
        categories.resize(categories.size() - 2);
        categories.insert(std::find_if(categories.begin(), categories.end(),
                                       [&](const Category& c) { return c.expected < merged.expected; }),
                          merged);
    }
    if (categories.size() < 2)
        return {kNan, kNan};
    std::vector<double> expected;
    std::vector<double> observed;
    for (const Category& category : categories) {
        expected.push_back(category.expected);
        observed.push_back(category.observed);
    }
    return ChiSquaredFit(expected, observed);
}

TestResult ProportionTest(double hits_x, double n, double hits_y, double m) {
    if (!(n > 0.0) || !(m > 0.0))
        return {kNan, kNan};
    const double pooled = (hits_x + hits_y) / (n + m);
    const double error = std::sqrt(pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m));
    if (!(error > 0.0))
        return {0.0, 1.0};
    const double z = (hits_x / n - hits_y / m) / error;
    return {z, 2.0 * NormalSf(std::abs(z))};
}

std::vector<double> BenjaminiHochberg(std::span<const double> p_values) {
    std::vector<size_t> order;
    for (size_t i = 0; i < p_values.size(); ++i) {
        if (!std::isnan(p_values[i]))
            order.push_back(i);
    }
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p_values[a] < p_values[b]; });
    std::vector<double> adjusted(p_values.begin(), p_values.end());
    double smallest = 1.0;
    for (size_t rank = order.size(); rank > 0; --rank) {
        const size_t i = order[rank - 1];
        smallest =
            std::min(smallest, p_values[i] * static_cast<double>(order.size()) / static_cast<double>(rank));
        adjusted[i] = smallest;
    }
    return adjusted;
}

std::vector<double> Bonferroni(std::span<const double> p_values) {
    const auto made =
        std::count_if(p_values.begin(), p_values.end(), [](double p) { return !std::isnan(p); });
    std::vector<double> adjusted;
    for (const double p : p_values)
        adjusted.push_back(std::isnan(p) ? p : std::min(1.0, p * static_cast<double>(made)));
    return adjusted;
}

}  // namespace dlent
