#include "core/train/routing.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/nn/device_buffer.h"

namespace dlent {
namespace {

/// Below that nobody waits, whatever a GPU could do.
constexpr double kWorthwhileSeconds = 5.0;
constexpr double kImageBytesPerSecond = 1e9;  ///< encoded by the session and copied to the card

}  // namespace

double TrainingSteps(const TrainingPlan& plan) {
    const TrainerOptions& trainer = plan.recipe->trainer;
    const double per_epoch =
        std::max(1.0, static_cast<double>(plan.train_rows) / std::max(1, trainer.batch_size));
    return plan.trainings * std::max(per_epoch * trainer.max_epochs, static_cast<double>(trainer.min_steps));
}

double TrainingFlops(const TrainingPlan& plan) {
    const double rows_a_step =
        std::min<double>(static_cast<double>(plan.train_rows), std::max(1, plan.recipe->trainer.batch_size));
    return 6.0 * static_cast<double>(plan.parameters) * std::max(1, plan.recipe->ensemble_width) *
           rows_a_step * TrainingSteps(plan);
}

DeviceRates MeasureCpuRates(Backend& cpu) {
    using Clock = std::chrono::steady_clock;
    constexpr int kSize = 256;
    constexpr double kSecondsWanted = 2e-3;
    std::vector<float> a(kSize * kSize, 0.5f);
    std::vector<float> c(kSize * kSize);
    int runs = 0;
    double seconds = 0.0;
    const Clock::time_point start = Clock::now();
    do {
        cpu.Gemm(false, false, kSize, kSize, kSize, 1.0f, a.data(), kSize, a.data(), kSize, 0.0f, c.data(),
                 kSize);
        ++runs;
        seconds = std::chrono::duration<double>(Clock::now() - start).count();
    } while (seconds < kSecondsWanted);
    // a training reaches about two thirds of the rate of its products
    return {2.0 * kSize * kSize * kSize * runs / seconds * 0.67, 2e-6, true};
}

RoutingDecision RouteTraining(const TrainingPlan& plan, const DeviceRates& cpu, int threads,
                              const GpuOffer& gpu) {
    const double flops = TrainingFlops(plan);
    const double steps = TrainingSteps(plan);
    const double beside = std::clamp(threads, 1, std::max(plan.trainings, 1));
    const double cpu_seconds = (flops / cpu.flops_per_second + steps * cpu.step_seconds) / beside;
    const double image_bytes =
        4.0 * static_cast<double>(plan.data == nullptr ? plan.train_rows : plan.data->rows()) *
        (plan.numeric + plan.plain + plan.fields + 1);
    const int networks = std::max(plan.beside, 1);
    const int cards = std::clamp(gpu.cards, 1, networks);
    const int rounds = (networks + cards - 1) / cards;  // of networks beside each other
    const double gpu_seconds = (flops / gpu.rates.flops_per_second + steps * gpu.rates.step_seconds) *
                                   (1 + gpu.jobs) * rounds / networks +
                               image_bytes / kImageBytesPerSecond + (gpu.is_warm ? 0.0 : kColdStartSeconds);
    return ChooseDevice(cpu_seconds, gpu_seconds, kWorthwhileSeconds, {cards, gpu.jobs, gpu.rates.measured});
}

}  // namespace dlent
