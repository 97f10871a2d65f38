// What LIME costs for a network of 30-128-64-1 and 30 numbers, 5000 samples, one thread, as JSON: fresh
// samples, a shared probe, and a table of rows with it, at 5 and at 10 reported features. explain_bench.py
// runs it beside the reference implementation. With a folder as its argument it leaves the rows and the
// network there, as little-endian floats, for the peer to explain the same.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/explain/lime.h"
#include "core/nn/network.h"
#include "cpu/cpu_backend.h"
#include "cpu/row_scorer.h"

namespace dlent {
namespace {

constexpr int kFeatures = 30;
constexpr size_t kRows = 2000;
constexpr int kExplained = 40;
constexpr int kTableRows = 2000;

template <typename T>
T OrFail(Expected<T> result) {
    if (!result.ok()) {
        std::fprintf(stderr, "%s\n", result.status().message().c_str());
        std::exit(1);
    }
    return std::move(*result);
}

double Now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
}

/// Correlated, skewed numbers: sums of a few hidden ones, every third exponentiated.
ColumnarTable MakeRows() {
    std::vector<ColumnDefinition> columns;
    for (int c = 0; c < kFeatures; ++c)
        columns.push_back({"x" + std::to_string(c), ColumnKind::kNumeric, ColumnRole::kFeature, 1, "real"});
    columns.push_back({"y", ColumnKind::kBoolean, ColumnRole::kTarget, 1, "boolean"});
    ColumnarTable table(std::move(columns));
    RandomStream random(7);
    for (size_t row = 0; row < kRows; ++row) {
        if (!table.BeginRow())
            std::exit(1);
        float hidden[4];
        for (float& value : hidden)
            value = random.Normal();
        for (int c = 0; c < kFeatures; ++c) {
            const float value = hidden[c % 4] + random.Normal();
            table.SetFloat(c, c % 3 == 0 ? std::exp(0.5f * value) : value);
        }
        table.SetFloat(kFeatures, random.NextBelow(2) != 0 ? 1.0f : 0.0f);
        table.CommitRow();
    }
    return table;
}

template <typename T>
void Dump(const std::string& folder, const char* name, const std::vector<T>& values) {
    std::ofstream file(folder + "/" + name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size() * sizeof(T)));
}

int Run(const std::string& folder) {
    const ColumnarTable table = MakeRows();
    std::vector<uint32_t> rows(kRows);
    for (uint32_t row = 0; row < kRows; ++row)
        rows[row] = row;
    const NeverCancelled never;
    Model model;
    model.kind = "mlp";
    std::vector<Pipeline::Exclusion> excluded;
    PipelineOptions pipeline_options;
    pipeline_options.embed_numeric = false;
    model.pipeline = OrFail(Pipeline::Fit(table, rows, pipeline_options, &excluded, never));
    model.target = OrFail(TargetEncoder::Fit(table, rows, Task::kBinary, {}));
    model.network =
        OrFail(NetworkSpec::FromJson(Json::parse(R"({"version":1,"inputs":{"numeric":30},"layers":[
        {"name":"clip","type":"smooth_clip","inputs":["numeric"]},
        {"name":"hidden_1","type":"dense","inputs":["clip"],"units":128,"activation":"relu"},
        {"name":"hidden_2","type":"dense","inputs":["hidden_1"],"units":64,"activation":"relu"},
        {"name":"output","type":"dense","inputs":["hidden_2"],"units":1}],"output":"output"})")));
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    const std::unique_ptr<Network> network = OrFail(Network::Create(model.network, *backend, 1, false));
    RandomStream random(11);
    for (const ParameterInfo& info : network->parameters()) {
        std::vector<float> values(info.count);
        const float fan_in = static_cast<float>(info.shape.size() > 1 ? info.shape[0] : 16);
        for (float& value : values)
            value = random.Normal() * 2.0f / std::sqrt(fan_in);
        if (!network->SetTensor(info.name, values).ok())
            return 1;
    }
    model.members.push_back(OrFail(network->Save()));
    const std::unique_ptr<Scorer> scorer = OrFail(MakeCpuScorer(model));
    const ExplainerStatistics statistics =
        OrFail(ExplainerStatistics::Fit(table, rows, model.pipeline, {}, 1, never));

    std::vector<Cell> cells;
    for (size_t row = 0; row < kRows; ++row) {
        for (int c = 0; c < kFeatures; ++c)
            cells.push_back({.f = table.Float(c, row)});
    }
    if (!folder.empty()) {
        Dump(folder, "rows.f32", cells);
        std::vector<float> scaling;
        for (const FloatEntry& entry : model.pipeline.numeric_entries())
            scaling.insert(scaling.end(), {entry.center, entry.scale});
        Dump(folder, "scaling.f32", scaling);
        for (const NamedTensorData& tensor : model.members[0])
            Dump(folder, (tensor.name + ".f32").c_str(), tensor.values);
        std::vector<float> outputs(kExplained);
        scorer->Score(kExplained, cells.data(), outputs.data());
        Dump(folder, "outputs.f32", outputs);
    }

    Json report = {{"kernels", scorer->explainer_kernels().name}, {"explained", kExplained}};
    for (const int num_features : {5, 10}) {
        LimeOptions options;
        options.num_features = num_features;
        std::vector<double> fresh;
        std::vector<double> shared;
        const Probe probe = OrFail(Probe::Make(statistics, options.probe(), *scorer, never));
        for (int i = -5; i < kExplained; ++i) {
            const Cell* row = cells.data() + static_cast<size_t>(std::max(i, 0)) * kFeatures;
            double start = Now();
            OrFail(ExplainByLime(statistics, *scorer, row, options, nullptr, never));
            const double after_fresh = Now();
            OrFail(ExplainByLime(statistics, *scorer, row, options, &probe, never));
            const double end = Now();
            if (i < 0)
                continue;  // what they touch is in the caches from now on
            fresh.push_back(after_fresh - start);
            shared.push_back(end - after_fresh);
        }
        const double start = Now();
        for (int i = 0; i < kTableRows; ++i)
            OrFail(ExplainByLime(statistics, *scorer, cells.data() + static_cast<size_t>(i) * kFeatures,
                                 options, &probe, never));
        const double seconds = Now() - start;
        report[std::to_string(num_features)] = {{"fresh_ms", 1e3 * Median(fresh)},
                                                {"probe_ms", 1e3 * Median(shared)},
                                                {"table_rows_per_second", kTableRows / seconds}};
    }
    LimeOptions options;
    std::vector<double> probes;
    std::vector<double> scores;
    std::vector<float> outputs(kRows);
    for (int i = 0; i < 21; ++i) {
        double start = Now();
        OrFail(Probe::Make(statistics, options.probe(), *scorer, never));
        probes.push_back(Now() - start);
        start = Now();
        scorer->Score(static_cast<int>(kRows), cells.data(), outputs.data());
        scores.push_back((Now() - start) * 5000.0 / kRows);
    }
    report["make_probe_ms"] = 1e3 * Median(probes);
    report["score_5000_ms"] = 1e3 * Median(scores);
    options.num_samples = 50000;
    const Probe large = OrFail(Probe::Make(statistics, options.probe(), *scorer, never));
    std::vector<double> with_large;
    for (int i = 0; i < 21; ++i) {
        const double start = Now();
        OrFail(ExplainByLime(statistics, *scorer, cells.data() + static_cast<size_t>(i) * kFeatures, options,
                             &large, never));
        with_large.push_back(Now() - start);
    }
    report["probe_of_50000_ms"] = 1e3 * Median(with_large);
    report["probe_bytes"] =
        OrFail(Probe::Make(statistics, LimeOptions{}.probe(), *scorer, never)).image().size();
    std::printf("%s\n", report.dump(2).c_str());
    return 0;
}

}  // namespace
}  // namespace dlent

int main(int argc, char** argv) {
    return dlent::Run(argc > 1 ? argv[1] : "");
}
