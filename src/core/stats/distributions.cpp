#include "core/stats/distributions.h"

#include <cmath>
#include <limits>

namespace dlent {
namespace {

constexpr double kEpsilon = 1e-16;
constexpr double kTiny = 1e-300;
constexpr int kMaxIterations = 100000;

/// x^a e^{-x} / Γ(a).
double GammaFactor(double a, double x) {
    return std::exp(a * std::log(x) - x - std::lgamma(a));
}

double GammaSeries(double a, double x) {
    double term = 1.0 / a;
    double sum = term;
    for (int i = 1; i < kMaxIterations; ++i) {
        term *= x / (a + i);
        sum += term;
        if (term < sum * kEpsilon)
            break;
    }
    return sum * GammaFactor(a, x);
}

double GammaFraction(double a, double x) {
    double b = x + 1.0 - a;
    double c = 1.0 / kTiny;
    double d = 1.0 / b;
    double h = d;
    for (int i = 1; i < kMaxIterations; ++i) {
        const double an = -i * (i - a);
        b += 2.0;
        d = an * d + b;
        if (std::abs(d) < kTiny)
            d = kTiny;
        c = b + an / c;
        if (std::abs(c) < kTiny)
            c = kTiny;
        d = 1.0 / d;
        const double factor = d * c;
        h *= factor;
        if (std::abs(factor - 1.0) < 1e-15)
            break;
    }
    return h * GammaFactor(a, x);
}

double BetaFraction(double a, double b, double x) {
    double c = 1.0;
    double d = 1.0 - (a + b) * x / (a + 1.0);
    if (std::abs(d) < kTiny)
        d = kTiny;
    d = 1.0 / d;
    double h = d;
    const auto step = [&](double numerator) {
        d = 1.0 + numerator * d;
        if (std::abs(d) < kTiny)
            d = kTiny;
        c = 1.0 + numerator / c;
        if (std::abs(c) < kTiny)
            c = kTiny;
        d = 1.0 / d;
        h *= d * c;
        return d * c;
    };
    for (int i = 1; i < kMaxIterations; ++i) {
        const double m = i;
        step(m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)));
        const double factor = step(-(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)));
        if (std::abs(factor - 1.0) < 1e-15)
            break;
    }
    return h;
}

template <int kCount>
double Polynomial(const double (&coefficients)[kCount], double x) {
    double sum = 0.0;
    for (int i = kCount - 1; i >= 0; --i)
        sum = sum * x + coefficients[i];
    return sum;
}

}  // namespace

double GammaP(double a, double x) {
    if (!(a > 0.0) || !(x >= 0.0))
        return kNan;
    if (x == 0.0)
        return 0.0;
    if (std::isinf(x))
        return 1.0;
    return x < a + 1.0 ? GammaSeries(a, x) : 1.0 - GammaFraction(a, x);
}

double GammaQ(double a, double x) {
    if (!(a > 0.0) || !(x >= 0.0))
        return kNan;
    if (x == 0.0)
        return 1.0;
    if (std::isinf(x))
        return 0.0;
    return x < a + 1.0 ? 1.0 - GammaSeries(a, x) : GammaFraction(a, x);
}

double BetaI(double a, double b, double x) {
    if (!(a > 0.0) || !(b > 0.0) || !(x >= 0.0 && x <= 1.0))
        return kNan;
    if (x == 0.0 || x == 1.0)
        return x;
    const double factor =
        std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
    if (x < (a + 1.0) / (a + b + 2.0))
        return factor * BetaFraction(a, b, x) / a;
    return 1.0 - factor * BetaFraction(b, a, 1.0 - x) / b;
}

double NormalCdf(double z) {
    return 0.5 * std::erfc(-z * M_SQRT1_2);
}

double NormalSf(double z) {
    return 0.5 * std::erfc(z * M_SQRT1_2);
}

double NormalQuantile(double p) {
    static constexpr double kA[] = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
                                    1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
                                    3.3430575583588128105e4, 2.5090809287301226727e3};
    static constexpr double kB[] = {1.0,
                                    4.2313330701600911252e1,
                                    6.8718700749205790830e2,
                                    5.3941960214247511077e3,
                                    2.1213794301586595867e4,
                                    3.9307895800092710610e4,
                                    2.8729085735721942674e4,
                                    5.2264952788528545610e3};
    static constexpr double kC[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                    5.76949722146069140550e0,  3.64784832476320460504e0,
                                    1.27045825245236838258e0,  2.41780725177450611770e-1,
                                    2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static constexpr double kD[] = {1.0,
                                    2.05319162663775882187e0,
                                    1.67638483018380384940e0,
                                    6.89767334985100004550e-1,
                                    1.48103976427480074590e-1,
                                    1.51986665636164571966e-2,
                                    5.47593808499534494600e-4,
                                    1.05075007164441684324e-9};
    static constexpr double kE[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                    1.78482653991729133580e0,  2.96560571828504891230e-1,
                                    2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                    2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static constexpr double kF[] = {1.0,
                                    5.99832206555887937690e-1,
                                    1.36929880922735805310e-1,
                                    1.48753612908506148525e-2,
                                    7.86869131145613259100e-4,
                                    1.84631831751005468180e-5,
                                    1.42151175831644588870e-7,
                                    2.04426310338993978564e-15};
    if (!(p >= 0.0 && p <= 1.0))
        return kNan;
    if (p == 0.0 || p == 1.0)
        return p == 0.0 ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
    const double q = p - 0.5;
    if (std::abs(q) <= 0.425) {
        const double r = 0.180625 - q * q;
        return q * Polynomial(kA, r) / Polynomial(kB, r);
    }
    double r = std::sqrt(-std::log(q < 0.0 ? p : 1.0 - p));
    double z;
    if (r <= 5.0) {
        r -= 1.6;
        z = Polynomial(kC, r) / Polynomial(kD, r);
    } else {
        r -= 5.0;
        z = Polynomial(kE, r) / Polynomial(kF, r);
    }
    return q < 0.0 ? -z : z;
}

double ChiSquaredSf(double x, double degrees) {
    return GammaQ(0.5 * degrees, 0.5 * x);
}

double ChiSquaredQuantile(double p, double degrees) {
    if (!(p >= 0.0 && p <= 1.0) || !(degrees > 0.0))
        return kNan;
    if (p == 0.0)
        return 0.0;
    if (p == 1.0)
        return std::numeric_limits<double>::infinity();
    // bracketed from Wilson and Hilferty's approximation, then halved: each step is one incomplete gamma
    const double spread = 2.0 / (9.0 * degrees);
    const double cube = 1.0 - spread + NormalQuantile(p) * std::sqrt(spread);
    double low = 0.0;
    double high = std::fmax(degrees * cube * cube * cube, 1e-8) * 2.0 + 1.0;
    while (GammaP(0.5 * degrees, 0.5 * high) < p) {
        low = high;
        high *= 2.0;
    }
    for (int i = 0; i < 200 && high - low > 1e-14 * high; ++i) {
        const double middle = 0.5 * (low + high);
        (GammaP(0.5 * degrees, 0.5 * middle) < p ? low : high) = middle;
    }
    return 0.5 * (low + high);
}

double BinomialSf(int64_t k, int64_t n, double p) {
    if (n < 0 || !(p >= 0.0 && p <= 1.0))
        return kNan;
    if (k <= 0)
        return 1.0;
    if (k > n)
        return 0.0;
    return BetaI(static_cast<double>(k), static_cast<double>(n - k + 1), p);
}

double StudentTwoSided(double t, double degrees) {
    if (!(degrees > 0.0) || std::isnan(t))
        return kNan;
    return BetaI(0.5 * degrees, 0.5, degrees / (degrees + t * t));
}

}  // namespace dlent
