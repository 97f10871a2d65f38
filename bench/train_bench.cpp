// Training throughput of small networks through the Trainer, one thread, and the rate of oneDNN's sgemm on
// the products of the same step, as JSON lines. The share of the second that the first reaches says how much
// of a step is not matrix products. Prints the first kind only where libdnnl.so.2 is not installed.

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "core/base/float_environment.h"
#include "core/base/random.h"
#include "core/nn/network.h"
#include "core/train/trainer.h"
#include "cpu/cpu_backend.h"

namespace dlent {
namespace {

constexpr size_t kRows = 200000;
constexpr double kMinSeconds = 1.0;

[[noreturn]] void Fail(const Status& status) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    std::exit(1);
}

double Now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Random rows of a label that two of them decide, row-major as a PyTorch tensor is.
class Rows final : public TrainingData {
 public:
    explicit Rows(int columns) : columns_(static_cast<size_t>(columns)) {
        RandomStream random(1);
        numeric_.resize(kRows * columns_);
        targets_.resize(kRows);
        for (float& value : numeric_)
            value = random.Normal();
        for (size_t row = 0; row < kRows; ++row)
            targets_[row] = numeric_[row * columns_] * numeric_[row * columns_ + 1] > 0.0f ? 1.0f : 0.0f;
    }

    size_t rows() const override { return kRows; }

    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        for (size_t i = 0; i < rows.size(); ++i) {
            if (batch.numeric != nullptr)
                std::copy_n(numeric_.data() + rows[i] * columns_, columns_, batch.numeric + i * columns_);
            if (batch.targets != nullptr)
                static_cast<float*>(batch.targets)[i] = targets_[rows[i]];
        }
    }

 private:
    size_t columns_;
    std::vector<float> numeric_;
    std::vector<float> targets_;
};

/// A network of dense layers with ReLU between them.
struct Shape {
    std::vector<int> widths;

    std::string Name() const {
        std::string name;
        for (const int width : widths)
            name += (name.empty() ? "" : "-") + std::to_string(width);
        return name;
    }
    /// Of a training step, per row: forward, weight gradients, and input gradients but for the first layer.
    double Flops() const {
        double flops = 0.0;
        for (size_t i = 0; i + 1 < widths.size(); ++i)
            flops += (i == 0 ? 4.0 : 6.0) * widths[i] * widths[i + 1];
        return flops;
    }
    NetworkSpec Spec() const {
        NetworkSpec spec;
        spec.numeric = widths[0];
        for (size_t i = 1; i < widths.size(); ++i) {
            LayerSpec layer{
                "layer" + std::to_string(i), "dense", {i == 1 ? "numeric" : spec.layers.back().name}};
            layer.attributes["units"] = widths[i];
            if (i + 1 < widths.size())
                layer.attributes["activation"] = "relu";
            spec.layers.push_back(std::move(layer));
        }
        spec.outputs = {spec.layers.back().name};
        return spec;
    }
};

void Print(const char* what, const Shape& shape, int batch, double rows_per_second) {
    std::printf("{\"name\": \"%s_%s\", \"batch\": %d, \"rows_per_second\": %.0f, \"gflops\": %.1f}\n", what,
                shape.Name().c_str(), batch, rows_per_second, rows_per_second * shape.Flops() * 1e-9);
    std::fflush(stdout);
}

void BenchTraining(const Shape& shape, int batch) {
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    auto network = Network::Create(shape.Spec(), *backend, batch, true);
    if (!network.ok())
        Fail(network.status());
    const Rows data(shape.widths[0]);
    std::vector<uint32_t> order(kRows);
    std::iota(order.begin(), order.end(), 0u);
    TrainerOptions options;
    options.loss.kind = LossKind::kBinaryCrossEntropy;
    options.optimizer.weight_decay = 0.01f;
    options.clip_norm = 0.0;
    options.batch_size = batch;
    options.schedule = ScheduleKind::kConstant;
    options.max_epochs = 2;
    double best = 0.0;
    for (const double end = Now() + kMinSeconds; Now() < end || best == 0.0;) {
        if (const Status status = (*network)->Initialize(1); !status.ok())
            Fail(status);
        const auto result =
            TrainNetwork(**network, *backend, data, order, {}, options, NeverCancelled(), nullptr);
        if (!result.ok())
            Fail(result.status());
        best = std::max(best, result->rows_per_second);
    }
    Print("train", shape, batch, best);
}

/// dnnl_sgemm of oneapi/dnnl/dnnl.h.
using Sgemm = int (*)(char transpose_a, char transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                      const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
                      int64_t ldc);

/// Null where the library is not installed. It is built with OpenMP, which is told to use this thread only.
Sgemm LoadSgemm() {
    void* library = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
        return nullptr;
    if (auto set_threads = reinterpret_cast<void (*)(int)>(dlsym(library, "omp_set_num_threads")))
        set_threads(1);
    return reinterpret_cast<Sgemm>(dlsym(library, "dnnl_sgemm"));
}

/// The products of a step one after the other, on buffers of their own as the activations are.
void BenchSgemm(Sgemm sgemm, const Shape& shape, int batch) {
    std::vector<std::vector<float>> activations;
    std::vector<std::vector<float>> weights;
    for (const int width : shape.widths)
        activations.emplace_back(static_cast<size_t>(batch) * width, 0.5f);
    for (size_t i = 0; i + 1 < shape.widths.size(); ++i)
        weights.emplace_back(static_cast<size_t>(shape.widths[i]) * shape.widths[i + 1], 0.01f);
    std::vector<std::vector<float>> dactivations = activations;
    std::vector<std::vector<float>> dweights = weights;
    const auto step = [&] {
        for (size_t i = 0; i < weights.size(); ++i) {
            const int in = shape.widths[i];
            const int out = shape.widths[i + 1];
            sgemm('N', 'N', batch, out, in, 1.0f, activations[i].data(), in, weights[i].data(), out, 0.0f,
                  activations[i + 1].data(), out);
        }
        for (size_t i = weights.size(); i-- > 0;) {
            const int in = shape.widths[i];
            const int out = shape.widths[i + 1];
            sgemm('T', 'N', in, out, batch, 1.0f, activations[i].data(), in, dactivations[i + 1].data(), out,
                  0.0f, dweights[i].data(), out);
            if (i > 0)
                sgemm('N', 'T', batch, in, out, 1.0f, dactivations[i + 1].data(), out, weights[i].data(), out,
                      0.0f, dactivations[i].data(), in);
        }
    };
    const int steps = static_cast<int>(kRows) / batch;
    double best = 0.0;
    for (const double end = Now() + kMinSeconds; Now() < end || best == 0.0;) {
        const double start = Now();
        for (int i = 0; i < steps; ++i)
            step();
        best = std::max(best, static_cast<double>(steps) * batch / (Now() - start));
    }
    Print("sgemm", shape, batch, best);
}

int Main() {
    const Sgemm sgemm = LoadSgemm();
    if (sgemm == nullptr)
        std::fprintf(stderr, "libdnnl.so.2 was not found; its rate is left out\n");
    for (const Shape& shape : {Shape{{32, 128, 64, 1}}, Shape{{28, 256, 256, 256, 1}}})
        for (const int batch : {256, 1024}) {
            BenchTraining(shape, batch);
            if (sgemm != nullptr) {
                const ScopedFlushToZero flush_to_zero;
                BenchSgemm(sgemm, shape, batch);
            }
        }
    return 0;
}

}  // namespace
}  // namespace dlent

int main() {
    return dlent::Main();
}
