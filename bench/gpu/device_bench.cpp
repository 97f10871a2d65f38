// Training speed on a device: rows a second of whole trainings by the product's own trainer, for the networks
// that bench/gpu/torch_peer.py trains too. A line of JSON a measurement. Usage: dlent_device_bench [SECONDS]

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "core/base/random.h"
#include "core/nn/network.h"
#include "core/train/trainer.h"
#include "gpu/daemon/plugin.h"
#include "gpu/protocol/image.h"

namespace {

using namespace dlent;
using namespace dlent::gpu;

constexpr int kColumns = 28;

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

void Measure(const Plugin& plugin, const Workload& workload, Precision precision, double seconds) {
    static const DlentMemoryGate gate = {nullptr, [](void*, size_t) { return 1; }, [](void*, size_t) {}};
    ImageShape shape;
    shape.rows = workload.rows;
    shape.numeric = kColumns;
    const ImageLayout layout = *ImageLayout::Of(shape);
    const std::vector<std::byte> memory = MakeRows(layout);
    const ImageData data(layout, memory.data());
    std::vector<uint32_t> rows(workload.rows);
    std::iota(rows.begin(), rows.end(), 0u);

    const auto backend = plugin.MakeBackend(0, precision, gate);
    if (!backend.ok()) {
        std::fprintf(stderr, "%s: %s\n", workload.name, backend.status().detail().c_str());
        return;
    }
    auto network = Network::Create(MakeSpec(workload), **backend, workload.batch, true);
    TrainerOptions options;
    options.loss.kind = LossKind::kBinaryCrossEntropy;
    options.batch_size = workload.batch;
    options.max_epochs = 1000000;
    options.max_seconds = seconds;
    options.stopping.rule = StoppingRule::kNone;
    options.schedule = ScheduleKind::kConstant;
    if (!network.ok() || !(*network)->Initialize(1).ok()) {
        std::fprintf(stderr, "%s: %s\n", workload.name, network.status().message().c_str());
        return;
    }
    const auto result =
        TrainNetwork(**network, **backend, data, rows, {}, options, NeverCancelled(), nullptr);
    if (!result.ok()) {
        std::fprintf(stderr, "%s: %s\n", workload.name, result.status().message().c_str());
        return;
    }
    std::printf(
        "{\"who\": \"dlent\", \"what\": \"%s\", \"precision\": \"%s\", \"rows_per_second\": %.0f, "
        "\"steps\": %lld, \"seconds\": %.2f, \"last_loss\": %.4f}\n",
        workload.name, PrecisionName(precision), result->rows_per_second,
        static_cast<long long>(result->steps), result->seconds,
        result->log.empty() ? 0.0 : result->log.back().train_loss);
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    const double seconds = argc > 1 ? std::atof(argv[1]) : 3.0;
    const char* const named = std::getenv("DLENT_DEVICE_PLUGIN");
    const auto plugin = Plugin::Open(named != nullptr ? named : "dlent_cuda");
    const Status status = !plugin.ok() ? plugin.status() : plugin->DeviceCount().status();
    if (!status.ok()) {
        std::fprintf(stderr, "SKIPPED: %s: %s\n", status.message().c_str(), status.detail().c_str());
        return 77;
    }
    for (const Workload& workload : kWorkloads) {
        for (const Precision precision : {Precision::kFp32, Precision::kTf32, Precision::kBf16})
            Measure(*plugin, workload, precision, seconds);
    }
    return 0;
}
