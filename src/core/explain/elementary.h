#pragma once

#include <cstdint>

namespace dlent {

/// Elementary functions of the explainer, of sums, products and quotients alone, so that an explanation has
/// the same bytes on every processor and with every C library: an audit recomputes it years later. This needs
/// products that are not fused (-ffp-contract=off). Accurate to a few units in the last place. Static, so
/// that each instruction set has its own.

#define DLENT_ELEMENTARY [[gnu::always_inline]] static inline

/// exp(x); 0 below -708.
DLENT_ELEMENTARY double ExplainerExp(double x) {
    if (!(x > -708.0))
        return x != x ? x : 0.0;
    if (x > 709.0)
        x = 709.0;
    // x = n·ln2 + r, |r| <= ln2/2; the high part of ln2 has trailing zeros, so that n times it is exact
    const double n = static_cast<double>(static_cast<int64_t>(x * 1.4426950408889634 + (x < 0 ? -0.5 : 0.5)));
    const double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double sum = 1.0;
    for (int i = 17; i > 0; --i)
        sum = 1.0 + sum * r / static_cast<double>(i);
    const uint64_t bits = static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52;
    return sum * __builtin_bit_cast(double, bits);
}

/// ln(x) of a positive normal number.
DLENT_ELEMENTARY double ExplainerLog(double x) {
    const uint64_t bits = __builtin_bit_cast(uint64_t, x);
    int64_t exponent = static_cast<int64_t>(bits >> 52) - 1023;
    double mantissa = __builtin_bit_cast(double, (bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL);
    if (mantissa > 1.4142135623730951) {
        mantissa *= 0.5;
        ++exponent;
    }
    // ln m = 2·atanh(s), |s| <= 0.1716
    const double s = (mantissa - 1.0) / (mantissa + 1.0);
    const double s2 = s * s;
    double sum = 0.0;
    for (int i = 23; i > 0; i -= 2)
        sum = sum * s2 + 1.0 / static_cast<double>(i);
    const double n = static_cast<double>(exponent);
    return n * 6.93147180369123816490e-01 + (2.0 * s * sum + n * 1.90821492927058770002e-10);
}

/// The normal distribution function by its Taylor series (Marsaglia 2004, "Evaluating the Normal
/// Distribution"), to about 1e-15 absolute.
DLENT_ELEMENTARY double PortableNormalCdf(double x) {
    if (x < -8.3)
        return 0.0;
    if (x > 8.3)
        return 1.0;
    double sum = x;
    double term = x;
    double last = 0.0;
    for (int i = 3; sum != last; i += 2) {
        last = sum;
        term = term * x * x / static_cast<double>(i);
        sum += term;
    }
    return 0.5 + sum * 0.3989422804014327 * ExplainerExp(-0.5 * x * x);
}

/// PortableNormalQuantile(q + 0.5) for |q| < 0.425, of a number or of a vector of them.
template <typename Float>
DLENT_ELEMENTARY Float CentralNormalQuantile(Float q) {
    const Float r = 0.180625 - q * q;
    return q * (((5.9109374720e+01 * r + 1.5929113202e+02) * r + 5.0434271938e+01) * r + 3.3871327179e+00) /
           (((6.7187563600e+01 * r + 7.8757757664e+01) * r + 1.7895169469e+01) * r + 1.0);
}

/// Its inverse to 1e-7 of the value, for 0 < p < 1 (Wichura 1988, algorithm AS 241, PPND7): samples become
/// floats.
DLENT_ELEMENTARY double PortableNormalQuantile(double p) {
    const double q = p - 0.5;
    if (q > -0.425 && q < 0.425)
        return CentralNormalQuantile(q);
    double r = __builtin_sqrt(-ExplainerLog(q < 0.0 ? p : 1.0 - p));
    double value;
    if (r <= 5.0) {
        r -= 1.6;
        value = (((1.7023821103e-01 * r + 1.3067284816e+00) * r + 2.7568153900e+00) * r + 1.4234372777e+00) /
                ((1.2021132975e-01 * r + 7.3700164250e-01) * r + 1.0);
    } else {
        r -= 5.0;
        value = (((1.7337203997e-02 * r + 4.2868294337e-01) * r + 3.0812263860e+00) * r + 6.6579051150e+00) /
                ((1.2258202635e-02 * r + 2.4197894225e-01) * r + 1.0);
    }
    return q < 0.0 ? -value : value;
}

#undef DLENT_ELEMENTARY

}  // namespace dlent
