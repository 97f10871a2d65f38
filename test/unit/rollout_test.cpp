// Known answers of GrowthBook's bucketing and sequential statistics.

#include <gtest/gtest.h>

#include <cmath>

#include "core/rollout/bucket.h"
#include "core/rollout/experiment.h"

namespace dlent {
namespace {

TEST(Bucket, MatchesGrowthBook) {
    struct Case {
        const char* seed;
        const char* unit;
        double bucket;
    };
    for (const Case& test : {Case{"seed", "a", 0.0505}, Case{"seed", "b", 0.2696}, Case{"foo", "ab", 0.2575},
                             Case{"foo", "def", 0.2019}})
        EXPECT_DOUBLE_EQ(Bucket(test.seed, test.unit), test.bucket) << test.unit;
    EXPECT_EQ(Fnv1a32(""), 0x811c9dc5u);
    EXPECT_EQ(Fnv1a32("foobar"), 0xbf9cf968u);  // the hash's published vector
    EXPECT_EQ(Fnv1a32("bar", Fnv1a32("foo")), Fnv1a32("foobar"));
}

TEST(Bucket, RangesKeepUnitsWhereTheyAre) {
    const std::vector<double> weights = {0.2, 0.3, 0.5};
    const std::vector<BucketRange> few = BucketRanges(weights, 0.2);
    const double expected[][2] = {{0.0, 0.04}, {0.2, 0.26}, {0.5, 0.6}};
    for (int i = 0; i < 3; ++i) {
        EXPECT_NEAR(few[i].begin, expected[i][0], 1e-12);
        EXPECT_NEAR(few[i].end, expected[i][1], 1e-12);
    }
    const std::vector<BucketRange> all = BucketRanges(weights, 1.0);
    for (int i = 0; i < 10000; ++i) {
        const double bucket = i / 10000.0;
        const int before = ArmOfBucket(bucket, few);
        EXPECT_GE(ArmOfBucket(bucket, all), 0) << bucket;
        if (before >= 0) {
            EXPECT_EQ(ArmOfBucket(bucket, all), before) << bucket;
        }
    }
}

TEST(SampleRatio, Alarms) {
    const std::vector<double> even = {1, 1};
    const SampleRatio quiet = SampleRatioMismatch(std::vector<double>{500, 600}, even);
    EXPECT_NEAR(quiet.p_value, 0.0025688, 5e-8);
    EXPECT_FALSE(quiet.mismatch);
    const SampleRatio alarm = SampleRatioMismatch(std::vector<double>{5000, 5400}, even);
    EXPECT_NEAR(alarm.p_value, 8.76994e-5, 5e-11);
    EXPECT_TRUE(alarm.mismatch);
    // so few units say nothing
    EXPECT_FALSE(SampleRatioMismatch(std::vector<double>{0, 40}, even).mismatch);
    EXPECT_TRUE(std::isnan(SampleRatioMismatch(std::vector<double>{0, 0}, even).p_value));
}

TEST(Sequential, MatchesGrowthBook) {
    const ConfidenceSequence sequence = SequentialInterval({0.5033611, 0.3334122, 6461}, 0.05, 1000);
    EXPECT_NEAR(sequence.low, -0.55844, 5e-6);
    EXPECT_NEAR(sequence.high, 1.56516, 5e-6);
    EXPECT_EQ(sequence.p_value, 1.0);
    const auto rates = [](double control, double treatment) {
        return DifferenceOf(RateStatistics(control * 10000, 10000), RateStatistics(treatment * 10000, 10000));
    };
    EXPECT_NEAR(FixedPValue(rates(0.10, 0.11)), 0.0211, 5e-5);
    EXPECT_NEAR(SequentialInterval(rates(0.10, 0.11)).p_value, 0.433720, 5e-7);
    EXPECT_NEAR(SequentialInterval(rates(0.10, 0.12)).p_value, 2.83495e-4, 5e-10);
}

TEST(Sequential, MixtureTest) {
    MixtureSequentialTest test(1e-4);
    EXPECT_NEAR(test.Look(0.02, 5e-5), 0.120349, 5e-7);
    EXPECT_NEAR(test.Look(0.03, 5e-5), 0.00429332, 5e-9);
    // a later look takes nothing back
    EXPECT_NEAR(test.Look(0.0, 5e-5), 0.00429332, 5e-9);
}

TEST(Sequential, StatisticsOfArms) {
    const ArmStatistics mean = MeanStatistics(4, 10, 30);  // 1, 2, 3, 4
    EXPECT_DOUBLE_EQ(mean.mean, 2.5);
    EXPECT_NEAR(mean.variance, 5.0 / 3.0, 1e-12);
    const Difference relative = RelativeDifferenceOf({100, 2.0, 1.0}, {100, 2.2, 1.0});
    EXPECT_NEAR(relative.value, 0.1, 1e-12);
    EXPECT_NEAR(relative.standard_error, std::sqrt(0.01 / 4.0 + 1.21 * 0.01 / 4.0), 1e-12);
    EXPECT_TRUE(std::isnan(RelativeDifferenceOf({10, 0.0, 1.0}, {10, 1.0, 1.0}).value));
}

}  // namespace
}  // namespace dlent
