#include "core/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/train/early_stopping.h"

namespace dlent {
namespace {

TEST(Schedule, CyclesTouchZeroAtTheirEndsAndOneBetween) {
    const Schedule schedule(ScheduleKind::kCycles, 1000, 0.0);
    for (const double t : {0.0, 1.0 / 31, 3.0 / 31, 7.0 / 31, 15.0 / 31, 1.0}) {
        EXPECT_NEAR(schedule.Shape(t), 0.0, 1e-9) << t;
    }
    // log₂(1 + 31t) = c + ½ at the peaks.
    for (int cycle = 0; cycle < 5; ++cycle) {
        EXPECT_NEAR(schedule.Shape((std::exp2(cycle + 0.5) - 1.0) / 31.0), 1.0, 1e-9) << cycle;
    }
    EXPECT_NEAR(schedule.Shape((std::exp2(0.25) - 1.0) / 31.0), 0.5, 1e-9);
    EXPECT_EQ(schedule.cycles(), 5);
    EXPECT_DOUBLE_EQ(schedule.CycleEnd(0), 1.0 / 31);
    EXPECT_DOUBLE_EQ(schedule.CycleEnd(2), 7.0 / 31);
    EXPECT_DOUBLE_EQ(schedule.CycleEnd(4), 1.0);
    EXPECT_EQ(schedule.Cycle(0.0), 0);
    EXPECT_EQ(schedule.Cycle(1.0 / 31), 1);
    EXPECT_EQ(schedule.Cycle(0.2), 2);
    EXPECT_EQ(schedule.Cycle(1.0), 4);
}

TEST(Schedule, OtherShapes) {
    EXPECT_NEAR(Schedule(ScheduleKind::kCoslog4, 10, 0).Shape(1.0 / 15), 0.0, 1e-9);
    EXPECT_NEAR(Schedule(ScheduleKind::kCoslog4, 10, 0).Shape((std::sqrt(2.0) - 1.0) / 15), 1.0, 1e-9);
    const Schedule cosine(ScheduleKind::kCosine, 10, 0);
    EXPECT_DOUBLE_EQ(cosine.Shape(0.0), 1.0);
    EXPECT_NEAR(cosine.Shape(0.5), 0.5, 1e-12);
    EXPECT_NEAR(cosine.Shape(1.0), 0.0, 1e-12);
    const Schedule flat(ScheduleKind::kFlatCos, 10, 0);
    EXPECT_DOUBLE_EQ(flat.Shape(0.49), 1.0);
    EXPECT_NEAR(flat.Shape(0.75), 0.5, 1e-12);
    EXPECT_NEAR(flat.Shape(1.0), 0.0, 1e-12);
    EXPECT_DOUBLE_EQ(Schedule(ScheduleKind::kConstant, 10, 0).Shape(0.9), 1.0);
}

TEST(Schedule, FactorsAreTakenAtTheMiddleOfAStep) {
    const Schedule schedule(ScheduleKind::kCosine, 4, 0.0);
    EXPECT_NEAR(schedule.Factor(0), 0.5 * (1 + std::cos(M_PI / 8)), 1e-12);
    EXPECT_NEAR(schedule.Factor(3), 0.5 * (1 + std::cos(M_PI * 7 / 8)), 1e-12);
    EXPECT_GT(Schedule(ScheduleKind::kCycles, 5, 0.0).Factor(4), 0.0);
}

TEST(Schedule, WarmsUpLinearly) {
    const Schedule schedule(ScheduleKind::kConstant, 100, 0.1);
    EXPECT_NEAR(schedule.Factor(0), 0.05, 1e-12);
    EXPECT_NEAR(schedule.Factor(4), 0.45, 1e-12);
    EXPECT_DOUBLE_EQ(schedule.Factor(10), 1.0);
}

TEST(Schedule, NamesRoundTrip) {
    for (const ScheduleKind kind : {ScheduleKind::kCycles, ScheduleKind::kCoslog4, ScheduleKind::kCosine,
                                    ScheduleKind::kFlatCos, ScheduleKind::kConstant}) {
        const Expected<ScheduleKind> parsed = ParseSchedule(ScheduleName(kind));
        ASSERT_TRUE(parsed.ok());
        EXPECT_EQ(*parsed, kind);
    }
    EXPECT_EQ(ParseSchedule("step").status().code(), StatusCode::kInvalidArgument);
}

/// Epochs that run when the loss improves up to epoch `best` of 100.
int EpochsRun(const StoppingOptions& options, int best) {
    EarlyStopping stopping(options, Schedule(ScheduleKind::kCycles, 1000, 0.0));
    for (int epoch = 1; epoch <= 100; ++epoch) {
        const double loss = std::abs(epoch - best);
        EXPECT_EQ(stopping.Observe(epoch, epoch / 100.0, loss), epoch <= best);
        EXPECT_EQ(stopping.best_epoch(), std::min(epoch, best));
        if (stopping.ShouldStop()) {
            return epoch;
        }
    }
    return 100;
}

TEST(EarlyStopping, StopsAfterAWholeCycleWithoutImprovement) {
    const StoppingOptions options{StoppingRule::kCycle, 0};
    // Cycles end after 3.2, 9.7, 22.6, 48.4 and 100 epochs; the third is the first that is checked.
    EXPECT_EQ(EpochsRun(options, 2), 23);
    EXPECT_EQ(EpochsRun(options, 9), 23);
    EXPECT_EQ(EpochsRun(options, 10), 49);
    EXPECT_EQ(EpochsRun(options, 22), 49);
    EXPECT_EQ(EpochsRun(options, 23), 100);
    EXPECT_EQ(EpochsRun(options, 48), 100);
}

TEST(EarlyStopping, PatienceCountsEpochs) {
    EXPECT_EQ(EpochsRun({StoppingRule::kPatience, 5}, 10), 15);
    EXPECT_EQ(EpochsRun({StoppingRule::kPatience, 5}, 98), 100);
    EXPECT_EQ(EpochsRun({StoppingRule::kNone, 5}, 1), 100);
}

TEST(EarlyStopping, NeverTakesALossThatIsNotFinite) {
    EarlyStopping stopping({StoppingRule::kNone, 0}, Schedule(ScheduleKind::kConstant, 10, 0.0));
    EXPECT_FALSE(stopping.Observe(1, 0.1, std::numeric_limits<double>::quiet_NaN()));
    EXPECT_FALSE(stopping.Observe(2, 0.2, std::numeric_limits<double>::infinity()));
    EXPECT_TRUE(stopping.Observe(3, 0.3, 1e300));
    EXPECT_FALSE(stopping.Observe(4, 0.4, 1e300));
    EXPECT_EQ(stopping.best_epoch(), 3);
}

}  // namespace
}  // namespace dlent
