// Training speed on a device: rows a second of trainings by the product's own trainer, for the networks that
// bench/gpu/torch_peer.py trains too (bench/gpu/workloads.py). A line of JSON a measurement. What is done
// once (kernels that are loaded, products that are tried, steps that are recorded) is over when measuring
// begins. Usage: dlent_device_bench [SECONDS]

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <optional>

#include "core/base/random.h"
#include "core/nn/network.h"
#include "core/train/trainer.h"
#include "gpu/daemon/plugin.h"
#include "gpu/protocol/image.h"

namespace {

using namespace dlent;
using namespace dlent::gpu;

constexpr int kColumns = 28;
constexpr double kWarmUpSeconds = 1.0;

struct Workload {
    const char* name;
    int members;
    std::vector<int> hidden;
    int batch;
    size_t rows;
};

const Workload kWorkloads[] = {
    {"mlp_256x3_b256", 1, {256, 256, 256}, 256, 1 << 20},
    {"mlp_256x3_b1024", 1, {256, 256, 256}, 1024, 1 << 20},
    {"mlp_256x3_b65536", 1, {256, 256, 256}, 65536, 1 << 23},
    {"tabm_k32_512x3_b256", 32, {512, 512, 512}, 256, 1 << 17},
};

/// Random rows whose target depends on some of them, as an image.
std::vector<std::byte> MakeRows(const ImageLayout& layout) {
    std::vector<std::byte> memory(layout.bytes);
    auto* const numeric = reinterpret_cast<float*>(memory.data() + layout.numeric);
    auto* const targets = reinterpret_cast<float*>(memory.data() + layout.targets);
    RandomStream random(1);
    for (size_t row = 0; row < layout.shape.rows; ++row) {
        float* const x = numeric + row * kColumns;
        for (int c = 0; c < kColumns; ++c)
            x[c] = random.Uniform(-1.7f, 1.7f);
        targets[row] = x[0] * x[1] + x[2] > 0.0f ? 1.0f : 0.0f;
    }
    return memory;
}

NetworkSpec MakeSpec(const Workload& workload) {
    Json layers = Json::array();
    std::string input = "numeric";
    for (size_t i = 0; i < workload.hidden.size(); ++i) {
        const std::string name = "h" + std::to_string(i);
        layers.push_back({{"name", name},
                          {"type", workload.members > 1 ? "batch_ensemble_dense" : "dense"},
                          {"inputs", {input}},
                          {"units", workload.hidden[i]},
                          {"activation", "relu"}});
        input = name;
    }
    layers.push_back({{"name", "output"},
                      {"type", workload.members > 1 ? "ensemble_heads" : "dense"},
                      {"inputs", {input}},
                      {"units", 1}});
    return *NetworkSpec::FromJson(
        {{"version", 1},
         {"inputs", {{"numeric", kColumns}, {"plain", 0}, {"codes", Json::array()}}},
         {"members", workload.members},
         {"layers", std::move(layers)},
         {"output", "output"}});
}

Status Measure(const Plugin& plugin, const Workload& workload, const TrainingData& data, Precision precision,
               double seconds) {
    static const DlentMemoryGate gate = {nullptr, [](void*, size_t) { return 1; }, [](void*, size_t) {}};
    std::vector<uint32_t> rows(workload.rows);
    std::iota(rows.begin(), rows.end(), 0u);
    TrainerOptions options;
    options.loss.kind = LossKind::kBinaryCrossEntropy;
    options.batch_size = workload.batch;
    options.max_epochs = 1000000;
    options.max_seconds = kWarmUpSeconds + seconds;
    options.stopping.rule = StoppingRule::kNone;
    options.schedule = ScheduleKind::kConstant;
    const double all_steps =
        static_cast<double>(options.max_epochs) * static_cast<double>(workload.rows) / workload.batch;

    DLENT_ASSIGN_OR_RETURN(const DeviceBackend backend, plugin.MakeBackend(0, precision, gate));
    DLENT_ASSIGN_OR_RETURN(const std::unique_ptr<Network> network,
                           Network::Create(MakeSpec(workload), *backend, workload.batch, true));
    DLENT_RETURN_IF_ERROR(network->Initialize(1));
    std::optional<TrainingProgress> warm;
    DLENT_ASSIGN_OR_RETURN(const TrainerResult result,
                           TrainNetwork(*network, *backend, data, rows, {}, options, NeverCancelled(),
                                        [&warm](const TrainingProgress& progress) {
                                            if (!warm && progress.seconds_elapsed >= kWarmUpSeconds)
                                                warm = progress;
                                        }));
    const double steps =
        static_cast<double>(result.steps) - (warm ? std::round(warm->fraction * all_steps) : 0.0);
    if (!warm || steps < 1.0)
        return Status::Internal("no step was done after warming up");
    const double measured = result.seconds - warm->seconds_elapsed;
    std::printf(
        "{\"who\": \"dlent\", \"what\": \"%s\", \"precision\": \"%s\", \"rows_per_second\": %.0f, "
        "\"steps\": %.0f, \"seconds\": %.2f, \"last_loss\": %.4f}\n",
        workload.name, PrecisionName(precision), steps * workload.batch / measured, steps, measured,
        result.log.back().train_loss);
    std::fflush(stdout);
    return Status::Ok();
}

/// In every precision; the number of measurements that failed.
int MeasureAll(const Plugin& plugin, const Workload& workload, double seconds) {
    ImageShape shape;
    shape.rows = workload.rows;
    shape.numeric = kColumns;
    const ImageLayout layout = *ImageLayout::Of(shape);
    const std::vector<std::byte> memory = MakeRows(layout);
    const ImageData data(layout, memory.data());
    int failed = 0;
    for (const Precision precision : {Precision::kFp32, Precision::kTf32, Precision::kBf16}) {
        const Status status = Measure(plugin, workload, data, precision, seconds);
        if (status.ok())
            continue;
        ++failed;
        std::fprintf(stderr, "%s, %s: %s%s%s\n", workload.name, PrecisionName(precision),
                     status.message().c_str(), status.detail().empty() ? "" : ": ", status.detail().c_str());
    }
    return failed;
}

}  // namespace

int main(int argc, char** argv) {
    const double seconds = argc > 1 ? std::atof(argv[1]) : 2.0;
    const char* const named = std::getenv("DLENT_DEVICE_PLUGIN");
    const auto plugin = Plugin::Open(named != nullptr ? named : "dlent_cuda");
    const Status status = !plugin.ok() ? plugin.status() : plugin->DeviceCount().status();
    if (!status.ok()) {
        std::fprintf(stderr, "SKIPPED: %s: %s\n", status.message().c_str(), status.detail().c_str());
        return 77;
    }
    int failed = 0;
    for (const Workload& workload : kWorkloads)
        failed += MeasureAll(*plugin, workload, seconds);
    return failed > 0 ? 1 : 0;
}
