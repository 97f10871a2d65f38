// Where a training goes when the user leaves it open.

#include "core/train/routing.h"

#include <gtest/gtest.h>

#include "core/train/spread_estimate.h"
#include "cpu/cpu_backend.h"

namespace dlent {
namespace {

constexpr DeviceRates kCpu = {5e10, 2e-6, true};
constexpr DeviceRates kGpu = {2e13, 40e-6, true};

struct Fixture {
    Recipe recipe;
    TrainingPlan plan;

    Fixture(size_t rows, int64_t parameters, int epochs) {
        recipe.trainer.batch_size = 256;
        recipe.trainer.max_epochs = epochs;
        plan.train_rows = rows;
        plan.parameters = parameters;
        plan.numeric = 28;
        plan.recipe = &recipe;
    }
};

TEST(Routing, CountsTheWholeBudget) {
    Fixture f(2560, 1000, 7);
    EXPECT_DOUBLE_EQ(TrainingSteps(f.plan), 70.0);
    EXPECT_DOUBLE_EQ(TrainingFlops(f.plan), 6.0 * 1000 * 2560 * 7);
    f.plan.trainings = 5;
    f.recipe.ensemble_width = 8;
    EXPECT_DOUBLE_EQ(TrainingFlops(f.plan), 6.0 * 1000 * 8 * 2560 * 7 * 5);
    f.recipe.trainer.min_steps = 1000;
    EXPECT_DOUBLE_EQ(TrainingSteps(f.plan), 5000.0);
}

TEST(Routing, SmallTrainingsStayOnTheCpu) {
    const Fixture f(10000, 50000, 20);  // 60 Gflop
    const RoutingDecision decision = RouteTraining(f.plan, kCpu, 1, {kGpu, true, 0});
    EXPECT_FALSE(decision.gpu);
    EXPECT_NE(decision.reason.find("the CPU is quick enough"), std::string::npos) << decision.reason;
}

TEST(Routing, LargeTrainingsGoToTheGpu) {
    Fixture f(10000000, 138000, 10);
    f.recipe.trainer.batch_size = 8192;
    const RoutingDecision decision = RouteTraining(f.plan, kCpu, 1, {kGpu, false, 0});
    EXPECT_TRUE(decision.gpu);
    EXPECT_GT(decision.cpu_seconds, 1000.0);
    EXPECT_LT(decision.gpu_seconds, 20.0);
    EXPECT_NE(decision.reason.find("the GPU is faster: about"), std::string::npos) << decision.reason;
    EXPECT_EQ(decision.ToJson().at("device"), "gpu");
}

TEST(Routing, StepsOfTinyNetworksAreNoWorkForAGpu) {
    // 30 million steps of next to nothing: the CPU's step is shorter than the GPU's
    Fixture f(300000, 60, 25000);
    EXPECT_FALSE(RouteTraining(f.plan, kCpu, 1, {kGpu, true, 0}).gpu);
}

TEST(Routing, AQueueAndThreadsCount) {
    Fixture f(1000000, 138000, 10);
    f.plan.trainings = 4;
    const RoutingDecision idle = RouteTraining(f.plan, kCpu, 1, {kGpu, true, 0});
    EXPECT_TRUE(idle.gpu);
    const RoutingDecision busy = RouteTraining(f.plan, kCpu, 1, {kGpu, true, 200});
    EXPECT_FALSE(busy.gpu);
    EXPECT_NE(busy.reason.find("which has 200 other jobs"), std::string::npos) << busy.reason;
    EXPECT_NEAR(RouteTraining(f.plan, kCpu, 16, {kGpu, true, 0}).cpu_seconds, idle.cpu_seconds / 4, 1e-6);
}

TEST(Routing, CardsShareNetworksThatNeedNotWait) {
    Fixture f(10000000, 138000, 10);
    f.recipe.trainer.batch_size = 8192;
    f.plan.trainings = 6;
    f.plan.beside = 5;
    const auto seconds = [&](int cards) {
        GpuOffer offer = {kGpu, true, 0};
        offer.cards = cards;
        return RouteTraining(f.plan, kCpu, 1, offer).gpu_seconds;
    };
    f.plan.numeric = 0;
    const double load = 4.0 * 10000000 / 1e9;
    const double alone = seconds(1) - load;
    EXPECT_NEAR(seconds(2) - load, alone * 3 / 5, 1e-6);
    EXPECT_NEAR(seconds(4) - load, alone * 2 / 5, 1e-6);
    EXPECT_NEAR(seconds(5) - load, alone / 5, 1e-6);
    EXPECT_NEAR(seconds(8) - load, alone / 5, 1e-6);
    GpuOffer two = {kGpu, true, 0};
    two.cards = 2;
    EXPECT_NE(RouteTraining(f.plan, kCpu, 1, two).reason.find("on 2 GPUs"), std::string::npos);
    f.plan.beside = 1;
    EXPECT_NEAR(seconds(8) - load, alone, 1e-6);
    EXPECT_NE(RouteTraining(f.plan, kCpu, 1, two).reason.find("on the GPU"), std::string::npos);
}

TEST(Routing, RatesOfThisMachineArePlausible) {
    const auto cpu = MakeCpuBackend();
    const DeviceRates rates = MeasureCpuRates(*cpu);
    EXPECT_TRUE(rates.measured);
    EXPECT_GT(rates.flops_per_second, 1e7);
    EXPECT_LT(rates.flops_per_second, 1e13);
    Fixture f(10000000, 138000, 100);
    EXPECT_NE(RouteTraining(f.plan, rates, 1, {}).reason.find("by rates that are assumed"),
              std::string::npos);
}

TEST(SpreadEstimate, IsTheArithmeticOfTheDocumentation) {
    // docs/gpu.md, "One network on several GPUs": 28-256-256-256-1
    struct Line {
        int rows;
        double flops_per_second;
        double alone_us;
        double spread_us;
    };
    for (const Line& line : {Line{256, 5e12, 103, 134}, Line{4096, 5e12, 745, 455}, Line{4096, 1e14, 94, 130},
                             Line{65536, 1e14, 608, 387}}) {
        Fixture f(10000000, 139265, 10);
        f.recipe.trainer.batch_size = line.rows;
        const SpreadEstimate estimate = EstimateSpread(f.plan, {line.flops_per_second, 60e-6, true}, 2);
        EXPECT_NEAR(estimate.alone_seconds * 1e6, line.alone_us, 1.0);
        EXPECT_NEAR(estimate.spread_seconds * 1e6, line.spread_us, 1.0);
        EXPECT_EQ(estimate.pays(), line.alone_us > line.spread_us);
        EXPECT_EQ(estimate.gradient_bytes, 4.0 * 139265);
        EXPECT_EQ(estimate.ToJson().at("pays"), estimate.pays());
    }
    Fixture f(10000000, 139265, 10);
    f.recipe.trainer.batch_size = 65536;
    EXPECT_EQ(EstimateSpread(f.plan, {1e14, 60e-6, true}, 2).Describe(),
              "a step takes about 0.61 ms on one GPU and 0.39 ms on 2");
    EXPECT_EQ(EstimateSpread(f.plan, {1e14, 60e-6, false}, 2).Describe(),
              "a step takes about 0.61 ms on one GPU and 0.39 ms on 2, by rates that are assumed");
}

}  // namespace
}  // namespace dlent
