#include "core/drift/profile.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/random.h"
#include "core/drift/distances.h"
#include "core/drift/multivariate.h"
#include "core/drift/reference.h"
#include "table_testing.h"
#include "testing.h"

namespace dlent {
namespace {

DriftSample NormalSample(size_t rows, float mean, float spread, uint64_t seed) {
    RandomStream random(seed);
    std::vector<float> values(rows);
    for (float& value : values)
        value = mean + spread * random.Normal();
    return DriftSample::OfNumbers(values, true);
}

DriftFinding CompareOne(const DriftSample& reference, const DriftSample& current,
                        const DriftOptions& options = {}) {
    const DriftComparison comparison{"x", "feature", &reference, &current};
    Expected<std::vector<DriftFinding>> findings = CompareSamples({&comparison, 1}, options, kNever);
    EXPECT_TRUE(findings.ok());
    return findings->front();
}

DriftOptions With(DriftProfile profile) {
    DriftOptions options;
    options.profile = profile;
    return options;
}

TEST(DriftProfile, DefaultWantsBothChanceAndSize) {
    // large and beyond chance
    EXPECT_EQ(CompareOne(NormalSample(1000, 0, 1, 1), NormalSample(1000, 1, 1, 2)).drifted, true);
    // beyond chance, but small: a million rows make every ripple significant
    const DriftFinding ripple = CompareOne(NormalSample(200000, 0, 1, 3), NormalSample(200000, 0.05f, 1, 4));
    EXPECT_LT(*ripple.p_value, 1e-10);
    EXPECT_EQ(ripple.drifted, false);
    // a threshold of one's own finds it
    DriftOptions sharp;
    sharp.threshold = 0.01;
    EXPECT_EQ(CompareOne(NormalSample(200000, 0, 1, 3), NormalSample(200000, 0.05f, 1, 4), sharp).drifted,
              true);
    // large, but not beyond chance
    const DriftFinding few = CompareOne(NormalSample(6, 0, 1, 5), NormalSample(6, 0.5f, 1, 6));
    EXPECT_GT(*few.value, 0.1);
    EXPECT_EQ(few.drifted, false);
}

TEST(DriftProfile, MissingValuesAreJudgedApart) {
    std::vector<float> values(1000, 1.0f);
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(i % 37);
    const DriftSample whole = DriftSample::OfNumbers(values, false);
    for (size_t i = 0; i < values.size(); i += 4)
        values[i] = NAN;
    values[1] = INFINITY;
    const DriftSample holes = DriftSample::OfNumbers(values, false);
    EXPECT_EQ(holes.missing, 251u);
    const DriftComparison comparison{"x", "feature", &whole, &holes};
    const Expected<std::vector<DriftFinding>> findings = CompareSamples({&comparison, 1}, {}, kNever);
    ASSERT_TRUE(findings.ok());
    ASSERT_EQ(findings->size(), 2u);
    EXPECT_EQ((*findings)[0].drifted, false);  // what is there is as it was
    EXPECT_EQ((*findings)[1].kind, "missing");
    EXPECT_EQ((*findings)[1].drifted, true);
    EXPECT_EQ((*findings)[1].details["share"], 0.251);
}

TEST(DriftProfile, NothingIsInconclusive) {
    const DriftSample none = DriftSample::OfNumbers(std::vector<float>{}, false);
    const DriftSample missing = DriftSample::OfNumbers(std::vector<float>(10, NAN), false);
    for (const DriftProfile profile : {DriftProfile::kDlent, DriftProfile::kEvidently, DriftProfile::kNannyml,
                                       DriftProfile::kBigquery, DriftProfile::kAlibi, DriftProfile::kDeequ}) {
        for (const DriftSample* current : {&none, &missing}) {
            const DriftFinding finding = CompareOne(NormalSample(100, 0, 1, 1), *current, With(profile));
            EXPECT_FALSE(finding.drifted.has_value());
            EXPECT_FALSE(finding.value.has_value());
        }
        // a constant is a distribution like any other
        const DriftSample constant = DriftSample::OfNumbers(std::vector<float>(50, 3.0f), true);
        EXPECT_EQ(CompareOne(constant, constant, With(profile)).drifted, false) << DriftProfileName(profile);
    }
}

TEST(DriftProfile, EveryProfileSeesAGreatShift) {
    for (const DriftProfile profile : {DriftProfile::kDlent, DriftProfile::kEvidently, DriftProfile::kNannyml,
                                       DriftProfile::kBigquery, DriftProfile::kAlibi, DriftProfile::kDeequ}) {
        EXPECT_EQ(CompareOne(NormalSample(2000, 0, 1, 1), NormalSample(2000, 4, 1, 2), With(profile)).drifted,
                  true)
            << DriftProfileName(profile);
        EXPECT_EQ(
            CompareOne(NormalSample(20000, 0, 1, 1), NormalSample(20000, 0, 1, 2), With(profile)).drifted,
            false)
            << DriftProfileName(profile);
    }
}

TEST(DriftProfile, EvidentlyChoosesByRows) {
    EXPECT_EQ(
        CompareOne(NormalSample(1000, 0, 1, 1), NormalSample(50, 0, 1, 2), With(DriftProfile::kEvidently))
            .statistic,
        "ks");
    EXPECT_EQ(
        CompareOne(NormalSample(1001, 0, 1, 1), NormalSample(50, 0, 1, 2), With(DriftProfile::kEvidently))
            .statistic,
        "wasserstein");
    const std::vector<std::string> labels = {"a", "b", "c"};
    const auto levels = [&](int rows, int of) {
        std::vector<int32_t> classes;
        for (int i = 0; i < rows; ++i)
            classes.push_back(i % of);
        return DriftSample::OfClasses(classes, labels, false);
    };
    EXPECT_EQ(CompareOne(levels(300, 2), levels(300, 2), With(DriftProfile::kEvidently)).statistic, "z");
    EXPECT_EQ(CompareOne(levels(300, 3), levels(300, 3), With(DriftProfile::kEvidently)).statistic,
              "chi_squared");
    EXPECT_EQ(CompareOne(levels(3000, 3), levels(300, 3), With(DriftProfile::kEvidently)).statistic,
              "js_distance");
}

TEST(DriftProfile, UnseenLevelsAreSeen) {
    const std::vector<std::string> labels = {"a", "b", "new"};
    std::vector<int32_t> before;
    std::vector<int32_t> now;
    for (int i = 0; i < 400; ++i) {
        before.push_back(i % 2);
        now.push_back(i % 10 == 0 ? 2 : i % 2);
    }
    const DriftFinding finding =
        CompareOne(DriftSample::OfClasses(before, labels, false), DriftSample::OfClasses(now, labels, false));
    EXPECT_EQ(finding.drifted, true);
    EXPECT_NEAR(finding.details["unseen_levels"].get<double>(), 0.1, 1e-12);
}

/// Reports on unchanged data alarm in at most 5 % of cases; the large simulation is bench/drift_bench.
TEST(DriftProfile, FewFalseAlarms) {
    int alarms = 0;
    constexpr int kReports = 300;
    for (int report = 0; report < kReports; ++report) {
        std::vector<DriftSample> samples;
        for (int i = 0; i < 20; ++i)
            samples.push_back(NormalSample(100, 0, 1, static_cast<uint64_t>(report) * 100 + i));
        std::vector<DriftComparison> comparisons;
        for (int i = 0; i < 10; ++i)
            comparisons.push_back({"x", "feature", &samples[2 * i], &samples[2 * i + 1]});
        const Expected<std::vector<DriftFinding>> findings = CompareSamples(comparisons, {}, kNever);
        ASSERT_TRUE(findings.ok());
        for (const DriftFinding& finding : *findings) {
            if (finding.drifted.value_or(false)) {
                ++alarms;
                break;
            }
        }
    }
    EXPECT_LE(alarms, 15);
    EXPECT_GT(alarms, 0);  // a test that never rejects would see nothing either
}

TEST(QuantileSketch, KeepsTheDistribution) {
    const DriftSample sample = NormalSample(10000, 5, 2, 1);
    EXPECT_LE(sample.sketch.edges.size(), 64u);
    EXPECT_EQ(sample.sketch.total(), 10000.0);
    EXPECT_NEAR(sample.sketch.Quantile(0.5), 5.0, 0.1);
    EXPECT_NEAR(sample.sketch.Quantile(0.025), 5.0 - 1.96 * 2.0, 0.2);
    const std::vector<double> stand_in = sample.sketch.Expand(2000);
    EXPECT_EQ(stand_in.size(), 2000u);
    EXPECT_TRUE(std::is_sorted(stand_in.begin(), stand_in.end()));
    EXPECT_NEAR(stand_in[1000], 5.0, 0.1);
    // few values are kept as they are
    const DriftSample few = DriftSample::OfNumbers(std::vector<float>{3, 1, 3, 2}, false);
    EXPECT_TRUE(few.sketch.exact);
    EXPECT_EQ(few.sketch.Expand(100), (std::vector<double>{1, 2, 3, 3}));
    EXPECT_EQ(few.sketch.Quantile(0.6), 3.0);
}

TEST(QuantileSketch, ManyTiesAndOneOutlier) {
    std::vector<float> values(1000, 0.0f);
    for (int i = 0; i < 100; ++i)
        values[i] = 1.0f + i;
    values[999] = 1e30f;
    const DriftSample sample = DriftSample::OfNumbers(values, false);
    EXPECT_EQ(sample.sketch.edges.front(), 0.0);
    EXPECT_EQ(sample.sketch.counts.front(), 899.0);
    EXPECT_EQ(sample.sketch.edges.back(), static_cast<double>(1e30f));
    EXPECT_EQ(sample.sketch.total(), 1000.0);
}

TEST(DriftSample, RoundTripsThroughJson) {
    const DriftSample numbers = NormalSample(5000, 0, 1, 7);
    const Expected<DriftSample> again = DriftSample::FromJson(Json::parse(numbers.ToJson().dump()));
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->sketch.edges, numbers.sketch.edges);
    EXPECT_EQ(again->sketch.counts, numbers.sketch.counts);
    EXPECT_EQ(CompareOne(*again, NormalSample(500, 0.2f, 1, 8)).value,
              CompareOne(numbers, NormalSample(500, 0.2f, 1, 8)).value);
    std::vector<int32_t> classes;
    std::vector<std::string> labels;
    for (int i = 0; i < 100; ++i)
        labels.push_back("level " + std::to_string(i));
    for (int i = 0; i < 1000; ++i)
        classes.push_back(i % 100);
    const Expected<DriftSample> levels =
        DriftSample::FromJson(DriftSample::OfClasses(classes, labels, false).ToJson());
    ASSERT_TRUE(levels.ok());
    EXPECT_EQ(levels->levels.size(), kReferenceLevels);
    EXPECT_EQ(levels->other_count, 360.0);  // bounded, and nothing lost
}

TEST(DriftSample, RefusesDamagedJson) {
    const Json good = NormalSample(100, 0, 1, 1).ToJson();
    ASSERT_TRUE(DriftSample::FromJson(good).ok());
    std::vector<Json> bad(6, good);
    bad[0].erase("rows");
    bad[1]["missing"] = -1;
    bad[2]["edges"][1] = bad[2]["edges"][0];
    bad[3]["counts"].erase(bad[3]["counts"].begin());
    bad[4]["edges"][0] = "x";
    bad[5] = Json::array();
    for (const Json& json : bad)
        EXPECT_FALSE(DriftSample::FromJson(json).ok()) << json.dump().substr(0, 80);
}

TEST(Multivariate, SeesWhatMarginalsHide) {
    // both columns keep their distributions; only what one says of the other changes its sign
    constexpr size_t kRows = 400;
    const auto draw = [](float sign, uint64_t seed) {
        RandomStream random(seed);
        std::vector<float> rows;
        for (size_t i = 0; i < kRows; ++i) {
            const float x = random.Normal();
            rows.push_back(x);
            rows.push_back(sign * 0.9f * x + 0.43589f * random.Normal());
        }
        return rows;
    };
    const std::vector<float> before = draw(1.0f, 1);
    const std::vector<float> same = draw(1.0f, 2);
    const std::vector<float> turned = draw(-1.0f, 3);
    const auto view = [](const std::vector<float>& rows) { return RowsView{rows.data(), kRows, 2}; };
    EXPECT_LT(MmdTest(view(before), view(turned), 99, 1, kNever)->p_value, 0.05);
    EXPECT_GT(MmdTest(view(before), view(same), 99, 1, kNever)->p_value, 0.05);
    const Expected<ClassifierTestResult> classifier = ClassifierTest(view(before), view(turned), 1, kNever);
    EXPECT_GT(classifier->roc_auc, 0.7);
    EXPECT_LT(classifier->p_value, 0.001);
    const Expected<ClassifierTestResult> quiet = ClassifierTest(view(before), view(same), 1, kNever);
    EXPECT_NEAR(quiet->roc_auc, 0.5, 0.08);
    EXPECT_GT(quiet->p_value, 0.01);
}

TEST(Calibration, IsKeptWhereItHelps) {
    RandomStream random(1);
    std::vector<float> honest;
    std::vector<float> boastful;
    std::vector<int32_t> labels;
    for (int i = 0; i < 4000; ++i) {
        const float p = random.NextFloat();
        labels.push_back(random.NextFloat() < p ? 1 : 0);
        honest.push_back(p);
        boastful.push_back(p < 0.5f ? p * p : 1.0f - (1.0f - p) * (1.0f - p));
    }
    const std::optional<IsotonicCalibrator> needed = CalibrateIfBetter(boastful, labels);
    ASSERT_TRUE(needed.has_value());
    EXPECT_NEAR((*needed)(0.91), 0.7, 0.06);
    EXPECT_NEAR((*needed)(0.09), 0.3, 0.06);
    const Expected<IsotonicCalibrator> again = IsotonicCalibrator::FromJson(needed->ToJson());
    ASSERT_TRUE(again.ok());
    EXPECT_NEAR((*again)(0.5), (*needed)(0.5), 1e-6);
    // never falls
    for (int i = 1; i <= 100; ++i)
        EXPECT_GE((*needed)(i / 100.0), (*needed)((i - 1) / 100.0));
    EXPECT_FALSE(CalibrateIfBetter(std::vector<float>(10, 0.5f), std::vector<int32_t>(10, 1)).has_value());
}

}  // namespace
}  // namespace dlent
