#include "core/stats/kolmogorov.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace dlent {
namespace {

/// Up to so many values the matrix is small enough.
constexpr int64_t kMatrixValues = 140;
/// From here on Smirnov's sum has more terms than its limit has error.
constexpr int64_t kSumValues = 20000;

using Matrix = std::vector<double>;

Matrix Multiply(const Matrix& a, const Matrix& b, int size) {
    Matrix product(a.size(), 0.0);
    for (int i = 0; i < size; ++i) {
        for (int k = 0; k < size; ++k) {
            const double factor = a[i * size + k];
            for (int j = 0; j < size; ++j)
                product[i * size + j] += factor * b[k * size + j];
        }
    }
    return product;
}

/// P(D < d) as an element of the n-th power of a matrix (Marsaglia, Tsang and Wang).
double MatrixCdf(double d, int64_t n) {
    const int k = static_cast<int>(static_cast<double>(n) * d) + 1;
    const int size = 2 * k - 1;
    const double h = k - static_cast<double>(n) * d;
    Matrix base(static_cast<size_t>(size) * size);
    for (int i = 0; i < size; ++i) {
        for (int j = 0; j < size; ++j)
            base[i * size + j] = i - j + 1 < 0 ? 0.0 : 1.0;
    }
    for (int i = 0; i < size; ++i) {
        base[i * size] -= std::pow(h, i + 1);
        base[(size - 1) * size + i] -= std::pow(h, size - i);
    }
    base[(size - 1) * size] += 2.0 * h - 1.0 > 0.0 ? std::pow(2.0 * h - 1.0, size) : 0.0;
    for (int i = 0; i < size; ++i) {
        for (int j = 0; j <= i && j < size; ++j) {
            for (int g = 1; g <= i - j + 1; ++g)
                base[i * size + j] /= g;
        }
    }
    Matrix power(base.size(), 0.0);
    for (int i = 0; i < size; ++i)
        power[i * size + i] = 1.0;
    int exponent = 0;  // of 10, kept apart for both
    int base_exponent = 0;
    const auto rescale = [&](Matrix* matrix, int* tens) {
        if ((*matrix)[(k - 1) * size + k - 1] > 1e140) {
            for (double& element : *matrix)
                element *= 1e-140;
            *tens += 140;
        }
    };
    for (int64_t left = n; left > 0; left >>= 1) {
        if (left & 1) {
            power = Multiply(power, base, size);
            exponent += base_exponent;
            rescale(&power, &exponent);
        }
        if (left > 1) {
            base = Multiply(base, base, size);
            base_exponent *= 2;
            rescale(&base, &base_exponent);
        }
    }
    double result = power[(k - 1) * size + k - 1];
    for (int64_t i = 1; i <= n; ++i) {
        result *= static_cast<double>(i) / static_cast<double>(n);
        if (result < 1e-140) {
            result *= 1e140;
            exponent -= 140;
        }
    }
    return result * std::pow(10.0, exponent);
}

/// P(D⁺ ≥ d), the one-sided statistic: Smirnov's sum, whose terms are all positive.
double OneSidedSf(double d, int64_t n) {
    const double count = static_cast<double>(n);
    if (n > kSumValues) {
        const double x = 6.0 * count * d + 1.0;
        return std::exp(-x * x / (18.0 * count));
    }
    const double log_d = std::log(d);
    double sum = 0.0;
    for (int64_t j = 0; j <= static_cast<int64_t>(count * (1.0 - d)); ++j) {
        const double share = static_cast<double>(j) / count;
        const double rest = 1.0 - d - share;
        if (rest <= 0.0)
            break;
        sum += std::exp(std::lgamma(count + 1.0) - std::lgamma(static_cast<double>(j) + 1.0) -
                        std::lgamma(count - static_cast<double>(j) + 1.0) +
                        (count - static_cast<double>(j)) * std::log(rest) +
                        (static_cast<double>(j) - 1.0) * std::log(d + share) + log_d);
    }
    return sum;
}

/// P(D < d) by the expansion of Pelz and Good (1976) in powers of n^(-1/2).
double ExpansionCdf(double d, int64_t n) {
    constexpr int kTerms = 20;
    const double root = std::sqrt(static_cast<double>(n));
    const double z = root * d;
    const double z2 = z * z;
    const double z4 = z2 * z2;
    const double z6 = z4 * z2;
    const double pi2 = M_PI * M_PI;
    const double pi4 = pi2 * pi2;
    const double w = pi2 / (2.0 * z2);
    const double half_root = std::sqrt(M_PI / 2.0);
    double k0 = 0.0;
    double k1 = 0.0;
    double k2 = 0.0;
    double k3 = 0.0;
    for (int j = 0; j < kTerms; ++j) {
        const double t2 = (j + 0.5) * (j + 0.5);
        const double e = std::exp(-t2 * w);
        k0 += e;
        k1 += (pi2 * t2 - z2) * e;
        k2 += (6.0 * z6 + 2.0 * z4 + pi2 * (2.0 * z4 - 5.0 * z2) * t2 + pi4 * (1.0 - 2.0 * z2) * t2 * t2) * e;
        k3 += (-30.0 * z6 - 90.0 * z4 * z4 + pi2 * (135.0 * z4 - 96.0 * z6) * t2 +
               pi4 * (212.0 * z4 - 60.0 * z2) * t2 * t2 + pi2 * pi4 * t2 * t2 * t2 * (5.0 - 30.0 * z2)) *
              e;
    }
    double k2_whole = 0.0;
    double k3_whole = 0.0;
    for (int j = 1; j <= kTerms; ++j) {
        const double t2 = static_cast<double>(j) * j;
        const double e = std::exp(-t2 * w);
        k2_whole += pi2 * t2 * e;
        k3_whole += (3.0 * pi2 * z2 * t2 - pi4 * t2 * t2) * e;
    }
    const double count = static_cast<double>(n);
    return k0 * std::sqrt(2.0 * M_PI) / z + k1 * half_root / (root * 3.0 * z4) +
           k2 * half_root / (count * 36.0 * z * z6) - k2_whole * half_root / (count * 18.0 * z * z2) +
           k3 * half_root / (root * count * 3240.0 * z4 * z6) +
           k3_whole * half_root / (root * count * 108.0 * z6);
}

}  // namespace

double KolmogorovLimitSf(double z) {
    if (std::isnan(z))
        return z;
    if (z <= 0.0)
        return 1.0;
    if (z < 1.0) {
        // the theta function's other form converges where this one does not
        double sum = 0.0;
        for (int j = 1; j < 40; j += 2)
            sum += std::exp(-j * j * M_PI * M_PI / (8.0 * z * z));
        return 1.0 - std::sqrt(2.0 * M_PI) / z * sum;
    }
    double sum = 0.0;
    for (int j = 1; j < 40; ++j)
        sum += (j % 2 == 1 ? 2.0 : -2.0) * std::exp(-2.0 * j * j * z * z);
    return sum;
}

double KolmogorovSf(double d, int64_t n) {
    if (std::isnan(d) || n <= 0)
        return std::numeric_limits<double>::quiet_NaN();
    const double count = static_cast<double>(n);
    if (d <= 0.5 / count)
        return 1.0;
    if (d >= 1.0)
        return 0.0;
    const double spread = count * d * d;
    double sf;
    if (d >= 0.5 || spread > (n <= kMatrixValues ? 4.0 : 2.2))
        sf = 2.0 * OneSidedSf(d, n);
    else if (n <= kMatrixValues)
        sf = 1.0 - MatrixCdf(d, n);
    else
        sf = 1.0 - ExpansionCdf(d, n);
    return std::clamp(sf, 0.0, 1.0);
}

Expected<double> SmirnovExactSf(double d, int64_t n, int64_t m, const CancelToken& cancel) {
    if (std::isnan(d) || n <= 0 || m <= 0)
        return std::numeric_limits<double>::quiet_NaN();
    if (n > m)
        std::swap(n, m);
    // |i/n − j/m| ≥ d in whole numbers: differences of lattice points are multiples of 1/lcm
    const int64_t common = std::gcd(n, m);
    const int64_t step_n = m / common;
    const int64_t step_m = n / common;
    const double bound = std::round(d * static_cast<double>(step_n) * static_cast<double>(n));
    if (bound <= 0.0)
        return 1.0;
    constexpr int64_t kPollEvery = 1 << 21;
    int64_t until_poll = kPollEvery;
    // touched[i]: share of the paths from (0, 0) to (i, j) that have reached the bound; no cancellation
    std::vector<double> touched(static_cast<size_t>(n) + 1);
    for (int64_t j = 0; j <= m; ++j) {
        if ((until_poll -= n) <= 0) {
            if (cancel.IsCancelled())
                return Status::Cancelled();
            until_poll = kPollEvery;
        }
        for (int64_t i = 0; i <= n; ++i) {
            const double distance = std::abs(static_cast<double>(i * step_n - j * step_m));
            if (distance >= bound) {
                touched[i] = 1.0;
            } else if (i + j > 0) {
                const double whole = static_cast<double>(i + j);
                touched[i] = (i > 0 ? touched[i - 1] * (static_cast<double>(i) / whole) : 0.0) +
                             (j > 0 ? touched[i] * (static_cast<double>(j) / whole) : 0.0);
            }
        }
    }
    return std::min(touched[n], 1.0);
}

}  // namespace dlent
