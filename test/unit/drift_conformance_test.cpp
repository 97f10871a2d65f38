// Known answers of other projects' statistics: Evidently, NannyML, alibi-detect, TFDV, deequ, river.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/drift/binning.h"
#include "core/drift/detectors.h"
#include "core/drift/distances.h"
#include "core/drift/expected_performance.h"
#include "core/drift/multivariate.h"
#include "core/drift/tests.h"
#include "testing.h"

namespace dlent {
namespace {

const std::vector<double> kA = {38.7, 41.5, 43.8, 44.5, 45.5, 46, 47.7, 58};
const std::vector<double> kB = {39.2, 39.3, 39.7, 41.4, 41.8, 42.9, 43.3, 45.8};
const std::vector<double> kC = {16, 18, 16, 14, 12, 12};
const std::vector<double> kE = {16, 16, 16, 16, 16, 8};

std::vector<double> Range(int from, int to) {
    std::vector<double> values(static_cast<size_t>(to - from));
    std::iota(values.begin(), values.end(), from);
    return values;
}

TEST(DriftConformance, KolmogorovSmirnov) {
    struct Case {
        std::vector<double> x, y;
        SmirnovMethod method;
        double statistic, p_value;
    };
    const std::vector<double> r = Range(0, 100);
    const std::vector<double> s = Range(10, 110);
    const Case cases[] = {
        {kA, kB, SmirnovMethod::kExact, 0.625, 0.0870241},
        {kA, kB, SmirnovMethod::kAuto, 0.625, 0.0870241},
        {kA, kB, SmirnovMethod::kAsymptotic, 0.625, 0.0493164},
        {kA, kB, SmirnovMethod::kLimit, 0.625, 0.0878664},
        {r, s, SmirnovMethod::kExact, 0.1, 0.702057},
        {r, s, SmirnovMethod::kAsymptotic, 0.1, 0.662311},
    };
    for (const Case& test : cases) {
        const Expected<TestResult> result = KolmogorovSmirnovTest(test.x, test.y, test.method, kNever);
        ASSERT_TRUE(result.ok());
        EXPECT_NEAR(result->statistic, test.statistic, 1e-12);
        EXPECT_NEAR(result->p_value, test.p_value, test.p_value < 0.1 ? 6e-8 : 6e-7);
    }
}

TEST(DriftConformance, Wasserstein) {
    EXPECT_NEAR(Wasserstein(kA, kB), 4.1625, 1e-12);
    EXPECT_NEAR(NormalisedWasserstein(kA, kB), 0.781236, 5e-7);
    EXPECT_NEAR(NormalisedWasserstein(Range(0, 100), Range(10, 110)), 0.346427, 5e-7);
}

TEST(DriftConformance, DistancesOfCounts) {
    const std::vector<double> p = Shares(kC);
    const std::vector<double> q = Shares(kE);
    EXPECT_NEAR(PopulationStability(p, q), 0.0372184, 5e-8);
    EXPECT_NEAR(JensenShannonDistance(p, q, LogBase::kNatural), 0.0680482, 5e-8);
    EXPECT_NEAR(JensenShannonDistance(p, q, LogBase::kTwo), 0.0817342, 5e-8);
    EXPECT_NEAR(JensenShannonDivergence(p, q, LogBase::kTwo), 0.00668048, 5e-9);
    EXPECT_NEAR(ChebyshevDistance(p, q), 0.0454545, 5e-8);
    EXPECT_NEAR(TotalVariation(p, q), 0.0681818, 5e-8);
    EXPECT_NEAR(HellingerDistance(p, q), 0.0681277, 5e-8);
    const std::vector<double> before = {0.5, 0.5, 0.0};
    const std::vector<double> after = {0.5, 0.3, 0.2};
    EXPECT_NEAR(PopulationStability(before, after), 1.621586, 5e-7);
    EXPECT_NEAR(JensenShannonDistance(before, after, LogBase::kTwo), 0.343841, 5e-7);
    EXPECT_TRUE(std::isinf(PopulationStability(before, after, ZeroShare::kKeep)));
}

TEST(DriftConformance, ChiSquared) {
    const TestResult fit = ChiSquaredFit(kC, kE);
    EXPECT_NEAR(fit.statistic, 3.174603, 5e-7);
    EXPECT_NEAR(fit.p_value, 0.673088, 5e-7);
    const TestResult table = ChiSquaredContingency(kC, kE);
    EXPECT_NEAR(table.statistic, 1.622409, 5e-7);
    EXPECT_NEAR(table.p_value, 0.898526, 5e-7);
    const std::vector<double> first = {90, 10};
    const std::vector<double> second = {80, 20};
    EXPECT_NEAR(ChiSquaredContingency(first, second).p_value, 0.0747059, 5e-8);
    EXPECT_NEAR(ChiSquaredContingency(first, second, false).p_value, 0.0476704, 5e-8);
    // the square of z, and so the same p, without the correction
    EXPECT_NEAR(ProportionTest(10, 100, 20, 100).p_value, 0.0476704, 5e-8);
}

TEST(DriftConformance, EvidentlyBins) {
    const Histograms bins = EvidentlyHistograms(Range(0, 100), Range(10, 110));
    EXPECT_EQ(bins.reference.size(), 9u);
    EXPECT_NEAR(PopulationStability(Shares(bins.reference), Shares(bins.current)), 0.293267, 5e-7);
    EXPECT_NEAR(JensenShannonDistance(bins.reference, bins.current, LogBase::kNatural), 0.183551, 5e-7);
    // up to 20 distinct values of the reference are bins themselves
    EXPECT_EQ(EvidentlyHistograms(Range(0, 20), Range(5, 25)).reference.size(), 25u);
}

TEST(DriftConformance, NannyBins) {
    const Histograms bins = NannyHistograms(Range(0, 100), Range(10, 110));
    EXPECT_NEAR(JensenShannonDistance(bins.reference, bins.current, LogBase::kTwo), 0.272586, 5e-7);
    EXPECT_EQ(bins.current.back(), 10.0);  // what the reference has no bin for
}

TEST(DriftConformance, DecileStability) {
    const std::vector<double> edges = QuantileEdges(Range(0, 100), 10);
    EXPECT_NEAR(PopulationStability(Shares(CountInBins(Range(0, 100), edges)),
                                    Shares(CountInBins(Range(10, 110), edges))),
                0.759399, 5e-7);
}

TEST(DriftConformance, TfdvAlignment) {
    const Histograms aligned = AlignHistograms({{1, 2, 3}, {2, 2}}, {{2, 4, 6}, {2, 2}});
    EXPECT_NEAR(JensenShannonDivergence(aligned.reference, aligned.current, LogBase::kTwo), 0.65563906, 5e-9);
    // its own test: one outlier stretches the bins, and the divergence is nearly 1
    std::vector<double> outlier = Range(0, 100);
    outlier.push_back(100000.0);
    const Histograms stretched = AlignHistograms(TfdvHistogram(Range(0, 100)), TfdvHistogram(outlier));
    EXPECT_GT(JensenShannonDivergence(stretched.reference, stretched.current, LogBase::kTwo), 0.95);
}

TEST(DriftConformance, DeequDistance) {
    const std::vector<double> n1 = {10, 20, 25, 10, 5};
    const std::vector<double> m1 = {11, 20, 25, 10, 10};
    const double simple = ChebyshevDistance(Shares(n1), Shares(m1));
    EXPECT_NEAR(simple, 0.06015038, 5e-9);
    EXPECT_LT(simple - DeequNoise(70, 76), 0.0);  // its robust value is 0
    const std::vector<double> n2 = {207, 20, 25, 14, 25, 13, 0};
    const std::vector<double> m2 = {22, 20, 25, 12, 13, 0, 15};
    const double distance = ChebyshevDistance(Shares(n2), Shares(m2));
    EXPECT_NEAR(distance - DeequNoise(304, 107, 0.003), 0.27263380, 5e-9);
    EXPECT_NEAR(distance - DeequNoise(304, 107, 0.1), 0.33774199, 5e-9);
}

TEST(DriftConformance, DeequMergesSmallCategories) {
    // expected 96, 2, 1, 1: merged until two are left, of which one is below 10, then one: no answer
    EXPECT_TRUE(std::isnan(
        DeequChiSquared(std::vector<double>{96, 2, 1, 1}, std::vector<double>{96, 2, 1, 1}).p_value));
    const TestResult merged =
        DeequChiSquared(std::vector<double>{60, 30, 3, 3, 4}, std::vector<double>{55, 33, 4, 4, 4});
    // 3 + 3 merge into 6, then one of four is below 5, which is more than 20 %: 4 + 6 merge into 10
    EXPECT_NEAR(merged.statistic, 25.0 / 60 + 9.0 / 30 + 4.0 / 10, 1e-12);
}

TEST(DriftConformance, Mmd) {
    const std::vector<float> x = {0, 1, 2};
    const std::vector<float> y = {3, 4, 5};
    const RowsView a{x.data(), 3, 1};
    const RowsView b{y.data(), 3, 1};
    EXPECT_NEAR(MmdUnbiased(a, b, 1.0), 0.6964415, 5e-8);
    EXPECT_NEAR(MmdUnbiased(a, b, 4.0), 0.82898895, 5e-9);
    const Expected<MmdResult> test = MmdTest(a, b, 99, 1, kNever);
    ASSERT_TRUE(test.ok());
    EXPECT_GT(test->p_value, 0.0);
    EXPECT_LE(test->p_value, 1.0);
}

template <typename Detector, typename Value>
int FirstAlarm(Detector detector, int from, int to, Value value) {
    for (int i = 0; i < to; ++i) {
        if (detector.Update(value(i)) && i >= from)
            return i;
    }
    return -1;
}

TEST(DriftConformance, DetectorsOfMeans) {
    const auto level = [](int i) { return i < 1000 ? i % 2 : 4.0 + i % 4; };
    EXPECT_EQ(FirstAlarm(Adwin(), 0, 2000, level), 1023);
    EXPECT_EQ(FirstAlarm(PageHinkley(), 0, 2000, level), 1010);
    const auto error = [](int i) { return 7 * i % 10 < (i < 1000 ? 2 : 5) ? 1.0 : 0.0; };
    EXPECT_EQ(FirstAlarm(Adwin(), 0, 2000, error), 1183);
    EXPECT_EQ(FirstAlarm(PageHinkley(), 0, 2000, error), 1183);
}

TEST(DriftConformance, Ddm) {
    Ddm detector;
    int warning = -1;
    int drift = -1;
    for (int i = 0; i < 2000 && drift < 0; ++i) {
        const Ddm::State state = detector.Update(7 * i % 10 < (i < 1000 ? 2 : 5));
        if (state == Ddm::State::kWarning && warning < 0 && i >= 1000)
            warning = i;
        if (state == Ddm::State::kDrift && i >= 1000)
            drift = i;
    }
    EXPECT_EQ(warning, 1042);
    EXPECT_EQ(drift, 1090);
}

TEST(DriftConformance, KswinSeesAJump) {
    const auto level = [](int i) { return i < 1000 ? 7 * i % 10 : 20.0 + 7 * i % 10; };
    const int alarm = FirstAlarm(Kswin(1), 0, 2000, level);
    EXPECT_GE(alarm, 1000);
    EXPECT_LE(alarm, 1030);
}

TEST(DriftConformance, EstimatedPerformance) {
    const std::vector<double> p = {0.9, 0.8, 0.3, 0.1};
    const ExpectedPerformance expected = EstimatePerformance(p, p);
    EXPECT_NEAR(expected.accuracy, 0.825, 1e-12);
    EXPECT_NEAR(expected.f1, 0.829268, 5e-7);
    EXPECT_NEAR(expected.roc_auc, 0.863409, 5e-7);
}

TEST(DriftConformance, ManyTests) {
    const std::vector<double> p = {0.01, 0.04, 0.03, std::nan(""), 0.005};
    const std::vector<double> adjusted = BenjaminiHochberg(p);
    EXPECT_NEAR(adjusted[0], 0.02, 1e-15);
    EXPECT_NEAR(adjusted[1], 0.04, 1e-15);
    EXPECT_NEAR(adjusted[2], 0.04, 1e-15);
    EXPECT_TRUE(std::isnan(adjusted[3]));
    EXPECT_NEAR(adjusted[4], 0.02, 1e-15);
    EXPECT_NEAR(Bonferroni(p)[0], 0.04, 1e-15);
    EXPECT_EQ(Bonferroni(std::vector<double>{0.9, 0.9})[0], 1.0);
}

}  // namespace
}  // namespace dlent
