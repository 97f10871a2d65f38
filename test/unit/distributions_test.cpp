#include "core/stats/distributions.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/stats/kolmogorov.h"

namespace dlent {
namespace {

void ExpectClose(double actual, double expected, double relative) {
    EXPECT_NEAR(actual, expected, relative * std::abs(expected)) << expected;
}

TEST(Distributions, ChiSquaredMatchesTables) {
    ExpectClose(ChiSquaredSf(3.841458820694124, 1), 0.05, 1e-12);
    ExpectClose(ChiSquaredSf(18.307038053275143, 10), 0.05, 1e-12);
    ExpectClose(ChiSquaredSf(2.0, 2), std::exp(-1.0), 1e-13);
    ExpectClose(ChiSquaredSf(1400.0, 2), std::exp(-700.0), 1e-10);  // the far tail, not 1 − 1
    EXPECT_EQ(ChiSquaredSf(0.0, 3), 1.0);
    for (const double degrees : {1.0, 4.0, 99.0, 1000.0}) {
        for (const double p : {0.001, 0.5, 0.95, 0.9999})
            ExpectClose(1.0 - ChiSquaredSf(ChiSquaredQuantile(p, degrees), degrees), p, 1e-10);
    }
}

TEST(Distributions, NormalRoundTrips) {
    ExpectClose(NormalQuantile(0.975), 1.959963984540054, 1e-14);
    ExpectClose(NormalSf(10.0), 7.619853024160527e-24, 1e-12);
    for (const double p : {1e-300, 1e-9, 0.01, 0.3, 0.5, 0.77, 0.999})
        ExpectClose(NormalCdf(NormalQuantile(p)), p, 1e-12);
    EXPECT_TRUE(std::isnan(NormalQuantile(1.5)));
}

TEST(Distributions, BetaGivesBinomialAndStudent) {
    // 10 coins: at least 8 heads
    ExpectClose(BinomialSf(8, 10, 0.5), 56.0 / 1024.0, 1e-13);
    EXPECT_EQ(BinomialSf(0, 10, 0.5), 1.0);
    EXPECT_EQ(BinomialSf(11, 10, 0.5), 0.0);
    ExpectClose(StudentTwoSided(std::tan(0.475 * M_PI), 1), 0.05, 1e-12);
    ExpectClose(StudentTwoSided(2.2281388519649385, 10), 0.0500000000018086, 1e-12);
    ExpectClose(BetaI(2.0, 3.0, 0.4), 0.5248, 1e-13);  // a polynomial: 6x² − 8x³ + 3x⁴
}

TEST(Kolmogorov, LimitMatchesBothOfItsSeries) {
    ExpectClose(KolmogorovLimitSf(1.3580986393225505), 0.05, 1e-9);
    ExpectClose(KolmogorovLimitSf(0.5), 0.9639452436648751, 1e-12);
    ExpectClose(KolmogorovLimitSf(std::nextafter(1.0, 0.0)), KolmogorovLimitSf(1.0), 1e-12);
    EXPECT_EQ(KolmogorovLimitSf(0.0), 1.0);
}

TEST(Kolmogorov, OneSampleIsExactForFewValues) {
    // n = 1: D is uniform on [1/2, 1]
    ExpectClose(KolmogorovSf(0.8, 1), 0.4, 1e-12);
    ExpectClose(KolmogorovSf(0.274, 10), 1.0 - 0.6284796154565,
                1e-11);  // Marsaglia, Tsang and Wang's example
    EXPECT_EQ(KolmogorovSf(0.0, 5), 1.0);
    EXPECT_EQ(KolmogorovSf(1.0, 5), 0.0);
}

TEST(Kolmogorov, MethodsMeet) {
    // matrix, sum and expansion agree where one hands over to another
    for (const double z : {0.6, 0.9, 1.2, 1.47, 1.49, 1.9, 2.01}) {
        const double exact = KolmogorovSf(z / std::sqrt(140.0), 140);
        const double next = KolmogorovSf(z / std::sqrt(141.0), 141);
        EXPECT_NEAR(next, exact, 1e-3 * exact + 2e-5) << z;
    }
    ExpectClose(KolmogorovSf(3.0 / std::sqrt(20000.0), 20000), KolmogorovSf(3.0 / std::sqrt(20001.0), 20001),
                3e-3);
}

TEST(Kolmogorov, TwoSamplesByHand) {
    // 2 and 2 values: of 6 orders, 2 are separated (D = 1), the others have D = 1/2
    EXPECT_NEAR(*SmirnovExactSf(1.0, 2, 2, NeverCancelled()), 2.0 / 6.0, 1e-15);
    EXPECT_NEAR(*SmirnovExactSf(0.5, 2, 2, NeverCancelled()), 1.0, 1e-15);
    // 3 and 2: D = 1 in 2 of 10
    EXPECT_NEAR(*SmirnovExactSf(1.0, 3, 2, NeverCancelled()), 0.2, 1e-15);
    // no cancellation in the far tail: 2 / C(60, 30)
    ExpectClose(*SmirnovExactSf(1.0, 30, 30, NeverCancelled()), 2.0 / 1.1826458156486114e17, 1e-10);
}

TEST(Kolmogorov, ExactMeetsAsymptotic) {
    ExpectClose(*SmirnovExactSf(0.05, 2000, 2000, NeverCancelled()), KolmogorovSf(0.05, 1000), 0.05);
}

}  // namespace
}  // namespace dlent
