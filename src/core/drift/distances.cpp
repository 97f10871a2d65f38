#include "core/drift/distances.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/stats/distributions.h"

namespace dlent {
namespace {

bool Comparable(std::span<const double> p, std::span<const double> q) {
    return !p.empty() && p.size() == q.size();
}

std::vector<double> WithoutZeros(std::span<const double> shares) {
    double smallest = INFINITY;
    for (const double share : shares) {
        if (share > 0.0)
            smallest = std::min(smallest, share);
    }
    const double floor = smallest <= 1e-4 ? smallest / 1e6 : 1e-4;
    std::vector<double> filled(shares.begin(), shares.end());
    for (double& share : filled) {
        if (share == 0.0)
            share = floor;
    }
    return filled;
}

}  // namespace

double PopulationStability(std::span<const double> p, std::span<const double> q, ZeroShare zeros) {
    if (!Comparable(p, q))
        return kNan;
    std::vector<double> filled_p;
    std::vector<double> filled_q;
    if (zeros == ZeroShare::kEvidently) {
        filled_p = WithoutZeros(p);
        filled_q = WithoutZeros(q);
        p = filled_p;
        q = filled_q;
    }
    double sum = 0.0;
    for (size_t i = 0; i < p.size(); ++i) {
        if (p[i] != q[i])
            sum += (p[i] - q[i]) * std::log(p[i] / q[i]);
    }
    return sum;
}

double JensenShannonDivergence(std::span<const double> p, std::span<const double> q, LogBase base) {
    if (!Comparable(p, q))
        return kNan;
    const double total_p = std::accumulate(p.begin(), p.end(), 0.0);
    const double total_q = std::accumulate(q.begin(), q.end(), 0.0);
    if (!(total_p > 0.0) || !(total_q > 0.0))
        return kNan;
    double sum = 0.0;
    for (size_t i = 0; i < p.size(); ++i) {
        const double a = p[i] / total_p;
        const double b = q[i] / total_q;
        const double middle = 0.5 * (a + b);
        if (a > 0.0)
            sum += a * std::log(a / middle);
        if (b > 0.0)
            sum += b * std::log(b / middle);
    }
    const double natural = std::max(0.5 * sum, 0.0);
    return base == LogBase::kTwo ? natural / M_LN2 : natural;
}

double JensenShannonDistance(std::span<const double> p, std::span<const double> q, LogBase base) {
    return std::sqrt(JensenShannonDivergence(p, q, base));
}

double HellingerDistance(std::span<const double> p, std::span<const double> q) {
    if (!Comparable(p, q))
        return kNan;
    double overlap = 0.0;
    for (size_t i = 0; i < p.size(); ++i)
        overlap += std::sqrt(p[i] * q[i]);
    return std::sqrt(std::max(1.0 - overlap, 0.0));
}

double TotalVariation(std::span<const double> p, std::span<const double> q) {
    if (!Comparable(p, q))
        return kNan;
    double sum = 0.0;
    for (size_t i = 0; i < p.size(); ++i)
        sum += std::abs(p[i] - q[i]);
    return 0.5 * sum;
}

double ChebyshevDistance(std::span<const double> p, std::span<const double> q) {
    if (!Comparable(p, q))
        return kNan;
    double largest = 0.0;
    for (size_t i = 0; i < p.size(); ++i)
        largest = std::max(largest, std::abs(p[i] - q[i]));
    return largest;
}

double DeequNoise(double n, double m, double alpha) {
    const double factor = alpha > 0.0 ? std::sqrt(-0.5 * std::log(0.5 * alpha)) : 1.8;
    return factor * std::sqrt((n + m) / (n * m));
}

std::vector<double> Shares(std::span<const double> counts) {
    const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
    std::vector<double> shares;
    if (total > 0.0) {
        shares.reserve(counts.size());
        for (const double count : counts)
            shares.push_back(count / total);
    }
    return shares;
}

double DivergenceNullSf(double divergence_natural, double effective_rows, int bins) {
    return bins < 2 ? 1.0 : ChiSquaredSf(8.0 * effective_rows * divergence_natural, bins - 1);
}

double DivergenceNullQuantile(double quantile, double effective_rows, int bins) {
    return bins < 2 ? 0.0 : ChiSquaredQuantile(quantile, bins - 1) / (8.0 * effective_rows);
}

double StabilityNullQuantile(double quantile, double effective_rows, int bins) {
    return bins < 2 ? 0.0 : ChiSquaredQuantile(quantile, bins - 1) / effective_rows;
}

}  // namespace dlent
